"""Why a driver failed, in one line: the last thing it said.

Kubernetes keeps the line in the pod's status, however long the log is: `kubectl describe`, Pulumi
and `make submit` show it from there. Only the standard library, Python 3.10.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import BinaryIO

#: Where a container leaves the message for its pod's status. Kubernetes makes it, and nobody else.
TERMINATION_LOG = "/dev/termination-log"

#: Characters of a line that are kept.
LONGEST = 1000

#: Log4j's lines, by the chart's pattern: what Spark does, rather than what its program says.
LOGGED = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d [A-Z]+ ")


def is_said(line: str) -> bool:
    """Whether a line is of the program's own words: no log's, no stack's, no plan's, no JSON."""
    return re.match(r"[\w/\[]", line) is not None and LOGGED.match(line) is None


class LastWords:
    """Passes on what a program prints, as it comes, and keeps the last line that it said."""

    def __init__(self) -> None:
        self.line = ""

    def pass_on(self, program: subprocess.Popen[bytes]) -> list[threading.Thread]:
        """Starts doing so with both of its pipes; the threads end with these."""
        assert program.stdout and program.stderr
        ways = ((program.stdout, sys.stdout.buffer), (program.stderr, sys.stderr.buffer))
        threads = [threading.Thread(target=self._copy, args=way, daemon=True) for way in ways]
        for thread in threads:
            thread.start()
        return threads

    def _copy(self, source: BinaryIO, target: BinaryIO) -> None:
        rest = b""
        # With nobody left to read, the program is to learn that, too.
        with source, suppress(OSError):
            while piece := os.read(source.fileno(), 65536):
                target.write(piece)
                target.flush()
                *lines, rest = (rest + piece).split(b"\n")
                rest = rest[:LONGEST]
                self._keep(lines)
        self._keep([rest])

    def _keep(self, lines: list[bytes]) -> None:
        for line in reversed(lines):
            text = line[:LONGEST].decode(errors="replace").rstrip()
            if is_said(text):
                self.line = text
                return


def reason(code: int, line: str) -> str:
    """Of a program that ended with this code (below 0: by that signal), what is to be told."""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return line


def tell(text: str) -> None:
    """Leave a line for the pod's status; nothing where there is no pod."""
    with suppress(OSError), open(os.open(TERMINATION_LOG, os.O_WRONLY | os.O_TRUNC), "w") as log:
        log.write(text)
