"""Whether all that a stack places has room on its nodes, before the first of them is made.

What is counted is what the scheduler counts: the pods' requests, from where the pods have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import yaml

from components import opex
from components.applications import place_of
from components.cluster import addons, kubeadm
from components.node import Machine
from components.settings import Settings, SettingsError, SparkSettings
from components.settings.errors import PROJECT, Unrunnable, WrongSettings
from components.settings.node_plan import NodePlan, node_plans, taking
from components.spark import places
from components.spark.values import CHART, spark_values
from components.wordcount import describe
from submission.application import Application
from submission.errors import ApplicationError
from submission.nodes import is_tolerated, keep_off
from submission.resolve import Resolved, resolve
from submission.room import require_room
from submission.sizes import NOTHING, Allocatable, Amount, requested

# What a machine's kernel and firmware keep of its memory (Karpenter reckons the same), and the
# kubelet's evictionHard (init.sh).
_KERNELS_SHARE, _EVICTED_AT_MIB = 0.075, 100
# What the chart adds to a worker's memory: what executors need beside their heap, and its own.
_BESIDE_MIB = 512 + 384
_MOST_NODES = 100
"""Up to here the least number of nodes is looked for."""
_TAKE_NO_WORK = (
    ", of which the control plane takes no work",
    ", of which the control planes take no work",
)


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


def require_fit(settings: Settings, machines: Mapping[str, Machine]) -> None:
    """Raises SettingsError for more pods than the nodes hold. machines: by type."""
    plans = node_plans(settings)
    _require_worker_fits(settings.spark, [machines[plan.type] for plan in taking(plans)])
    _require_applications_fit(settings, machines)
    if _fits(settings, machines):
        return
    count = settings.nodes.count
    pods = _placed(settings)
    asked = sum((item.all for item in pods), NOTHING)
    has = room_of(machines[settings.nodes.type])
    enough = next(
        (
            more
            for more in range(count + 1, _MOST_NODES)
            if _fits(_with_nodes(settings, more), machines)
        ),
        None,
    )
    more = f"at least {enough}" if enough else "more"
    if settings.spark.workers is not None:
        more += ", or spark.workers fewer"
    raise SettingsError(
        "nodes.count",
        count,
        f"{more}, or nodes.type a larger one: the stack's pods ask for {asked} together"
        f" ({', '.join(map(str, pods))}), and {settings.nodes.type} has {has} on each node"
        + ("" if plans[0] in taking(plans) else _TAKE_NO_WORK[settings.nodes.control_planes > 1]),
    )


def _with_nodes(settings: Settings, count: int) -> Settings:
    return settings.model_copy(update={"nodes": settings.nodes.model_copy(update={"count": count})})


def _require_worker_fits(settings: SparkSettings, machines: Iterable[Machine]) -> None:
    """Raises SettingsError for workers that no node can hold."""
    largest = max(machines, key=lambda machine: machine.memory_mib)
    most = largest.memory_mib - _BESIDE_MIB
    if settings.worker_memory_mib > most:
        raise SettingsError(
            "spark.workerMemoryMiB",
            settings.worker_memory_mib,
            f"at most {most}: a {largest.instance_type} has {largest.memory_mib} MiB,"
            f" and a worker needs {_BESIDE_MIB} beside",
        )


def _require_applications_fit(settings: Settings, machines: Mapping[str, Machine]) -> None:
    """Each by itself, as `make submit` asks it: what has no room beside others waits for it."""
    plans = node_plans(settings)
    anybodys, wrong, used = taking(plans), [], set[str]()
    for name, given in settings.applications.items():
        try:
            application = given.application(name)
            resolved = resolve(application, place_of(settings, name, len(anybodys)))
            its = [plan for plan in plans[1:] if _tolerates(application, plan)]
            used |= {plan.key for plan in its}
            nodes = [
                Allocatable(room_of(machines[plan.type]) - addons.FLANNEL_REQUESTS, plan.own_labels)
                for plan in (*anybodys, *its)
            ]
            require_room(_as_far_as_known(resolved, nodes), nodes)
        except ApplicationError as error:
            wrong.append(Unrunnable(f"applications.{name}", error))
    if wrong:
        raise WrongSettings(wrong)
    for name, group in settings.workers.items():
        if keep_off(group.taints) and f"workers.{name}" not in used:
            # No error: what else comes there is not known here.
            pulumi.log.warn(
                f"{PROJECT}:workers.{name}.taints: no application of the settings tolerates"
                f" {', '.join(keep_off(group.taints))}; only pods of your own come there, and what"
                " `make submit` runs with --toleration"
            )


def _tolerates(application: Application, plan: NodePlan) -> bool:
    """Whether the driver or the executors may come to a node with taints."""
    taints = keep_off(plan.taints)
    return bool(taints) and any(
        all(is_tolerated(one, pods.tolerations) for one in taints)
        for pods in (application.driver, application.executor)
    )


def _as_far_as_known(resolved: Resolved, nodes: Sequence[Allocatable]) -> Resolved:
    """Labels that no group gives may be on nodes all the same, by kubectl."""
    pods = [*resolved.drivers, *([resolved.executor_pod] if resolved.executor_pod else [])]
    is_known = all(
        any(pod.selector.items() <= node.labels.items() for node in nodes) for pod in pods
    )
    return resolved if is_known else resolved.anywhere()


def _fits(settings: Settings, machines: Mapping[str, Machine]) -> bool:
    """Whether the scheduler finds a place for each pod: the largest first, on the first node."""
    plans = [plan for plan in node_plans(settings) if plan.is_control_plane or plan.takes_any]
    nodes = [room_of(machines[plan.type]) - addons.FLANNEL_REQUESTS for plan in plans]
    pods = [pods for pods in _placed(settings) if pods.what not in _ON_EACH_NODE]
    first = settings.nodes.control_planes
    for place in range(first):
        nodes[place] -= kubeadm.STATIC_PODS_REQUEST
        if not NOTHING.is_in(nodes[place]):
            return False
    asked = sum((item.all for item in pods), NOTHING)
    if not asked.is_in(sum(nodes, NOTHING)):
        return False  # however many there are
    for item in sorted(pods, key=lambda item: item.each.memory_mib, reverse=True):
        least = first if item.on_workers and len(nodes) > first else 0
        for _ in range(item.count):
            place = next((i for i in range(least, len(nodes)) if item.each.is_in(nodes[i])), None)
            if place is None:
                return False
            nodes[place] -= item.each
    return True


_ON_EACH_NODE = ("flannel", "the control plane's own pods")


def _placed(settings: Settings) -> list[_Pods]:
    """All pods of a stack."""
    plans = node_plans(settings)
    workers = len(taking(plans))
    return [
        _Pods(_ON_EACH_NODE[0], addons.FLANNEL_REQUESTS, len(plans)),
        _Pods(_ON_EACH_NODE[1], kubeadm.STATIC_PODS_REQUEST, settings.nodes.control_planes),
        _Pods("CoreDNS", kubeadm.COREDNS_REQUESTS, kubeadm.COREDNS_PODS, on_workers=False),
        _Pods("metrics-server", addons.METRICS_SERVER_REQUESTS),
        *_of_spark(settings, workers),
        *_of_opex(settings),
        *_of_the_count(settings, workers),
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
