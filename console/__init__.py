"""What `make` runs: brings a stack up, shows it, takes it away. Plain `pulumi` does the work."""
