"""Spark in a cluster: its release, namespaces for applications, and their jobs."""
