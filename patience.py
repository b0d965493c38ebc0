"""TINDERBOX_PATIENCE: how many times as long things may take where a machine is emulated.

It is read here only. Limits are stretched by it and never removed.
"""

from __future__ import annotations

import os

VARIABLE = "TINDERBOX_PATIENCE"


def factor() -> int:
    """The factor, 1 unless told otherwise; ValueError for what is no whole number above 0."""
    text = os.environ.get(VARIABLE, "1")
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{VARIABLE}: '{text}' has to be a whole number above 0")
    return int(text)
