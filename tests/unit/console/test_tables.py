"""Tables: on a terminal as wide as it is, else plain; and nothing in them is obeyed."""

from __future__ import annotations

import sys

import pytest

from console.tables import table

ROWS = [["spark", "12"], ["a[bold]b\x1b[2J", "1"]]


def test_without_a_terminal_a_row_is_a_plain_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    long = "x" * 500
    assert table(["name", "MiB"], [*ROWS, [long, "5"]], right=["MiB"]).splitlines() == [
        f"{'name':<500}  MiB",
        f"{'spark':<500}   12",
        r"a[bold]b\x1b[2J".ljust(500) + "    1",
        f"{long}    5",
    ]


def test_a_terminal_is_not_overrun_and_sees_the_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("TERM", "xterm")
    head, *lines = table(["name", "MiB"], [["x" * 40, "5"]]).splitlines()
    assert head.startswith("\x1b[1mname")
    assert len(lines) == 3 and max(map(len, lines)) <= 20
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in table(["name", "MiB"], ROWS)
