"""What the stack makes on AWS: network, nodes, file system. Nothing else imports pulumi_aws."""
