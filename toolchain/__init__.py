"""What Tinderbox needs on a machine: pinned versions, builds, the Python environment, the Pulumi CLI."""
