"""For all tests: they run as if a person had started them, whatever did."""

from __future__ import annotations

import os
import signal

# A shell starts what runs in the background with SIGINT ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# `make` below `make test` would say which folders it enters and leaves.
for variable in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
    os.environ.pop(variable, None)
