"""What pods ask for and nodes have, and whether the ones can be on the others at all.

Spark and Kubernetes would wait for room, for ever where there can be none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from submission.units import MIB, quantity


@dataclass(frozen=True)
class Amount:
    """cores: CPUs; memory in MiB; devices: (name, count) of each kind, such as GPUs, by name."""

    cores: float
    memory_mib: float
    devices: tuple[tuple[str, int], ...] = ()

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            round(self.cores + other.cores, 3),
            self.memory_mib + other.memory_mib,
            _counts(Counter(dict(self.devices)) + Counter(dict(other.devices))),
        )

    def __sub__(self, other: Amount) -> Amount:
        left = Counter(dict(self.devices))
        left.subtract(dict(other.devices))
        return Amount(
            round(self.cores - other.cores, 3), self.memory_mib - other.memory_mib, _counts(left)
        )

    def __mul__(self, count: int) -> Amount:
        devices = {name: each * count for name, each in self.devices}
        return Amount(round(self.cores * count, 3), self.memory_mib * count, _counts(devices))

    def times_in(self, other: Amount) -> int:
        """How often the other has all of it; it must not be nothing."""
        has = dict(other.devices)
        each = [(self.cores, other.cores), (self.memory_mib, other.memory_mib)]
        each += [(count, has.get(name, 0)) for name, count in self.devices]
        # Cores are thousandths: of sums of them a little may be lacking.
        return max(0, min(int(have / asked + 1e-6) for asked, have in each if asked))

    def __str__(self) -> str:
        more = "".join(f" and {count} {name}" for name, count in self.devices)
        return f"{self.cores:g} CPU and {self.memory_mib:.0f} MiB{more}"

    def is_in(self, other: Amount) -> bool:
        """True where nothing of it is more than the other has."""
        has = dict(other.devices)
        return (
            self.cores <= other.cores
            and self.memory_mib <= other.memory_mib
            and all(count <= has.get(name, 0) for name, count in self.devices)
        )


def _counts(devices: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, count) for name, count in devices.items() if count))


NOTHING = Amount(0, 0)


def requested(requests: Mapping[str, str]) -> Amount:
    """The amount of `resources.requests` in a manifest, or of what a node has."""
    devices = {name: int(quantity(text)) for name, text in requests.items() if "/" in name}
    return Amount(
        quantity(requests.get("cpu", "0")),
        quantity(requests.get("memory", "0")) / MIB,
        _counts(devices),
    )


@dataclass(frozen=True)
class Resources:
    """`resources` of a container: what its manifest says, and what is counted of it.

    cpu, cpu_limit: as Kubernetes writes them. memory_limit_mib: None for just what is requested.
    """

    cpu: str
    memory_mib: int
    cpu_limit: str | None = None
    memory_limit_mib: int | None = None
    devices: tuple[tuple[str, int], ...] = ()

    @property
    def amount(self) -> Amount:
        """What it requests."""
        return requested(self.manifest()["requests"])

    def manifest(self) -> dict[str, Any]:
        """As a container has it."""
        limit = self.memory_mib if self.memory_limit_mib is None else self.memory_limit_mib
        devices = {name: str(count) for name, count in self.devices}
        return {
            "requests": {"cpu": self.cpu, "memory": f"{self.memory_mib}Mi", **devices},
            "limits": {
                "memory": f"{limit}Mi",
                **({} if self.cpu_limit is None else {"cpu": self.cpu_limit}),
                **devices,
            },
        }


@dataclass(frozen=True)
class Pod:
    """One kind of pods: what each asks of its node. named: the properties that say so."""

    what: str
    amount: Amount
    selector: Mapping[str, str] = field(default_factory=dict)
    named: str = ""


@dataclass(frozen=True)
class Allocatable:
    """What a node has for pods."""

    has: Amount
    labels: Mapping[str, str] = field(default_factory=dict)

    def holds(self, pod: Pod) -> int:
        """How many of the pods have room there."""
        return pod.amount.times_in(self.has) if pod.selector.items() <= self.labels.items() else 0

    def suits(self, pod: Pod) -> bool:
        """True where the pod may be there, were all else gone."""
        return pod.selector.items() <= self.labels.items() and pod.amount.is_in(self.has)


def fit_together(pods: Sequence[Pod], nodes: Iterable[Allocatable]) -> bool:
    """Whether there is a way to have all pods on the nodes at once. For few pods: it tries all."""
    if not pods:
        return True
    first, *others = pods
    nodes = list(nodes)
    tried = set()
    for index, node in enumerate(nodes):
        kind = (node.has, frozenset(node.labels.items()))
        if not node.suits(first) or kind in tried:
            continue
        tried.add(kind)
        left = Allocatable(node.has - first.amount, node.labels)
        if fit_together(others, [*nodes[:index], left, *nodes[index + 1 :]]):
            return True
    return False
