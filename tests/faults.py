"""What faults did that were made to happen; `python -m tests.faults` puts it into docs/faults.md.

{"a fault": {"person": "what a person sees", "seconds": 12.3, "lost": "nothing", "date": ...}}
"""

from __future__ import annotations

import json
import sys
import time

from bench import page
from bench.machine import machine
from toolchain import paths

FOUND = paths.SCRATCH / "faults.seen.json"
PAGE = paths.CHECKOUT / "docs" / "faults.md"


class Fault:
    """One that begins now; `well` is called once all is as it was, and nothing was lost."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()

    def well(self, person: str) -> None:
        """Takes down what a person saw of it, and how long it took until now."""
        known = json.loads(FOUND.read_text()) if FOUND.exists() else {}
        known[self._what] = {
            "person": person,
            "seconds": round(time.monotonic() - self._began),
            "date": page.today(),
        }
        paths.replace(FOUND, json.dumps(known, indent=1, ensure_ascii=False) + "\n")


def table() -> str:
    """The rows of all that this checkout has seen, with the machine."""
    rows = [
        f"| {what} | {one['person']} | {one['seconds']} | nothing | {one['date']} |"
        for what, one in json.loads(FOUND.read_text()).items()
    ]
    head = ["| fault | what a person sees | seconds until well again | lost | seen |"]
    return "\n".join(["", f"On {machine()}:", "", *head, "|---|---|---|---|---|", *rows, "", ""])


def main() -> int:
    """Writes the page's table."""
    page.write(PAGE, "make torture", table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
