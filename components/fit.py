"""Whether all that a stack places has room on its nodes, before the first of them is made.

What is counted is what the scheduler counts: the pods' requests, from where the pods have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import yaml

from components import opex
from components.applications import place_of
from components.aws.nodes import Machine
from components.cluster import addons, kubeadm
from components.settings import Settings, SettingsError, SparkSettings
from components.settings.errors import Unrunnable, WrongSettings
from components.spark import places
from components.spark.values import CHART, spark_values
from components.wordcount import describe
from submission.errors import ApplicationError
from submission.resolve import resolve
from submission.room import require_room
from submission.sizes import NOTHING, Allocatable, Amount, requested

# What a machine's kernel and firmware keep of its memory (Karpenter reckons the same), and the
# kubelet's evictionHard (init.sh).
_KERNELS_SHARE, _EVICTED_AT_MIB = 0.075, 100
# What the chart adds to a worker's memory: what executors need beside their heap, and its own.
_BESIDE_MIB = 512 + 384
_MOST_NODES = 100
"""Up to here the least number of nodes is looked for."""


@dataclass(frozen=True)
class _Pods:
    """So many pods of one kind."""

    what: str
    each: Amount
    count: int = 1
    on_workers: bool = True  # which the only node of a small stack is, too

    @property
    def all(self) -> Amount:
        """What they ask for together."""
        return self.each * self.count

    def __str__(self) -> str:
        return f"{self.what} {self.each}" + (f" × {self.count}" if self.count > 1 else "")


def room_of(machine: Machine) -> Amount:
    """What one node of that kind has for pods."""
    memory = int(machine.memory_mib * (1 - _KERNELS_SHARE)) - _EVICTED_AT_MIB
    return Amount(machine.vcpus, memory)


def require_fit(settings: Settings, machine: Machine) -> None:
    """Raises SettingsError for more pods than the nodes hold."""
    _require_worker_fits(settings.spark, machine)
    _require_applications_fit(settings, machine)
    count = settings.nodes.count
    if _fits(settings, machine, count):
        return
    pods = _placed(settings, count)
    asked = sum((item.all for item in pods), NOTHING)
    has = room_of(machine)
    enough = next(
        (more for more in range(count + 1, _MOST_NODES) if _fits(settings, machine, more)), None
    )
    more = f"at least {enough}" if enough else "more"
    if settings.spark.workers is not None:
        more += ", or spark.workers fewer"
    raise SettingsError(
        "nodes.count",
        count,
        f"{more}, or nodes.type a larger one: the stack's pods ask for {asked} together"
        f" ({', '.join(map(str, pods))}), and {settings.nodes.type} has {has} on each node"
        + (", of which the control plane takes no work" if count > 1 else ""),
    )


def _require_worker_fits(settings: SparkSettings, machine: Machine) -> None:
    """Raises SettingsError for workers that no node can hold."""
    most = machine.memory_mib - _BESIDE_MIB
    if settings.worker_memory_mib > most:
        raise SettingsError(
            "spark.workerMemoryMiB",
            settings.worker_memory_mib,
            f"at most {most}: a {machine.instance_type} has {machine.memory_mib} MiB,"
            f" and a worker needs {_BESIDE_MIB} beside",
        )


def _require_applications_fit(settings: Settings, machine: Machine) -> None:
    """Each by itself, as `make submit` asks it: what has no room beside others waits for it."""
    workers, wrong = max(1, settings.nodes.count - 1), []
    nodes = [Allocatable(room_of(machine) - addons.FLANNEL_REQUESTS)] * workers
    for name, given in settings.applications.items():
        try:
            resolved = resolve(given.application(name), place_of(settings, name, workers))
            # Which labels a node will have is not known here.
            require_room(resolved.anywhere(), nodes)
        except ApplicationError as error:
            wrong.append(Unrunnable(f"applications.{name}", error))
    if wrong:
        raise WrongSettings(wrong)


def _fits(settings: Settings, machine: Machine, count: int) -> bool:
    """Whether the scheduler finds a place for each pod: the largest first, on the first node."""
    node = room_of(machine) - addons.FLANNEL_REQUESTS
    nodes = [node] * count
    pods = [pods for pods in _placed(settings, count) if pods.what not in _ON_EACH_NODE]
    nodes[0] -= kubeadm.STATIC_PODS_REQUEST
    if not NOTHING.is_in(nodes[0]):
        return False
    asked = sum((item.all for item in pods), NOTHING)
    if not asked.is_in(sum(nodes, NOTHING)):
        return False  # however many there are
    for item in sorted(pods, key=lambda item: item.each.memory_mib, reverse=True):
        first = 1 if item.on_workers and count > 1 else 0
        for _ in range(item.count):
            place = next((i for i in range(first, count) if item.each.is_in(nodes[i])), None)
            if place is None:
                return False
            nodes[place] -= item.each
    return True


_ON_EACH_NODE = ("flannel", "the control plane's own pods")


def _placed(settings: Settings, count: int) -> list[_Pods]:
    """All pods of a stack of so many nodes."""
    return [
        _Pods(_ON_EACH_NODE[0], addons.FLANNEL_REQUESTS, count),
        _Pods(_ON_EACH_NODE[1], kubeadm.STATIC_PODS_REQUEST),
        _Pods("CoreDNS", kubeadm.COREDNS_REQUESTS, kubeadm.COREDNS_PODS, on_workers=False),
        _Pods("metrics-server", addons.METRICS_SERVER_REQUESTS),
        *_of_spark(settings, max(1, count - 1)),
        *_of_opex(settings),
        *_of_the_count(settings, max(1, count - 1)),
    ]


def _of_spark(settings: Settings, workers: int) -> Iterator[_Pods]:
    values = _values(CHART, spark_values(settings, workers, ""))
    for name, count in (
        ("master", 1),
        ("worker", values["worker"]["replicas"]),
        ("history", int(values["history"]["enabled"])),
        ("connect", int(values["connect"]["enabled"])),
    ):
        if count:
            yield _Pods(f"Spark's {name}", requested(values[name]["resources"]["requests"]), count)


def _of_opex(settings: Settings) -> Iterator[_Pods]:
    if settings.opex.engine is None or not Path(settings.opex.chart).is_dir():
        return  # what is in a chart elsewhere is not known here
    values = _values(settings.opex.chart, opex.opex_values(settings, ""))
    engine = values.get("engines", {}).get(settings.opex.engine, {})
    each = requested(values.get("resources", {}).get("requests", {}))
    yield _Pods("the cost analytics", each * (2 if engine.get("web") else 1))


def _of_the_count(settings: Settings, workers: int) -> Iterator[_Pods]:
    place = places.spark_place(settings, workers)
    try:
        resolved = resolve(describe("wordcount", settings.word_count, place), place)
    except ApplicationError as error:
        raise pulumi.RunError(str(error)) from None
    for pod in resolved.drivers:
        yield _Pods("the word count's driver", pod.amount)
    if resolved.executor_pod is not None:
        yield _Pods("its executor", resolved.executor_pod.amount, resolved.executors)


def _values(chart: str, ours: Mapping[str, Any]) -> dict[str, Any]:
    """A chart's values with ours over them, as Helm has them."""
    return _merged(yaml.safe_load((Path(chart) / "values.yaml").read_text()), ours)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in over.items():
        old = found.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        found[key] = _merged(old, value) if both else value
    return found
