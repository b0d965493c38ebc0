"""For all tests: they run as if a person had started them, whatever did."""

from __future__ import annotations

import gc
import os
import signal

from tests import jvm
from toolchain.env import enter

# A shell starts what runs in the background with SIGINT ignored, nohup with SIGHUP, and children
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Of the person's own shell there is nothing that a test could hang on.
enter(local=True)
jvm.use(os.environ)


def pytest_collection_finish() -> None:
    """What was imported stays: looking through it for garbage took half of what a plan takes."""
    gc.collect()
    gc.freeze()
