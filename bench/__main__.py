"""python -m bench [--megabytes N ...] [--rounds N] [--engines NAME ...]: measures, and writes
docs/performance.md. Of engines duckdb and the bare scan have to be among them."""

from __future__ import annotations

import argparse
import datetime
import re
import sys

from bench import contender, words
from bench.machine import machine
from bench.picture import draw
from toolchain import paths

PAGE = paths.CHECKOUT / "docs" / "performance.md"


def put(page: str, part: str, text: str) -> str:
    """The page with this text between the marks of a part. Raises ValueError where it has none."""
    marks = re.compile(f"(<!-- bench: {part} -->\n).*?(<!-- end -->\n)", re.DOTALL)
    if not marks.search(page):
        raise ValueError(f"{PAGE.name} has no part {part}")
    return marks.sub(lambda found: f"{found[1]}{text}{found[2]}", page)


def main() -> int:
    """Measures the word count; exit code 1 where engines disagree."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[300])
    parser.add_argument("--rounds", type=int, default=3)
    names = list(contender.CONTENDERS)
    parser.add_argument("--engines", nargs="+", choices=names, default=names, metavar="NAME")
    args = parser.parse_args()
    if missing := set(words.COMPARED_TO) - set(args.engines):
        parser.error(f"--engines needs {' and '.join(sorted(missing))}, too")
    try:
        measured = [words.measure(size, args.rounds, args.engines) for size in args.megabytes]
    except words.Disagreement as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    tables = "\n".join(words.table(one) for one in measured)
    text = f"\n{today}, {machine()}, rounds in turn, warm: {args.rounds}.\n\n{tables}\n"
    text += "![Seconds of each engine](performance.svg)\n\n"
    paths.replace(PAGE, put(PAGE.read_text("utf-8"), "words", text))
    draw(measured[0], PAGE.with_suffix(".svg"))
    print(tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
