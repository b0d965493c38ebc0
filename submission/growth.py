"""How many more nodes an application's executors need, beyond what is free on those that are there.

All is reckoned from what Kubernetes says of nodes and pods, each as its API has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from submission.errors import ApplicationError
from submission.nodes import GROUP, may_come
from submission.resolve import Resolved
from submission.sizes import NOTHING, Allocatable, Amount, Pod, requested

_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_COMPONENT = "app.kubernetes.io/component"
_HOST = "kubernetes.io/hostname"
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Room:
    """A node that takes the application: what is free of it, and what one more of its kind has.

    group: of workers; empty for those of `nodes`.
    """

    group: str
    is_worker: bool
    free: Allocatable
    fresh: Allocatable


def rooms(
    nodes: Iterable[Mapping[str, Any]],
    pods: Sequence[Mapping[str, Any]],
    tolerations: Sequence[Mapping[str, Any]],
    *,
    one_worker_each: bool,
) -> list[Room]:
    """Those of nodes that take pods with these tolerations.

    one_worker_each: a node more is a worker of Spark more, where no taint keeps that off.
    """
    used: dict[str, Amount] = defaultdict(lambda: NOTHING)
    everywhere: dict[str, Amount] = defaultdict(lambda: NOTHING)
    worker = NOTHING
    for pod in pods:
        if pod["status"].get("phase") in _ENDED:
            continue
        asked, metadata = asked_of(pod), pod["metadata"]
        node = pod["spec"].get("nodeName", "")
        used[node] += asked
        owners = {owner["kind"] for owner in metadata.get("ownerReferences") or []}
        if "DaemonSet" in owners:
            everywhere[node] += asked
        if (metadata.get("labels") or {}).get(_COMPONENT) == "worker":
            worker = asked
    found = []
    for node in nodes:
        name, labels = node["metadata"]["name"], dict(node["metadata"].get("labels") or {})
        taints = [(taint["key"], taint["effect"]) for taint in node["spec"].get("taints") or []]
        if node["spec"].get("unschedulable") or not may_come(taints, tolerations):
            continue
        has = requested(node["status"]["allocatable"])
        kept = everywhere[name] + (worker if one_worker_each and may_come(taints, ()) else NOTHING)
        others = {key: value for key, value in labels.items() if key != _HOST}
        found.append(
            Room(
                labels.get(GROUP, ""),
                _CONTROL_PLANE not in labels,
                Allocatable(has - used[name], labels),
                Allocatable(has - kept, others),
            )
        )
    return found


def asked_of(pod: Mapping[str, Any]) -> Amount:
    """What the scheduler counts of a pod."""
    spec = pod["spec"]

    def of(container: Mapping[str, Any]) -> Amount:
        return requested((container.get("resources") or {}).get("requests") or {})

    whole = sum(map(of, spec["containers"]), NOTHING)
    for container in spec.get("initContainers") or []:
        first = of(container)
        if container.get("restartPolicy") == "Always":  # it stays beside the others
            whole += first
        else:
            cores = max(whole.cores, first.cores)
            whole = Amount(cores, max(whole.memory_mib, first.memory_mib), whole.devices)
    return whole + requested(spec.get("overhead") or {})


@dataclass(frozen=True)
class Further:
    """nodes: how many more. held: executors that have room then. wanted: executors in all."""

    nodes: int
    held: int
    wanted: int


def further(
    resolved: Resolved, free: Sequence[Allocatable], fresh: Allocatable, most: int
) -> Further:
    """What brings room for all executors at once, wherever the scheduler puts the drivers.

    most: so many nodes more at most. Raises ApplicationError where even they hold no executor.
    """
    executor = resolved.executor_pod
    if executor is None:
        raise ApplicationError("executors of the stack's own workers are not counted in nodes")
    wanted, held = resolved.executors, executors_on(resolved.drivers, executor, free)
    more = 0
    while held < wanted and more < most and fresh.holds(executor):
        more += 1
        held = executors_on(resolved.drivers, executor, [*free, *[fresh] * more])
    if held == 0 or (held < wanted and not fresh.holds(executor)):
        raise ApplicationError(
            f"with {most} more there is no room for the driver and {executor.what} of"
            f" {executor.amount}: one more has {fresh.has}"
        )
    return Further(more, held, wanted)


def executors_on(drivers: Sequence[Pod], executor: Pod, nodes: Sequence[Allocatable]) -> int:
    """How many have room with the drivers at the places that are worst for them; 0 without these.

    It is the scheduler that chooses.
    """
    lost = _most_lost(drivers, executor, nodes)
    return 0 if lost is None else sum(node.holds(executor) for node in nodes) - lost


def _most_lost(drivers: Sequence[Pod], executor: Pod, nodes: Sequence[Allocatable]) -> int | None:
    if not drivers:
        return 0
    first, *others = drivers
    found, tried = [], set()
    for at, node in enumerate(nodes):
        kind = (node.has, first.selector.items() <= node.labels.items())
        if not node.suits(first) or kind in tried:
            continue
        if not others and executor.selector.items() <= node.labels.items():
            tried.add(kind)
        left = Allocatable(node.has - first.amount, node.labels)
        rest = _most_lost(others, executor, [*nodes[:at], left, *nodes[at + 1 :]])
        if rest is not None:
            found.append(node.holds(executor) - left.holds(executor) + rest)
    return max(found, default=None)
