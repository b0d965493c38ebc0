"""Progress of long work: one line that keeps moving on a terminal, else a line now and then."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from toolchain.terminal import columns

#: Seconds between two reports: on a terminal (the line is written over) and in a log.
TERMINAL_EVERY = 1.0
LOG_EVERY = 15.0


def elapsed(seconds: float) -> str:
    """A duration for people: "41 s", "3 min 09 s"."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@contextmanager
def ticking(label: Callable[[], str]) -> Generator[None]:
    """Report `label()` and the time since the start until the block ends, then once more.

    `label` is asked anew for each report, from another thread. Reports go to stderr, so that
    stdout stays free for results.
    """
    terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    start = time.monotonic()
    done = threading.Event()

    def report(last: bool = False) -> None:
        text = f"tools: {label()} {elapsed(time.monotonic() - start)}"
        if terminal:
            # In one line, or the next report would not write over it.
            print(
                f"\r\033[K{text[: columns() - 1]}",
                end="\n" if last else "",
                file=sys.stderr,
                flush=True,
            )
        else:
            print(text + ("" if last else " ..."), file=sys.stderr, flush=True)

    def run() -> None:
        while not done.wait(TERMINAL_EVERY if terminal else LOG_EVERY):
            report()

    ticker = threading.Thread(target=run, daemon=True)
    report()
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
        report(last=True)
