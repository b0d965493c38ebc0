"""`make apps`: the stack's applications, the word count among them, as the cluster knows them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime

from kubernetes import client

from console import failures
from console.cluster import said_in_one_line
from console.report import fitted
from console.stack import Stack
from console.tables import table
from console.verb import Verb
from submission import runs
from submission.runs import Found

_HEADS = ("name", "namespace", "state", "runs", "last run", "next run", "missed", "result")
# Columns of a result: the word count's is a long line of JSON.
_WIDEST = 60


def run(options: argparse.Namespace) -> None:
    """Prints a row for each."""
    api, namespaces = failures.connect(Stack(options.stack))
    now = datetime.now(UTC)
    rows = [_row(api, one, now) for _, one in sorted(find(api, namespaces).items())]
    print(f"{table(_HEADS, rows, right=('missed',))}\n\nTimes are in UTC.")


def find(api: client.ApiClient, namespaces: Sequence[str]) -> dict[str, Found]:
    """All of them, by name. Raises ConsoleError."""
    found: dict[str, Found] = {}
    for namespace in namespaces:
        with said_in_one_line():
            found |= runs.find(api, namespace)
    return found


def _row(api: client.ApiClient, one: Found, now: datetime) -> list[str]:
    plan = one.schedule
    line, _ = runs.outcome(api, one)
    missed = one.missed(now)
    return [
        one.name,
        one.owner["metadata"]["namespace"],
        one.state,
        "with each change" if plan is None else f"{plan.cron} {plan.zone}",
        _time(None if one.started is None else datetime.fromisoformat(one.started)),
        _time(one.next(now)),
        "" if plan is None else f"{missed} or more" if missed >= runs.MOST_MISSED else str(missed),
        fitted(line or "", _WIDEST),
    ]


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


VERB = Verb(
    what="""\
The stack's applications: state, schedule, last and next run, missed runs, last result.

Missed are runs that were due and that there were not, as the last one went on for longer or the
cluster was off; those before the oldest run that is kept are not counted.""",
    examples=("", "--stack dev"),
    run=run,
    shows=True,
)
