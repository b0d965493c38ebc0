"""A file a verb: its help and options, and what it does."""
