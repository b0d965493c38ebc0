"""python -m bench [PART]: measures, and writes its part of docs/performance.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from bench import contender, page, words
from bench.machine import machine
from bench.picture import draw, draw_spans
from toolchain import paths
from toolchain.env import enter

_PARTS = (
    *("words", "growth", "applications", "data"),
    *("up", "nodes", "aws", "idle", "machines"),
)
PAGE = paths.CHECKOUT / "docs" / "performance.md"


def main() -> int:
    """Measures one part; exit code 1 where engines disagree, or an application is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=_PARTS, default=_PARTS[0])
    words_ = parser.add_argument_group("words")
    words_.add_argument("--megabytes", type=int, nargs="+", default=[300])
    words_.add_argument("--rounds", type=int, default=3)
    names = list(contender.CONTENDERS)
    words_.add_argument("--engines", nargs="+", choices=names, default=names, metavar="NAME")
    many = parser.add_argument_group("applications, on a stack that is up")
    many.add_argument("--stack", default="local")
    many.add_argument("--count", type=int, default=20, help="of each row, or as many as at once")
    many.add_argument("--at-once", type=int, nargs="+", default=[1, 10, 50], help="a row for each")
    many.add_argument("--minutes", type=float, default=30, help="for all; it ends with what it has")
    data = parser.add_argument_group("data, on a local stack that is up")
    data.add_argument("--gigabytes", type=int, nargs="+", default=[1, 5])
    plans = parser.add_argument_group("nodes")
    plans.add_argument("--nodes", type=int, nargs="+", default=[3, 20, 100, 250])
    rest = parser.add_argument_group("idle, and machines: on the local stack that is up")
    rest.add_argument("--idle", type=float, default=3, metavar="MINUTES", help="how long to look")
    rest.add_argument("--machines", type=int, nargs="+", default=[3, 10, 20])
    args = parser.parse_args()
    if missing := set(words.COMPARED_TO) - set(args.engines):
        parser.error(f"--engines needs {' and '.join(sorted(missing))}, too")
    if args.part == "growth":
        return how_it_grows(args.rounds)
    if args.part == "up":
        return beside_a_script(args.rounds)
    if args.part == "applications":
        return many_applications(args.stack, args.count, sorted(args.at_once), args.minutes)
    if args.part == "data":
        return from_a_store(args.gigabytes)
    if args.part == "nodes":
        return first_previews(args.nodes, args.rounds)
    if args.part == "aws":
        return on_aws()
    if args.part in ("idle", "machines"):
        return at_rest(args.part, args.idle, args.machines)
    return the_words(args)


def put(part: str, about: str, table: str, picture: str = "") -> None:
    """Writes what was measured into its part of the page, and shows it.

    about: how, after day and machine. picture: a line of Markdown.
    """
    text = f"\n{page.today()}, {machine()}, {about}.\n\n{table}\n"
    page.write(PAGE, f"bench: {part}", text + (f"{picture}\n\n" if picture else ""))
    print(table)


def how_it_grows(rounds: int) -> int:
    """Counts one text in several forms; 1 where the counts differ."""
    from bench import growth

    found = growth.forms(growth.MEGABYTES, growth.TIMES, growth.FILES)
    try:
        growth.measure(rounds, found)
    except words.Disagreement as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    put("growth", f"rounds in turn, warm: {rounds}", growth.table(found))
    return 0


def beside_a_script(rounds: int) -> int:
    """`make up` beside a bare script; 1 where one of them fails."""
    from bench import up  # what it needs loads slowly
    from console.stack import ConsoleError

    enter(local=True)
    try:
        measured = up.measure(rounds)
    except (ConsoleError, OSError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    picture = "![What was made when](performance-up.svg)"
    put("up", f"rounds in turn: {rounds}", up.table(measured), picture)
    long = [one for one in measured.spans if one[2] - one[1] >= 0.6]
    title = "What a `make up` made when (of 0.6 s and longer)"
    draw_spans(title, long, PAGE.with_name("performance-up.svg"))
    return 0


def first_previews(counts: list[int], rounds: int) -> int:
    """Previews so many nodes each."""
    from bench import nodes
    from bench.picture import draw_parts

    enter()
    planned = nodes.measure(counts, rounds)
    picture = "![Seconds of CPU by nodes and part](performance-nodes.svg)"
    put("nodes", f"the fastest of {rounds}", nodes.table(planned), picture)
    draw_parts(planned, PAGE.with_name("performance-nodes.svg"))
    return 0


def on_aws() -> int:
    """Reckons a first `up` on AWS."""
    from bench import aws

    enter()
    stacks = [(3, 1), (20, 1), (5, 3)]
    plans = aws.reckon(stacks)
    path = plans[0].critical()
    text = f"{aws.totals(stacks, plans)}\n{aws.table(path)}"
    picture = "![Spans of the critical path](performance-aws.svg)"
    page.write(PAGE, "bench: aws", f"\nReckoned, not run; {page.today()}.\n\n{text}\n{picture}\n\n")
    spans = [(one.name, one.start, one.start + one.seconds) for one in path]
    title = "A first `up` on AWS: its critical path, reckoned, not run"
    draw_spans(title, spans, PAGE.with_name("performance-aws.svg"))
    print(text)
    return 0


def at_rest(part: str, minutes: float, counts: list[int]) -> int:
    """What the local stack uses when nothing runs, or one node more at so many; 1: it failed."""
    from bench import idle, machines
    from console.stack import ConsoleError, Stack
    from localcloud.errors import CloudError

    enter(local=True)
    try:
        if part == "idle":
            table = idle.table(idle.measure(Stack("local"), minutes))
        else:
            table = machines.table([*machines.measure(counts, minutes)])
    except (ConsoleError, CloudError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    put(part, f"over {minutes:g} minutes each", table)
    return 0


def many_applications(stack: str, count: int, at_once: list[int], minutes: float) -> int:
    """Runs them natively and on the stack's workers; 1 where one is not accounted for."""
    from bench import applications  # what it needs loads slowly
    from console.stack import ConsoleError, Stack

    enter(local=stack == "local")
    load = os.getloadavg()[1]
    try:
        measured = applications.of_both(Stack(stack), count, at_once, 60 * minutes)
    except ConsoleError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    about = f"stack {stack}, at most {minutes:g} minutes for all"
    about += f"; load average of the five minutes before: {load:.1f}"
    put("applications", about, applications.table(measured))
    return 0 if all(one.is_whole for one in measured) else 1


def from_a_store(gigabytes: list[int]) -> int:
    """Counts texts in S3; 1 where one fails."""
    from bench import data
    from console.stack import ConsoleError, Stack

    enter(local=True)
    try:
        measured = data.measure(Stack("local"), gigabytes)
    except ConsoleError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    put("data", "each counted once", data.table(measured, os.cpu_count() or 1))
    return 0


def the_words(args: argparse.Namespace) -> int:
    """Counts words beside other engines; 1 where they disagree."""
    try:
        measured = [words.measure(size, args.rounds, args.engines) for size in args.megabytes]
    except words.Disagreement as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    tables = "\n".join(words.table(one) for one in measured)
    picture = "![Seconds of each engine](performance.svg)"
    put("words", f"rounds in turn, warm: {args.rounds}", tables, picture)
    draw(measured[0], PAGE.with_suffix(".svg"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
