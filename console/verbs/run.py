"""`make run NAME=`: one more run of one of the stack's applications, now."""

from __future__ import annotations

import argparse
import secrets

from components.settings.kinds import near
from console import failures
from console.cluster import said_in_one_line
from console.run import Run
from console.stack import ConsoleError, Stack
from console.verb import Verb
from console.verbs.apps import find
from submission import runs
from submission.manifests import Manifests
from submission.units import whole


def options(parser: argparse.ArgumentParser) -> None:
    """Its own."""
    parser.add_argument(
        "--wait", type=int, default=300, help="seconds that it may take until the driver runs"
    )
    parser.add_argument("name", metavar="NAME", help="of the application; `make apps` lists all")


def run(options: argparse.Namespace) -> int:
    """Runs it; its exit code. Raises ConsoleError where it is under way, or there is none."""
    whole("--wait", str(options.wait), 1)
    api, namespaces = failures.connect(Stack(options.stack))
    found = find(api, namespaces)
    one = found.get(options.name)
    if one is None:
        raise ConsoleError(
            f"stack {options.stack} has no application NAME={options.name}"
            f"{near(options.name, found)}; it has: {', '.join(sorted(found)) or 'none'}"
        )
    if one.is_under_way:
        job = one.runs[-1]["metadata"]["name"]
        raise ConsoleError(f"{options.name} runs already, as job {job}: one run at a time")
    made = Run(api, f"{one.name}-{secrets.token_hex(3)}", Manifests(None, runs.again(one)), "run")
    with said_in_one_line():
        if one.schedule is None:
            for former in one.runs:
                if former is not one.owner:
                    made.forget(former["metadata"]["name"])
        return made.run(options.wait, keep=True, has_end=not one.is_endless)


VERB = Verb(
    what="""\
Runs one of the stack's applications once more, now, and ends as it ended.

What it prints goes to stdout as it comes, what there is to say of it to stderr. Whatever ends this
program before the application takes that run away; one that has ended stays as the last run. Of one
without an end (limitMinutes: 0) it waits for the start alone.""",
    examples=("nightly", "--stack dev wordcount"),
    options=options,
    run=run,
    exits={"any": "the driver's own, once it ran"},
    interrupted="stopped",
)
