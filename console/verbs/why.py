"""`make why`: why an application failed, on one screen."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

import why

from console import failures
from console.report import fitted
from console.stack import Stack
from console.tables import table
from console.verb import Verb
from toolchain.terminal import columns, shown

#: Executors and lines of the log that a screen has room for.
_MOST, _LAST = 5, 8


def run(options: argparse.Namespace) -> None:
    """Prints the cause, and what is known beside it; ConsoleError where there is no such run."""
    api, namespaces = failures.connect(Stack(options.stack))
    found = failures.choose(api, namespaces, options.run or None)
    print(screen(found, columns()))


def screen(found: failures.Found, width: int) -> str:
    """The same as text.

    width: columns of the terminal; only the cause itself may be longer.
    """
    told, cause = found.told, found.cause
    at = f", {datetime.fromtimestamp(told['at']):%d %B %Y %H:%M}" if "at" in told else ""
    code = "" if told.get("code") is None else f", exit code {told['code']}"
    also = f" ({told['application']})" if told.get("application") else ""
    lines = [f"{shown(found.name)}{shown(also)}{code}{at}", "", shown(cause["line"])]
    lines += [f"  {fitted(line, width - 2)}" for line in cause["more"] if line not in cause["line"]]
    lines += ["", f"That is: {why.CAUSES[cause['cause']]}."]
    if executors := told.get("executors"):
        lines += ["", _executors(executors[:_MOST], width)]
        lines += [f"  and {len(executors) - _MOST} more"] if len(executors) > _MOST else []
    if last := [line for line in found.log.splitlines() if line.strip()][-_LAST:]:
        lines += ["", f"The end of its log (make logs RUN={found.name}):"]
        lines += [f"  {fitted(line, width - 2)}" for line in last]
    return "\n".join(lines)


def _executors(executors: list[dict[str, Any]], width: int) -> str:
    numbers = ["asked MiB", "had MiB", "peak MiB"]
    rows = [
        [
            *(str(one["id"]), str(one.get("host") or "")),
            *(_number(one.get(key)) for key in ("askedMiB", "limitMiB", "peakMiB")),
            fitted(one.get("ended") or "", max(20, width - 60)),
        ]
        for one in executors
    ]
    return table(["executor", "host", *numbers, "its end"], rows, right=numbers)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


VERB = Verb(
    what="Why an application failed: the cause, its executors' ends, the end of its log.",
    examples=("", "--run app-20261126050000-0001", "--run pi-3f2a1c"),
    options=failures.options,
    run=run,
    shows=True,
)
