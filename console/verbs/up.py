"""`make up`: from nothing to the top words, and where the time went."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import suppress

from console import failures, grow, interrupted, nodes, report, timings
from console.cluster import require_answer, said_in_one_line
from console.stack import ROOT, ConsoleError, Stack, find_input
from console.verb import Verb
from toolchain import paths
from toolchain.terminal import complain, shown


def options(parser: argparse.ArgumentParser) -> None:
    """Its own."""
    parser.add_argument(
        "--input",
        metavar="TEXT",
        help="a file or a folder to count, or s3a://BUCKET/PATH; else the one counted before",
    )
    parser.add_argument("--refresh", action="store_true", help="look first what is gone")


def run(options: argparse.Namespace) -> None:
    """Brings the stack up; prints the result, and where the time went."""
    up(Stack(options.stack), options.input, refresh=options.refresh)


def _control_plane(stack: Stack) -> str | None:
    """The instance that is the control plane by the outputs; None where there is none."""
    found = stack.nodes()
    return found[0]["instanceId"] if found else None


def up(stack: Stack, input_: str | None, *, refresh: bool = False) -> None:
    """The same.

    input_: the text to count; without it the one chosen before. refresh: looks first what is left
    of all that there was, and makes anew what is gone.
    """
    started = time.time()
    encoding, shared = stack.encoding, not stack.is_local
    text = find_input(input_, shared=shared, encoding=encoding) if input_ else None
    if grow.is_left(stack):
        print("a `make submit --grow` was killed: the nodes are again what the settings say")
    if stack.is_local:
        from localcloud import cloud

        cloud.up(lambda line: print(f"local cloud: {line}", flush=True))
    cloud_up = time.time()
    stack.prepare(text)
    stack.folder.mkdir(parents=True, exist_ok=True)
    events = stack.folder / "events.jsonl"
    events.unlink(missing_ok=True)
    nodes.require_started(stack)
    interrupted.settle(stack)
    before = _control_plane(stack) if refresh else None
    if before:
        stack.refresh()
    try:
        stack.up(events)
    except ConsoleError:
        tell_why(stack)
        raise
    outputs = stack.outputs(secrets=True)
    require_answer(stack, outputs)
    if before and before != _control_plane(stack):
        print("\nThe control plane is another one: what is newer than its snapshot comes now\n")
        stack.refresh()
        stack.up(events)
        outputs = stack.outputs(secrets=True)
    grow.forget(stack)
    result = outputs["wordCount"]
    phases = timings.phases(timings.read_events(events), origin=started)
    if stack.is_local:
        phases.insert(0, timings.Phase("local cloud", 0.0, cloud_up - started))
    total = time.time() - started
    done = {"wordCount": result, "phases": timings.as_json(phases), "seconds": round(total, 1)}
    paths.replace(stack.folder / "last-run.json", json.dumps(done, indent=2) + "\n")
    print(f"\n{report.top_words(result)}\n\n{report.used(result['usage'])}")
    print(f"\nWhere {total:.0f} s went (phases overlap):")
    print(timings.chart(phases))
    print(f"\nThe same as JSON: {(stack.folder / 'last-run.json').relative_to(ROOT)}")


def tell_why(stack: Stack) -> None:
    """A line on stderr for each application that failed, the same that `make submit` has."""
    with suppress(ConsoleError):  # there may be no cluster yet, and what failed be something else
        api, namespaces = failures.connect(stack)
        with said_in_one_line():
            lines = failures.of_stack(api, namespaces)
        for line in lines:
            complain(f"up: {shown(line)}")


VERB = Verb(
    what="From nothing to a word count: local cloud, cluster, Spark, the top words.",
    examples=(
        "",
        "--input book.txt",
        "--stack dev --refresh",
        "--stack dev --input s3a://books/all",
    ),
    options=options,
    run=run,
)
