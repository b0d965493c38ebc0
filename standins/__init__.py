"""Stand-ins for Pulumi's Python language host and three of its resource plugins (see README.md)."""
