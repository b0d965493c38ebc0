"""`make usage`: what an application on Spark used, from the volume, as numbers and as a picture."""

from __future__ import annotations

import argparse
import json
from typing import Any

from usage import read_samples

from console import picture, report
from console.cluster import connect
from console.stack import ROOT, Stack
from console.tables import table
from console.verb import Verb
from console.volume import on_volume
from toolchain.terminal import shown


def options(parser: argparse.ArgumentParser) -> None:
    """Its own."""
    parser.add_argument("--run", metavar="ID", help="an application's; else that of the latest one")


def run(options: argparse.Namespace) -> None:
    """Prints what a run used, and draws it; ConsoleError where there is none."""
    stack = Stack(options.stack)
    which = [options.run] if options.run else []
    printed = on_volume(connect(stack).api, "latest_usage.sh", *which)
    first, _, rest = printed.partition("\n")
    usage, samples = json.loads(first), read_samples(rest)
    print(f"{shown(usage['name'])} ({usage['application']}), {usage['seconds']:.1f} s\n")
    print(f"{processes(usage)}\n\n{report.used(usage)}\n")
    folder = stack.folder / "usage"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = picture.draw(usage, samples)
    for file in picture.save(drawn, folder / usage["application"]):
        print(f"Picture: {file.relative_to(ROOT)}")


def processes(usage: dict[str, Any]) -> str:
    """A row for each process: what the event log tells, and what was sampled."""
    numbers = ["cores", "s", "tasks", "task CPU s", "all CPU s", "peak cores", "peak MiB"]
    rows = []
    told = {f"executor {process['id']}": process for process in usage["executors"]}
    told["driver"] = usage["driver"]
    for name in sorted(told, key=picture.order):
        process = told[name]
        sampled = usage["sampled"].get(name, {})
        rows.append(
            [
                name,
                str(process["cores"]),
                f"{process['seconds']:.1f}",
                str(process.get("tasks", "")),
                _number(process.get("cpuSeconds")),
                _number(sampled.get("cpuSeconds")),
                _number(sampled.get("peakCores"), 2),
                _number(sampled.get("peakMemoryMiB"), 0),
            ]
        )
    return table(["process", *numbers], rows, right=numbers)


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"


VERB = Verb(
    what="What an application on Spark used of CPU, memory and money, with a picture.",
    examples=("", "--run app-20261126050000-0001"),
    options=options,
    run=run,
    shows=True,
)
