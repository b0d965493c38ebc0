"""Stand-ins of tests: the engine starts some with each call, and most of what they do is to import.

So one process (`python -m tests.warm`) has imported what they and the program need, and forks for
each of them; `bin/python` is what their launchers call in place of Python.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.processes import shared

CLIENT = Path(__file__).parent / "bin" / "python"


def environment() -> dict[str, str]:
    """With it, stand-ins start warm; official plugins know nothing of it."""
    socket = shared("warm", [sys.executable, "-m", "tests.warm"])
    return {"TINDERBOX_WARM": str(CLIENT), "TINDERBOX_WARM_SOCKET": socket}
