"""Machines: what one is, and what it boots from."""
