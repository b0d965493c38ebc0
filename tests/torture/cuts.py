"""Calls of make's that are cut off at chosen points, by Ctrl-C and by force."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from console.stack import ROOT
from localcloud.daemons import record

#: In turn at each point. What Ctrl-C finds under way is finished, so it comes second.
SIGNALS = (signal.SIGKILL, signal.SIGINT)


def cut_off(
    command: Sequence[str], points: Sequence[str], signals: Sequence[signal.Signals] = SIGNALS
) -> list[str]:
    """Calls it again and again, each time cut off where a line of a point (a pattern) comes.

    A point that an earlier call has passed by is left out. What was cut off, in order, as
    "SIGKILL at PATTERN"; the last call is cut off, too.
    """
    left = [(point, number) for point in points for number in signals]
    done = []
    while left:
        at = _call(command, left)
        if at is None:
            break
        point, number = left[at]
        done.append(f"{number.name} at {point}")
        left = left[at + 1 :]
    return done


def _call(command: Sequence[str], left: Sequence[tuple[str, signal.Signals]]) -> int | None:
    """One call; the index of the point where it was cut off, None where it came to its end."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    printed, at = "", None
    for line in process.stdout:
        printed += line
        if at is None:
            at = next((i for i, (point, _) in enumerate(left) if re.search(point, line)), None)
            if at is not None:
                _end(process.pid, left[at][1])
    code = process.wait()
    print(printed, f"\n--- {left[at][1].name} at {left[at][0]}" if at is not None else "", sep="")
    # A call that fails by itself is a fault of ours.
    assert code != 0 if at is not None else code == 0, printed[-3000:]
    return at


def _end(pid: int, number: signal.Signals) -> None:
    """Ctrl-C reaches the terminal's processes; force all that the call has started."""
    if number == signal.SIGINT:
        os.killpg(pid, number)
        return
    for one in [pid, *_descendants(pid, _parents())]:
        try:
            os.kill(one, number)
        except ProcessLookupError:
            continue


def _parents() -> dict[int, int]:
    known = record.load()
    daemons = {one.pid for one in known.alive.values()} if known else set()
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stat = (place / "stat").read_text()
        except OSError:
            continue
        # Of the local cloud's daemons, which stand for AWS, none is killed.
        if int(place.name) not in daemons:
            found[int(place.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def _descendants(pid: int, parents: dict[int, int]) -> Iterable[int]:
    for child, parent in parents.items():
        if parent == pid:
            yield child
            yield from _descendants(child, parents)
