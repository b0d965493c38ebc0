"""How our programs get on with a terminal: what it can't show, who reads it, and how it ends.

Ctrl-C, SIGTERM, a terminal that is closed and a reader that is gone (`make up | head -1`) all end a
program in the same way: what it has begun is finished or taken away first.
"""

from __future__ import annotations

import codecs
import errno
import io
import locale
import os
import shutil
import signal
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import IO

#: What ends a program besides Ctrl-C, which may be repeated.
_ENDS = (signal.SIGHUP, signal.SIGTERM)
# The errors of a pipe without a reader, and of a terminal that is no more.
_GONE = (errno.EPIPE, errno.EIO)
# What our tables are drawn with, for terminals that lack it.
_PLAIN = {"█": "#", "…": "~"}
# Not shown and not harmful: they join letters (Persian, emoji).
_JOINERS = "\u200c\u200d"


class Stopped(KeyboardInterrupt):
    """A signal that is to end this process, as Ctrl-C does. code: the exit code that says so."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


def shown(text: str) -> str:
    """The text with control characters shown and not sent, such as \\x1b for an escape."""
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    controls = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return ascii(character)[1:-1] if controls and character not in _JOINERS else character


def columns() -> int:
    """How wide the terminal is; where there is none, there is room for all of our tables."""
    return shutil.get_terminal_size((100, 24)).columns


def run(
    work: Callable[[], int | None],
    name: str,
    errors: tuple[type[Exception], ...],
    interrupted: str,
    *,
    shows: bool = False,
) -> int:
    """Runs a program's work; the exit code. `errors` are one line each, after the program's name.

    interrupted: what to say when it was. shows: the work is to show something, so that it is done
    once nobody wants to see more.
    """
    _prepare()
    try:
        code = work() or 0
        print(end="", flush=True)  # also where stdout is closed
        return code
    except KeyboardInterrupt as stop:
        complain(f"{name}: {interrupted}")
        return code_of(stop)
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in _GONE:
            forget(sys.stdout)
            if shows:
                return 0
            complain(f"{name}: {interrupted}")
            return 128 + signal.SIGPIPE
        if number == errno.ENOSPC:
            forget(sys.stdout)  # which may be what was full
        elif not isinstance(error, errors):
            raise
        complain("\n".join(map(shown, f"{name}: {error}".split("\n"))))
        return 1


def attend(
    command: list[str],
    *,
    capture: bool = False,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Runs a command that must not be cut off; its exit code, and with `capture` what it printed.

    It is in a session of its own, so that only we tell it to stop: by SIGINT, and then it is waited
    for. (subprocess.run would kill it a quarter of a second after Ctrl-C.)
    """
    nowhere = open(os.devnull, "w")  # noqa: SIM115 (for streams that were closed at our start)
    stdout, stderr = sys.stdout or nowhere, sys.stderr or nowhere
    direct = stdout.isatty() and not capture
    stdout.flush()
    printed = io.BytesIO()
    failed: list[OSError] = []
    process: subprocess.Popen[bytes] | None = None
    stopped_by, asked = 0, False

    def ask_to_end(number: int = 0, _: FrameType | None = None) -> None:
        nonlocal stopped_by, asked
        again = number and stopped_by
        stopped_by = number or stopped_by
        _heed(number)
        # Ctrl-C ends the reader of our pipe, too, which is no second wish.
        if process is not None and (again or not asked):
            asked = True
            process.send_signal(signal.SIGINT)

    def hand_on(source: IO[bytes], target: IO[bytes]) -> None:
        while piece := os.read(source.fileno(), 65536):
            try:
                target.write(piece)
                target.flush()
            except OSError as error:
                # With that stream as its own it would die at once, in the middle of its work.
                failed.append(error)
                forget(target)
                ask_to_end()

    ours = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDS)}
    ours = {number: handler for number, handler in ours.items() if handler is not signal.SIG_IGN}
    for number in ours:
        signal.signal(number, ask_to_end)
    try:
        process = started = subprocess.Popen(
            command,
            stdout=stdout if direct else subprocess.PIPE,
            stderr=None if stderr.isatty() else subprocess.PIPE,
            start_new_session=True,
            cwd=cwd,
            env=env,
        )
        if stopped_by and not asked:  # before there was a process
            ask_to_end()
        pipes = (
            (started.stdout, printed if capture else stdout.buffer),
            (started.stderr, stderr.buffer),
        )
        readers = [
            threading.Thread(target=hand_on, args=pipe, daemon=True) for pipe in pipes if pipe[0]
        ]
        for reader in readers:
            reader.start()
        started.wait()
        for reader in readers:
            reader.join()
    finally:
        nowhere.close()
        for number, handler in ours.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)
    if stopped_by:
        raise Stopped(stopped_by)
    if failed:
        raise failed[0]
    return started.returncode, printed.getvalue().decode(errors="replace")


def as_ctrl_c() -> None:
    """From now on SIGHUP and SIGTERM do what Ctrl-C does: KeyboardInterrupt is raised, once.

    Whoever asked to be spared of one (nohup) is.
    """
    for number in _ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def code_of(stop: KeyboardInterrupt) -> int:
    """The exit code of a program that was stopped."""
    return stop.code if isinstance(stop, Stopped) else 128 + signal.SIGINT


def forget(*streams: IO[str] | IO[bytes] | None) -> None:
    """Of streams that nobody reads any more: what is still written to them goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in filter(None, streams):  # Python has none where it was started with one closed
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def complain(text: str) -> None:
    """On stderr; where that leads nowhere any more, all else goes on."""
    try:
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)
    except OSError:
        forget(sys.stderr)


def encoding_for(terminal: str) -> str:
    """The encoding to print in, from the locale's. A plain C locale says nothing of a terminal."""
    known = codecs.lookup(terminal).name
    return "utf-8" if known in ("ascii", "utf-8") else known


def _prepare() -> None:
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # In Python's UTF-8 mode, which our environment asks for, it has not looked itself.
            look = sys.flags.utf8_mode and stream.encoding == "utf-8"
            chosen = encoding_for(locale.getencoding()) if look else stream.encoding
            stream.reconfigure(encoding=chosen, errors="plain")
    as_ctrl_c()


def _stop(number: int, _: FrameType | None) -> None:
    _heed(number)
    raise Stopped(number)


def _heed(number: int) -> None:
    """Takes them once: the kernel, the shell and make may all pass on the same one, and none of
    them must end the tidying up."""
    if number in _ENDS:
        for one in _ENDS:
            signal.signal(one, signal.SIG_IGN)
    if number == signal.SIGHUP:
        forget(sys.stdout, sys.stderr)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """What to print in place of characters that the encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or ascii(c)[1:-1] for c in text), error.end
