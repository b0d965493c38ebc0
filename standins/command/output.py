"""What a command prints: kept for the outputs, and sent line by line to the engine's log."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from standins.base import Call, Cancelled, StandinError, has_secret

# How long to wait for a line before looking whether the engine asked to stop, in seconds.
_LOOK_EVERY = 0.1


@dataclass
class Output:
    """The bytes of a running command. `logged` has the names of the streams to send to the log.

    `feed` may be called from any thread; the rest belongs to the thread that runs `follow`.
    """

    logged: frozenset[str] = frozenset({"stdout", "stderr"})
    _parts: dict[str, list[bytes]] = field(default_factory=lambda: {"stdout": [], "stderr": []})
    _both: list[bytes] = field(default_factory=list)
    _started_line: dict[str, bytes] = field(default_factory=dict)
    _lines: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)

    def feed(self, stream: str, data: bytes) -> None:
        """Take what the command wrote to `stream` ("stdout" or "stderr")."""
        self._parts[stream].append(data)
        self._both.append(data)
        if stream not in self.logged:
            return
        *lines, rest = (self._started_line.get(stream, b"") + data).split(b"\n")
        self._started_line[stream] = rest
        for line in lines:
            self._lines.put(_text(line).rstrip("\r"))

    def wake(self) -> None:
        """Make `follow` look at once whether the command is done."""
        self._lines.put(None)

    def value(self, stream: str) -> str:
        """All of `stream`, less one newline at its end, as the official plugin keeps it."""
        return _text(b"".join(self._parts[stream])).removesuffix("\n")

    def combined(self) -> str:
        """Both streams in the order in which they came."""
        return _text(b"".join(self._both))

    def follow(self, call: Call, done: Callable[[], bool], stop: Callable[[], None]) -> None:
        """Log lines until `done()`; when the engine asks to stop or time is over, `stop()` it.

        Raises Cancelled, or StandinError when the command took longer than its custom timeout.
        """
        deadline = time.monotonic() + call.timeout if call.timeout else None
        while not done():
            self._log_next(call)
            if call.cancelled.is_set():
                stop()
                raise Cancelled
            if deadline and time.monotonic() > deadline:
                stop()
                raise StandinError(
                    f"not done within its timeout of {call.timeout:g} s; its output so far:\n"
                    f"{self.combined()}"
                )
        for line in self._started_line.values():
            if line:
                self._lines.put(_text(line))
        self._started_line.clear()
        while not self._lines.empty():
            self._log_next(call)

    def _log_next(self, call: Call) -> None:
        try:
            line = self._lines.get(timeout=_LOOK_EVERY)
        except queue.Empty:
            return
        if line and line.strip():
            call.status(line)


def logged_streams(logging: str | None) -> frozenset[str]:
    """The streams that a Command's `logging` property sends to the log."""
    streams = {
        None: {"stdout", "stderr"},
        "stdoutAndStderr": {"stdout", "stderr"},
        "stdout": {"stdout"},
        "stderr": {"stderr"},
        "none": set[str](),
    }
    return frozenset(streams[logging])


def failure(call: Call, how: str, command: str, output: Output) -> StandinError:
    """The error of a command that failed: how, which, and what it printed.

    The command's text is left out where it is a secret, its output where `logging` is "none".
    """
    secret = any(
        has_secret(call.marked_inputs.get(name) or call.marked_state.get(name))
        for name in ("create", "update", "delete")
    )
    shown = "[secret]" if secret else f'"{command}"'
    printed = output.combined() if output.logged else "(its output is not shown: logging is none)"
    return StandinError(f"{how}: running {shown}:\n{printed}")


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
