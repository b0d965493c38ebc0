"""One node more on the local cloud, at so many: seconds, and what the machines idle with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench import idle
from bench.idle import Use, total
from bench.up import TEXT, timed
from bench.words import say
from console.stack import Stack
from console.verbs import up

#: What is still at work just after an update goes on for about so many seconds.
SETTLES = 60


@dataclass(frozen=True)
class Counted:
    """nodes: that there were. more, same: seconds of `make up` with one more, and with no change.

    used: by machines, the control plane first, with all of them. host: the local cloud's own.
    """

    nodes: int
    more: float
    same: float
    used: Sequence[Use]
    host: Use


class Of(Stack):
    """The local stack, with another count than its settings say."""

    count = 3

    def check(self) -> dict[str, Any]:
        """The configuration in the checkout, with the count."""
        fresh = super().check()
        fresh["config"]["tinderbox:nodes"] |= {"count": self.count}
        return fresh


def measure(counts: Sequence[int], minutes: float) -> Iterator[Counted]:
    """Of so many nodes each, of a local stack that stands; the last leaves it as large as it is."""
    stack = Of("local")
    for count in sorted(counts):
        made = {}
        for stack.count, what in ((count, "first"), (count, "same"), (count + 1, "more")):
            made[what] = timed(lambda: up.up(stack, str(TEXT)))
            say(f"{stack.count} nodes: {made[what]:.1f} s ({what})")
        time.sleep(SETTLES)
        used = idle.measure(stack, minutes)
        by_machine = idle.by_machine(used)
        host = total(use for part, use in used.items() if part.on == idle.HOST)
        ids = [node["instanceId"] for node in stack.nodes()]
        yield Counted(count, made["more"], made["same"], [by_machine[id] for id in ids], host)


def table(counted: Sequence[Counted]) -> str:
    """Markdown: a row for each number of nodes."""
    head = [
        *("nodes", "one more (s)", "times the first row's", "no change (s)", "machines then"),
        *("control plane: cores, MiB", "a worker: cores, MiB", "all machines: cores, MiB"),
        "the local cloud's own: cores, MiB",
    ]
    lines = [f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n"]
    for one in counted:
        workers = total(one.used[1:])
        each = Use(*(value / (len(one.used) - 1) for value in (workers.cpu, workers.memory)))
        cells = [
            f"{one.nodes}",
            f"{one.more:.0f}",
            f"{one.more / counted[0].more:.2f}",
            f"{one.same:.1f}",
            f"{len(one.used)}",
            *(_both(use) for use in (one.used[0], each, total(one.used), one.host)),
        ]
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


def _both(use: Use) -> str:
    return f"{use.cpu:.3f}, {use.memory / 2**20:,.0f}"
