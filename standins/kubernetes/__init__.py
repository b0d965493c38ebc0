"""A stand-in of pulumi-kubernetes: the kinds that this project uses, and Helm releases."""
