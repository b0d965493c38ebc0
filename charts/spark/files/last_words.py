#!/usr/bin/env python3
"""Passes on what a program prints, and keeps the last of it: in memory, and in a file.

    last_words.py FOLDER -- PROGRAM ARGUMENTS...

As a program it is what an executor's pod starts: the file is then that executor's,
FOLDER/<application>/executor-<id>.log, by Spark's own variables. The exit code is the program's,
and signals go on to it; where the file can't be written the program just runs. measured.py does the
same for a driver. Only the standard library, Python 3.10.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import why

#: Where a container leaves the message for its pod's status. Kubernetes makes it, and nobody else.
TERMINATION_LOG = "/dev/termination-log"

#: Bytes that are kept of a log: of a driver's in its file, of an executor's, and in memory.
DRIVERS, EXECUTORS, IN_MEMORY = 2 << 20, 64 << 10, 256 << 10

#: Bytes of a line that are kept together; some have no end.
LONGEST = 2**16


class LastWords:
    """The last bytes of what a program prints, whole lines of both its pipes.

    file: grows to half of `most`, then becomes FILE.1, and another begins: so a program that is
    killed with all that is around it has left its last words. None: memory only.
    """

    def __init__(self, file: Path | None = None, most: int = DRIVERS) -> None:
        self._file, self._half = file, most // 2
        self._out: BinaryIO | None = None
        self._size = 0
        self._kept, self._said = bytearray(), ""
        self._lock = threading.Lock()

    @property
    def text(self) -> str:
        """What is in memory; first of all the last line that the program said, however long ago."""
        with self._lock:
            kept = self._kept.decode(errors="replace")
        return kept if self._said in kept else f"{self._said}\n{kept}"

    def add(self, lines: bytes) -> None:
        """Keep some more."""
        with self._lock:
            self._kept += lines
            del self._kept[:-IN_MEMORY]
            for line in reversed(lines.splitlines()):
                text = line[: why.LONGEST].decode(errors="replace").rstrip()
                if why.is_said(text):
                    self._said = text
                    break
            try:
                self._write(lines)
            except OSError as error:
                # The volume may be full or away; what the program does counts more.
                self._file, self._out = None, None
                print(f"the log is not kept: {error}", file=sys.stderr, flush=True)

    def _write(self, lines: bytes) -> None:
        if self._file is None:
            return
        if self._out is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._out = self._file.open("wb")
        if self._size + len(lines) > self._half and self._size:
            self._file.rename(self._file.with_name(f"{self._file.name}.1"))
            self._out.close()
            self._out, self._size = self._file.open("wb"), 0
        self._out.write(lines[-self._half :])
        self._out.flush()
        self._size += len(lines[-self._half :])

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
                lines, end, rest = (rest + piece).rpartition(b"\n")
                if len(rest) > LONGEST:
                    lines, end, rest = lines + end, rest, b""
                if lines or end:
                    self.add(lines + end)
        if rest:
            self.add(rest)


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A program whose outputs are pipes, and to which this one's signals go on."""
    program: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def go_on(signum: int, _frame: object) -> None:
        if program is None:
            early.append(signum)
        else:
            program.send_signal(signum)

    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, go_on)
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for signum in early:
        program.send_signal(signum)
    return program


def end(program: subprocess.Popen[bytes], pipes: Sequence[threading.Thread]) -> int:
    """Waits for its end and that of its outputs; its code, below 0 by a signal."""
    code = program.wait()
    for pipe in pipes:
        pipe.join(5)  # a process of the program's own may hold it open
    return code


def told() -> str:
    """The line that was left for the pod's status; "" where there is none."""
    with suppress(OSError):
        return Path(TERMINATION_LOG).read_text(errors="replace").strip()
    return ""


def tell(text: str) -> None:
    """Leave a line for the pod's status; nothing where there is no pod."""
    with suppress(OSError), open(os.open(TERMINATION_LOG, os.O_WRONLY | os.O_TRUNC), "w") as log:
        log.write(text)


def main(argv: Sequence[str]) -> int:
    """The program; the exit code."""
    folder, _, *command = argv
    application = os.environ.get("SPARK_APPLICATION_ID", "unknown")
    name = f"executor-{os.environ.get('SPARK_EXECUTOR_ID', 'unknown')}.log"
    words = LastWords(Path(folder, application, name), EXECUTORS)
    program = start(command)
    code = end(program, words.pass_on(program))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
