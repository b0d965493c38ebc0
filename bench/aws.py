"""How long a first `up` on AWS takes, reckoned: nothing is run there.

The program's own resources, as a preview against moto tells them, with what each waits for; what
each takes is in aws.toml, with its source. Without end many are made side by side.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.moto import against_moto

_COUNT = "wordcount-result"
"""The step that prints the count."""
_WAITS = ("parent", "deletedWith")
"""Besides its dependencies: Pulumi's SDK registers a resource once it knows their URNs."""


@dataclass(frozen=True)
class Work:
    """A resource. name: without what is the stack's and numbers. after: URNs that it waits for."""

    name: str
    type: str
    after: frozenset[str]


@dataclass(frozen=True)
class Figures:
    """What aws.toml has."""

    start: float
    aws: Mapping[str, tuple[float, str]]
    steps: Mapping[str, float]
    more: Mapping[str, tuple[float, str]]
    shorter: Sequence[tuple[str, Sequence[str]]]

    @classmethod
    def read(cls) -> Figures:
        """As it lies here."""
        found = tomllib.loads(Path(__file__).with_name("aws.toml").read_text("utf-8"))
        keyed = {
            group: {key: (float(value[0]), value[1]) for key, value in found[group].items()}
            for group in ("aws", "more")
        }
        shorter = [(one["what"], one["drops"]) for one in found["shorter"]]
        return cls(float(found["start"]), keyed["aws"], found["steps"], keyed["more"], shorter)

    def without(self, names: Iterable[str]) -> Figures:
        """The same with nothing of `more` for these."""
        left = {name: value for name, value in self.more.items() if name not in {*names}}
        return replace(self, more=left)

    def of(self, work: Work) -> tuple[float, str]:
        """Seconds, and where they come from."""
        package, _, type_ = work.type.partition(":")
        if package in ("tinderbox", "pulumi"):
            return 0.0, ""
        if package == "aws":
            return self.aws.get(type_, self.aws["call"])
        more, why = self.more.get(work.name, (0.0, ""))
        seconds = float(self.steps.get(work.name, self.steps["other"]))
        return seconds + more, "; ".join(filter(None, ("local cloud", why)))


@dataclass(frozen=True)
class Span:
    """Something on the critical path. saves: by how much it all is shorter if it takes no time."""

    name: str
    start: float
    seconds: float
    source: str
    saves: float


@dataclass(frozen=True)
class Plan:
    """A first `up`. works: by URN."""

    works: Mapping[str, Work]
    figures: Figures

    @cached_property
    def count(self) -> str:
        """The URN of what prints the count."""
        (found,) = (urn for urn, work in self.works.items() if work.name == _COUNT)
        return found

    def ends(self, free: str | None = None) -> dict[str, float]:
        """When each is there, in seconds. free: a name and type that takes no time (`_kind`)."""
        ends: dict[str, float] = {}
        for urn in self._order:
            work = self.works[urn]
            begins = max((ends[one] for one in work.after), default=self.figures.start)
            takes = 0.0 if _kind(work) == free else self.figures.of(work)[0]
            ends[urn] = begins + takes
        return ends

    @cached_property
    def _order(self) -> list[str]:
        """URNs, each after those that it waits for."""
        found: dict[str, None] = {}
        left = [*self.works]
        while left:
            urn = left[-1]
            new = [one for one in self.works[urn].after if one not in found]
            left += new
            if not new:
                found[left.pop()] = None
        return [*found]

    @cached_property
    def seconds(self) -> float:
        """From nothing to the count."""
        return self.ends()[self.count]

    def shorter(self) -> list[tuple[str, float]]:
        """What would shorten it, each with all that is before it, and the seconds then."""
        figures, found = self.figures, []
        for what, names in self.figures.shorter:
            figures = figures.without(names)
            found.append((what, Plan(self.works, figures).seconds))
        return found

    def critical(self) -> list[Span]:
        """What the count waits for, from the first to the last."""
        ends, urn, path = self.ends(), self.count, []
        while urn:
            work = self.works[urn]
            seconds, source = self.figures.of(work)
            if seconds:
                saves = self.seconds - self.ends(_kind(work))[self.count]
                path.append(Span(work.name, ends[urn] - seconds, seconds, source, saves))
            urn = max(work.after, key=lambda one: ends[one], default="")
        return path[::-1]


def _kind(work: Work) -> str:
    return f"{work.type} {work.name}"


def plan(steps: Iterable[Mapping[str, Any]], stack: str, figures: Figures) -> Plan:
    """Of the steps that `pulumi preview --json` lists."""
    states = [step["newState"] for step in steps]
    known = {state["urn"] for state in states}
    works = {}
    for state in states:
        after = {*state.get("dependencies", []), *(state.get(key, "") for key in _WAITS)}
        after.add(state.get("provider", "").rpartition("::")[0])  # named with its id
        name = state["urn"].rpartition("::")[2].removeprefix(f"tinderbox-{stack}-")
        name = re.sub(r"^(worker|control-plane)-\d+", r"\1", name)
        works[state["urn"]] = Work(name, state["type"], frozenset(after & known))
    return Plan(works, figures)


def reckon(stacks: Sequence[tuple[int, int]]) -> list[Plan]:
    """Of stacks of so many nodes, and control planes among them."""
    from tests.engine.conftest import STACK

    figures, found = Figures.read(), []
    with against_moto() as engine:
        for count, control_planes in stacks:
            engine.configure(nodes={"count": count, "controlPlanes": control_planes})
            found.append(plan(engine.preview(), STACK, figures))
    return found


def totals(stacks: Sequence[tuple[int, int]], plans: Sequence[Plan]) -> str:
    """Markdown: a row for each stack, and what would shorten it in columns."""
    head = [
        "nodes",
        "control planes",
        "to the count (s)",
        *(what for what, _ in plans[0].shorter()),
    ]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for (nodes, control_planes), one in zip(stacks, plans, strict=True):
        seconds = [one.seconds, *(then for _, then in one.shorter())]
        cells = [nodes, control_planes, *(f"{value:.0f}" for value in seconds)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def table(path: Sequence[Span]) -> str:
    """Markdown: a row for each on the critical path."""
    head = ["from (s)", "what", "takes (s)", "shorter without it (s)", "source"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [
        f"| {one.start:.0f} | {one.name} | {one.seconds:.0f} | {one.saves:.0f} | {one.source} |"
        for one in path
    ]
    return "\n".join(lines) + "\n"
