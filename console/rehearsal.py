"""A change of a stack's settings as the local cloud can play it, and the report of how that went.

Values are settings by their whole keys, {"nodes.count": 3}, without what is secret.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from components.settings.errors import SECRETS
from components.settings.groups import keys, kind_of
from components.settings.kinds import Unfit
from console.report import counted
from console.stack import PROJECT, ConsoleError
from toolchain.terminal import shown

Values = dict[str, Any]
# What is played for what a setting was and is to be; None where it is not set.
_Rule = Callable[[Any, Any], tuple[Any, Any]]


def _as_it_is(was: Any, wanted: Any) -> tuple[Any, Any]:
    return was, wanted


def _left_out(was: Any, wanted: Any) -> tuple[Any, Any]:
    return None, None


def _stands_for(first: str, other: str) -> _Rule:
    """One that the local cloud has, and another one where the setting changes."""

    def rule(was: Any, wanted: Any) -> tuple[Any, Any]:
        differs = None not in (was, wanted) and was != wanted
        return was and first, wanted and (other if differs else first)

    return rule


def _at_most(same: int, smaller: int, larger: int) -> _Rule:
    """So much of what stays; of what changes so much of either, and the larger stays the larger."""

    def rule(was: Any, wanted: Any) -> tuple[Any, Any]:
        if None in (was, wanted) or was == wanted:
            return was and min(was, same), wanted and min(wanted, same)
        limits = (smaller, larger) if was < wanted else (larger, smaller)
        return min(was, limits[0]), min(wanted, limits[1])

    return rule


def _group(was: Any, wanted: Any) -> tuple[Any, Any]:
    """A group of workers: one of a type that is here, and two where there are to be more."""
    both = was or wanted or {}, wanted or was or {}
    counts = _at_most(1, 1, 2)(*(one.get("count", 1) for one in both))
    types = _stands_for("t3.medium", "t3.large")(*(one.get("type") for one in both))
    before, after = (
        {**one, "count": count, "type": type_ or "t3.medium"}
        for one, count, type_ in zip(both, counts, types, strict=True)
    )
    return was and before, wanted and after


# By key or group; all else is played as it is. `aws` and `mirror` are the local cloud's.
RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(("aws", "mirror", "s3", "wordCount.output", "applications"), _left_out),
    **dict.fromkeys(("storage.storageClass", "opex.image"), _left_out),
    "cluster.containerdVersion": _left_out,  # the local mirror has one
    "network.cidr": _stands_for("10.42.0.0/16", "10.50.0.0/16"),
    "network.zone": _stands_for("eu-central-1a", "eu-central-1b"),
    "network.operatorCidr": _stands_for("10.43.0.1/32", "10.43.0.0/24"),
    "nodes.type": _stands_for("t3.medium", "t3.large"),
    "nodes.image": _stands_for("newest", "newest"),
    "cluster.podCidr": _stands_for("10.244.0.0/16", "10.200.0.0/16"),
    "cluster.serviceCidr": _stands_for("10.96.0.0/12", "10.112.0.0/12"),
    "opex.engine": _stands_for("kube-resource-report", "kube-resource-report"),
    "nodes.count": _at_most(3, 2, 3),
    "nodes.diskGiB": _at_most(20, 20, 40),
    "workers": _group,
    "spark.workers": _at_most(2, 1, 2),
    "spark.workerCores": _at_most(2, 1, 2),
    "spark.workerMemoryMiB": _at_most(1024, 1024, 1280),
}
# Files of this machine, and images: left out where they are not here.
_HERE = ("wordCount.input", "spark.jars", "spark.image", "opex.chart")
# A cluster keeps the release that it has where the setting goes.
KEPT = ("cluster.version", "cluster.containerdVersion")
_WORDS = {"create": "is new", "update": "is updated in place", "delete": "goes"}
_ANEW = "is made anew"
_ENDS = ("error: preview failed", "error: update failed")


@dataclass(frozen=True)
class Setting:
    """A key: what it was and is to be, and what is played for both; None where it is not set."""

    key: str
    was: Any
    wanted: Any
    before: Any
    after: Any

    def told(self) -> Sequence[str]:
        """For people."""
        four = [
            "not set" if one is None else shown(one) if isinstance(one, str) else json.dumps(one)
            for one in (self.was, self.wanted, self.before, self.after)
        ]
        played = " → ".join(dict.fromkeys(four[2:]))
        is_left_out = (self.before, self.after) == (None, None)
        return self.key, four[0], four[1], "left out" if is_left_out else played


def values(groups: Mapping[str, Any]) -> Values:
    """Of {group: {key: value}}. Raises ConsoleError for what a key does not take."""
    found = {}
    for group, given in groups.items():
        if not isinstance(given, Mapping):
            raise ConsoleError(f"{group} must have keys below it: pulumi config set --path")
        for key, value in ((f"{group}.{name}", one) for name, one in given.items()):
            is_secret = isinstance(value, Mapping) and set(value) == {"secure"}
            if is_secret or key in SECRETS or key.endswith(".secure") or value is None:
                continue
            try:
                found[key] = kind_of(keys()[key]).take(value) if key in keys() else value
            except Unfit as wanted:
                raise ConsoleError(f"{key} is {value!r}; it must be {wanted}") from None
    return found


def translate(was: Values, wanted: Values, is_here: Callable[[str], bool]) -> list[Setting]:
    """Each key that is set in either, and how it is played."""
    found = []
    for key in sorted({*was, *wanted}):
        default = keys()[key].default if key in keys() else None
        old = was.get(key, default)
        new = wanted.get(key, old if key in KEPT else default)
        rule = RULES.get(key) or RULES.get(key.partition(".")[0], _as_it_is)
        before, after = rule(old, new)
        if key in _HERE:
            before, after = (one if one and is_here(one) else None for one in (before, after))
        found.append(Setting(key, old, new, before, after))
    return found


def configured(played: Values, local: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of these values. local: the groups of the local cloud's own stack."""
    found = {group: dict(local[group]) for group in ("aws", "mirror", "network")}
    for key, value in played.items():
        group, _, name = key.partition(".")
        if value is not None:
            found.setdefault(group, {})[name] = value
    return {"config": {f"{PROJECT}:{group}": given for group, given in found.items()}}


def operations(events: Iterable[Mapping[str, Any]], prefix: str = "") -> dict[str, str]:
    """What an update does, from the engine's events: by the resource's name without the prefix."""
    found: dict[str, str] = {}
    for event in events:
        metadata = (event.get("resourcePreEvent") or {}).get("metadata") or {"op": "same"}
        name = metadata.get("urn", "").rpartition("::")[2].removeprefix(prefix)
        if metadata["op"] not in ("same", "read") and found.get(name) != _ANEW:
            found[name] = _WORDS.get(metadata["op"], _ANEW)
    return found


def refusal(events: Iterable[Mapping[str, Any]]) -> str | None:
    """The line with which a preview or an update ended; None where it told none."""
    for said in (event.get("diagnosticEvent") or {} for event in events):
        text = (said.get("prefix", "") + said.get("message", "")).strip()
        if text.startswith("error: ") and text not in _ENDS:
            # What a node says, and a hook, is last.
            return text.splitlines()[-1].removeprefix("error: ").rpartition(" failed: ")[2]
    return None


@dataclass
class Report:
    """What a rehearsal has come to, step by step; str() is Markdown."""

    stack: str
    settings: Sequence[Setting]
    steps: list[tuple[str, str]] = field(default_factory=list)
    planned: dict[str, str] = field(default_factory=dict)
    counts: list[dict[str, Any]] = field(default_factory=list)
    end: str = "Not finished."
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))

    @contextmanager
    def step(self, what: str) -> Generator[None]:
        """Says what comes, and takes down how long it took."""
        print(f"\n--- {what}", flush=True)
        began = time.monotonic()
        yield
        self.steps.append((what, f"{time.monotonic() - began:.1f}"))

    def require_same_count(self) -> None:
        """Raises ConsoleError where the same count of the same text came to something else."""
        first, second = ([one[key] for key in ("words", "distinct", "top")] for one in self.counts)
        stays = all(s.before == s.after for s in self.settings if s.key.startswith("wordCount."))
        if stays and first != second:
            raise ConsoleError("the same text was counted before and after, and the counts differ")

    def __str__(self) -> str:
        told = [s.told() for s in self.settings if not s.was == s.wanted == s.before == s.after]
        changes = [
            (word, ", ".join(f"`{name}`" for name, op in self.planned.items() if op == word))
            for word in dict.fromkeys(self.planned.values())
        ]
        parts = [
            f"# Rehearsal of stack {self.stack}, {self.begun:%Y-%m-%d %H:%M} UTC",
            _table(("setting", "was", "is to be", "played"), told),
            "All else is played as it is, on the local cloud's AWS API and mirror.",
            _table(("step", "seconds"), self.steps),
            _table(("the change", "what"), changes),
            *(
                f"{when}: {counted(one)}"
                for when, one in zip(("Before", "After"), self.counts, strict=False)
            ),
            self.end,
        ]
        return "\n\n".join(filter(None, parts)) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows] if rows else []
    return "\n".join(f"| {' | '.join(line)} |".replace("\n", " ") for line in lines)
