"""The parts of the stack, one component a file; `__main__.py` puts them together."""
