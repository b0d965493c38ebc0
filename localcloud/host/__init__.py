"""What the local cloud has of its host: packages, control groups, network."""
