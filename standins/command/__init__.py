"""Stand-in of pulumi-command: remote.Command, remote.CopyToRemote and local.Command."""
