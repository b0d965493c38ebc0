"""A plugin process's life: it ends on a signal, and when the engine that started it is gone."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable


def watch_for_the_end() -> Callable[[], None]:
    """A function that returns on SIGINT or SIGTERM, or within a second of the engine's death.

    Call this before any thread is started, so that a signal that comes early is not lost.
    """
    # Signals wake a select: an Event set from a handler could find the Event's lock taken.
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    engine = os.getppid()

    def wait() -> None:
        # A process whose parent died gets another parent: the engine was killed and can't say so.
        while os.getppid() == engine and not select.select([wake_read], [], [], 1.0)[0]:
            pass

    return wait
