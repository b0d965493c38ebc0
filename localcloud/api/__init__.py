"""The AWS API of the local cloud, and how the rest of it asks."""
