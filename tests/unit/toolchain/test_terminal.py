"""What a terminal can't show, readers that are gone, and signals: in processes of their own."""

from __future__ import annotations

import io
import os
import pty
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.unit.plan import ROOT
from toolchain import progress, terminal

BAR = "  word█…é"
# Waits for SIGINT, and takes its time to finish what it has begun.
ENGINE = """\
trap 'echo asked >>{notes}' INT
echo begun
until [ -s {notes} ]; do sleep 0.02; done
echo more; echo done >>{notes}
"""


def program(body: str, shows: bool = False) -> list[str]:
    """A program of ours with this as its work."""
    code = "import os, sys\nfrom toolchain import terminal\n"
    code += f"def work():\n{textwrap.indent(body, '    ')}\n"
    code += f"sys.exit(terminal.run(work, 'up', (ValueError,), 'interrupted', shows={shows}))\n"
    return [sys.executable, "-c", code]


def run(body: str, **how) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, **how.pop("env", {})}
    return subprocess.run(program(body), cwd=ROOT, env=env, capture_output=True, **how)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("a\rb\tc\nd\x00\x7f\x9b", r"a\rb\tc\nd\x00\x7f\x9b"),
        ("\u202eabc\u2066\ufeff", r"\u202eabc\u2066\ufeff"),
        ("caf\udce9\u2028", r"caf\udce9\u2028"),
        ("naïve слово 語 می\u200cخواهم", "naïve слово 語 می\u200cخواهم"),
    ],
)
def test_control_characters_are_shown_and_not_sent(text: str, seen: str) -> None:
    assert terminal.shown(text) == seen


@pytest.mark.parametrize(
    ("locale", "encoding"),
    [("ANSI_X3.4-1968", "utf-8"), ("UTF-8", "utf-8"), ("ISO-8859-1", "iso8859-1")],
)
def test_the_locale_says_what_the_terminal_takes(locale: str, encoding: str) -> None:
    assert terminal.encoding_for(locale) == encoding


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [("ascii", rb"  word#~\xe9"), ("latin-1", b"  word#~\xe9"), ("utf-8", BAR.encode())],
)
def test_a_terminal_that_lacks_a_character_gets_another(encoding: str, printed: bytes) -> None:
    done = run(f"print({BAR!a})", env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert (done.stdout.rstrip(b"\n"), done.returncode) == (printed, 0)


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_c_locale_is_no_error(locale: dict[str, str]) -> None:
    done = run(f"print({BAR!a}); raise ValueError({BAR!a})", env=locale)
    assert done.returncode == 1 and done.stdout.startswith(b"  word")
    assert done.stderr.startswith(b"up:   word") and b"Error" not in done.stderr


def test_an_error_is_a_line_with_nothing_that_a_terminal_obeys() -> None:
    done = run("raise ValueError('no \\x1b[2J file\\nsecond')")
    assert (done.returncode, done.stderr) == (1, b"up: no \\x1b[2J file\nsecond\n")


@pytest.mark.parametrize(("shows", "code", "said"), [(True, 0, b""), (False, 141, b"up: int")])
def test_a_reader_that_is_gone_is_no_traceback(shows: bool, code: int, said: bytes) -> None:
    body = "for number in range(100_000): print(number)"
    process = subprocess.Popen(
        program(body, shows), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert process.stderr
    errors = process.stderr.read()
    assert process.wait() == code and b"Traceback" not in errors
    assert errors.startswith(said) and errors.count(b"\n") == (1 if said else 0)


def engine(tmp_path: Path, stdout: int) -> tuple[subprocess.Popen[bytes], Path]:
    """A program of ours that attends to one that takes its time to end; where that notes it."""
    notes = tmp_path / "notes"
    notes.touch()
    script = ENGINE.format(notes=notes)
    body = f"return terminal.attend(['sh', '-c', {script!r}])[0]"
    command = program(body)
    process = subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE)
    return process, notes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_what_works_finishes_what_it_has_begun(tmp_path: Path, number: signal.Signals) -> None:
    process, notes = engine(tmp_path, subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"begun\n"
    process.send_signal(number)
    if number != signal.SIGINT:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    # Asked once, though make and the shell may pass a signal on as well; and waited for.
    assert notes.read_text().split() == ["asked", "done"]
    assert process.returncode == 128 + number
    # After a hang-up nobody is there to be told.
    assert errors == (b"" if number == signal.SIGHUP else b"up: interrupted\n")


def test_what_works_does_not_die_of_a_reader_that_is_gone(tmp_path: Path) -> None:
    process, notes = engine(tmp_path, subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"begun\n"
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert notes.read_text().split() == ["asked", "done"]


def test_a_gone_reader_stops_what_works(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    script = f"trap 'echo asked >{notes}; exit 0' INT; while :; do echo x; sleep 0.02; done"
    process = subprocess.Popen(
        program(f"return terminal.attend(['sh', '-c', {script!r}])[0]"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout and process.stdout.readline() == b"x\n"
    process.stdout.close()
    assert process.stderr and process.stderr.read() == b"up: interrupted\n"
    assert (process.wait(), notes.read_text()) == (141, "asked\n")


def test_a_terminal_that_is_closed_below_make(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    script = ENGINE.format(notes=notes)
    work = program(f"return terminal.attend(['sh', '-c', {script!r}])[0]")
    (tmp_path / "work").write_text(f"#!/bin/sh\nexec {shlex.join(work)}\n")
    (tmp_path / "Makefile").write_text(f"up:\n\t@sh {tmp_path}/work\n")
    pid, main = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execvp("bash", ["bash", "-c", f"make -f '{tmp_path}/Makefile' up; :"])
    shown = b""
    while b"begun" not in shown:
        shown += os.read(main, 4096)
    os.close(main)  # the shell ends of it, and the kernel tells make and the program
    os.waitpid(pid, 0)
    limit = time.monotonic() + 60
    while "done" not in notes.read_text():
        assert time.monotonic() < limit, notes.read_text()
        time.sleep(0.05)
    assert notes.read_text().split() == ["asked", "done"]


@pytest.mark.parametrize("work", ["print('x')", "terminal.attend(['yes'])"])
def test_a_full_disk_is_a_line(work: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(program(work), cwd=ROOT, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"up: [Errno 28] No space left on device\n")


def test_closed_streams_hold_nothing_up() -> None:
    body = "print('x'); return terminal.attend(['sh', '-c', 'echo x; echo y >&2; exit 3'])[0]"
    command = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *program(body)]
    assert subprocess.run(command, cwd=ROOT).returncode == 3


def test_nohup_is_heeded() -> None:
    body = "import signal; os.kill(os.getpid(), signal.SIGHUP); print('on')"
    done = subprocess.run(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *program(body)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.returncode) == ("on\n", 0)


def test_what_is_captured_is_text_and_the_code_is_the_commands() -> None:
    script = r"printf 'caf\303\251 \377'; exit 3"
    assert terminal.attend(["sh", "-c", script], capture=True) == (3, "café \ufffd")


def test_progress_stays_in_one_line_of_a_narrow_terminal(monkeypatch) -> None:
    main, end = pty.openpty()
    with open(end, "w", encoding="utf-8") as tty:
        monkeypatch.setattr(sys, "stderr", tty)
        monkeypatch.setenv("COLUMNS", "40")
        monkeypatch.setenv("TERM", "xterm")
        with progress.ticking(lambda: "x" * 100):
            pass
        tty.flush()
        shown = ""
        while not shown.endswith("\n"):
            shown += os.read(main, 4096).decode()
    os.close(main)
    reports = [line.rstrip("\r\n") for line in shown.split("\r\x1b[K")[1:]]
    assert len(reports) == 2 and {len(line) for line in reports} == {39}


def test_a_dumb_terminal_gets_lines(monkeypatch) -> None:
    class Dumb(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", dumb := Dumb())
    monkeypatch.setenv("TERM", "dumb")
    with progress.ticking(lambda: "x"):
        pass
    assert "\x1b" not in dumb.getvalue() and dumb.getvalue().count("\n") == 2
