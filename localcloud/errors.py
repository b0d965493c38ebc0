"""The local cloud's exception: its text is the line that the user sees."""

from __future__ import annotations


class CloudError(Exception):
    """Something that stands in the local cloud's way; the text names it and what to do."""
