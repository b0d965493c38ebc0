"""What Tinderbox needs on a machine: pinned versions, builds, Python, Pulumi."""
