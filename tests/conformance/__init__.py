"""Kubernetes' own end-to-end tests against a stack on the local cloud (make conformance)."""
