"""Stand-in of pulumi-aws: the EC2 and EFS resources and lookups of this project."""
