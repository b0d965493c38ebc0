"""What waits shows that it lives."""

from __future__ import annotations

import time
from collections.abc import Callable

from toolchain.terminal import shown

_EVERY = 15.0
"""Seconds after which the same is said again."""


def _say(text: str) -> None:
    print(shown(text), flush=True)


class Wait:
    """A wait for something, of at most so many seconds; `say` has a line for people."""

    def __init__(self, what: str, limit: float, say: Callable[[str], None] = _say) -> None:
        self._what, self._limit, self._say = what, limit, say
        self._start = self._last = time.monotonic()
        self._reason: str | None = None

    @property
    def left(self) -> float:
        """Seconds until the time is over."""
        return max(0.0, self._start + self._limit - time.monotonic())

    def is_over(self) -> bool:
        """Whether the time is."""
        return not self.left

    def tell(self, reason: str | None = None) -> None:
        """Says what it waits for: at once where that is new, else every now and then."""
        now = time.monotonic()
        if (reason is None or reason == self._reason) and now < self._last + _EVERY:
            return
        self._reason, self._last = reason, now
        passed = f"{now - self._start:.0f} of at most {self._limit:.0f} s"
        self._say(f"waiting for {self._what} ({passed})" + (f": {reason}" if reason else ""))
