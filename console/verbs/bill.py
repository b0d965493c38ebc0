"""`make bill`: what applications cost in some days, as a table, as CSV and as a picture by day."""

from __future__ import annotations

import argparse
import csv
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from console import bill as bills
from console import nodes, picture
from console.bill import Bill, Node
from console.cluster import Cluster, connect_spark
from console.stack import ROOT, ConsoleError, Stack
from console.tables import table
from console.verb import Verb
from console.volume import on_volume
from submission.measuring import FOLDER
from submission.nodes import CAPACITY, GROUP, SPOT
from toolchain.terminal import shown

_WITHIN = 300.0


def options(parser: argparse.ArgumentParser) -> None:
    """Its own; make gives an empty word for what is not asked for."""
    parser.add_argument(
        "--from",
        dest="since",
        type=_day,
        metavar="DAY",
        help="2026-11-01; else the first of this month",
    )
    parser.add_argument(
        "--to", dest="until", type=_day, metavar="DAY", help="the last day; else today"
    )
    parser.add_argument(
        "--by",
        type=_by,
        default="namespace",
        metavar="WHAT",
        help="namespace, name, user or label:NAME",
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no day: write 2026-11-01") from None


def _by(text: str) -> str:
    try:
        bills.named_by(text or "namespace")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text or "namespace"


def run(options: argparse.Namespace) -> None:
    """Prints the bill and writes its files; ConsoleError where there is nothing to charge."""
    stack, now = Stack(options.stack), time.time()
    today = datetime.fromtimestamp(now, UTC).date()
    first = options.since or today.replace(day=1)
    last = options.until or today
    if first > last:
        raise ConsoleError(f"FROM={first} is after TO={last}")
    since = bills.midnight(first)
    until = min(now, bills.midnight(last + timedelta(days=1)))
    cluster, _ = connect_spark(stack)
    printed = on_volume(cluster.api, "bill.sh", str(int(since)), folder=FOLDER, within=_WITHIN)
    settings = nodes.settings(stack)
    spot = bool(settings["nodes"].get("spot"))
    noted, used = bills.read(printed, spot)
    there = bills.up_to_now(noted, live(cluster, spot), now)
    if not any(node.since < until and node.until > since for node in there):
        raise ConsoleError(f"no node is known from {first} to {last}")
    known, notes = bills.prices(there, settings)
    found = bills.bill(
        *(used, there, lambda node: known[bills.priced(node)], since, until),
        bills.named_by(options.by),
    )
    print(text(found, options.by, f"{first} to {last} (UTC)"))
    for note in notes:
        print(note)
    stem = (
        stack.folder / "bill" / f"{first}_{last}_{options.by.replace(':', '-').replace('/', '-')}"
    )
    stem.parent.mkdir(parents=True, exist_ok=True)
    drawn = picture.costs(found, bills.days_of(first, last + timedelta(days=1)), options.by)
    print()
    for file in (write(found, options.by, stem), *picture.save(drawn, stem)):
        print(f"{'Picture' if file.suffix != '.csv' else 'Rows'}: {file.relative_to(ROOT)}")


def live(cluster: Cluster, workers_are_spot: bool) -> list[Node]:
    """The nodes that the API has, since each was made."""
    found = []
    for item in cluster.json("/api/v1/nodes")["items"]:
        metadata = item["metadata"]
        labels: dict[str, str] = metadata.get("labels") or {}
        says = (
            labels.get("karpenter.sh/capacity-type", ""),
            labels.get("eks.amazonaws.com/capacityType", ""),
            labels.get(CAPACITY, ""),
        )
        is_worker = "node-role.kubernetes.io/control-plane" not in labels
        role = labels.get(GROUP, "worker") if is_worker else "control-plane"
        made = datetime.fromisoformat(metadata["creationTimestamp"]).timestamp()
        found.append(
            Node(
                *(metadata["uid"], made, made, metadata["name"]),
                float(item["status"]["capacity"]["cpu"]),
                labels.get("node.kubernetes.io/instance-type", ""),
                labels.get("topology.kubernetes.io/region", ""),
                any(word.lower() == SPOT for word in says)
                or (workers_are_spot and role == "worker"),
                role,
            )
        )
    return found


def text(found: Bill, by: str, when: str) -> str:
    """The bill as a table, with its sum."""
    numbers = ["runs", "core hours", "node hours", "USD", "share"]
    whole = sum(row.usd for row in found.rows)
    rows = [
        [
            *(row.name, str(row.runs) if row.name != bills.IDLE else ""),
            *(f"{row.core_hours:.2f}", f"{row.node_hours:.3f}", f"{row.usd:.4f}"),
            f"{row.usd / whole:.1%}" if whole else "",
        ]
        for row in found.rows
    ]
    hours = [sum(getattr(row, key) for row in found.rows) for key in ("core_hours", "node_hours")]
    rows.append(
        [
            "together",
            str(sum(row.runs for row in found.rows)),
            f"{hours[0]:.2f}",
            f"{hours[1]:.3f}",
            f"{whole:.4f}",
            "",
        ]
    )
    return f"{shown(when)}, by {shown(by)}\n\n{table([by, *numbers], rows, right=numbers)}"


def write(found: Bill, by: str, stem: Path) -> Path:
    """The same by day, as `stem`.csv: day, name, USD."""
    file = stem.with_name(f"{stem.name}.csv")
    lines: list[list[Any]] = [["day", by, "usd"]]
    lines += [
        [day, name, f"{usd:.6f}"] for day, row in found.days.items() for name, usd in row.items()
    ]
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerows(lines)
    return file


VERB = Verb(
    what="""\
What applications cost, by what they reserved, and what was idle: a table, CSV and a picture by day.

From what is on the volume. Days are of UTC; prices are the settings', else console/prices.json.""",
    examples=("", "--from 2026-11-01 --to 2026-11-30 --by user", "--by label:team"),
    options=options,
    run=run,
    shows=True,
)
