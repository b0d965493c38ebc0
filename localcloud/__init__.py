"""The local cloud: an AWS API on loopback whose instances are real machines on this host."""
