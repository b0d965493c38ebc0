"""What each namespace uses and costs, from the data of either engine of the cost analytics."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from console.stack import ConsoleError, Stack, require_stack

HOURS_PER_MONTH = 24 * 30.4375

#: Takes the path of one of the engine's files, returns its text; NotYet where there is none.
Read = Callable[[str], str]


class NotYet(Exception):
    """The engine has no such data so far; the message says what is missing."""


@dataclass(frozen=True)
class Use:
    """What a namespace uses and costs.

    cpu: cores. memory: bytes. cost: USD an hour; None where the stack has no price.
    """

    cpu: float
    memory: float
    cost: float | None


def analytics_of(stack: Stack) -> dict[str, Any]:
    """The stack's output `opex`. Raises ConsoleError where it has none."""
    require_stack(stack)
    opex = stack.outputs().get("opex")
    if not opex:
        raise ConsoleError(f"stack {stack.name} has no cost analytics; opex.engine names one")
    return opex


def use_of(namespace: str, engine: str, read: Read, hourly_rate: float | None) -> Use:
    """What one namespace uses and costs, from the engine's own data.

    hourly_rate: of all nodes, in USD. Raises NotYet; ConsoleError where a node costs nothing.
    """
    found = use_by_namespace(engine, read, hourly_rate).get(namespace)
    if found is None:
        raise NotYet(f"{engine} does not list the namespace {namespace}")
    if not (found.cpu > 0 and found.memory > 0):
        raise NotYet(f"no CPU and memory use of {namespace} (metrics-server has to measure it)")
    return found


def use_by_namespace(engine: str, read: Read, hourly_rate: float | None) -> dict[str, Use]:
    """The same for each namespace that the engine lists."""
    if engine == "kube-opex-analytics":
        return _opex_analytics(read, hourly_rate)
    return _resource_report(read)


def _resource_report(read: Read) -> dict[str, Use]:
    """kube-resource-report's files; its costs are those of a month.

    By pod, since it rounds the namespaces' CPU to hundredths of a core.
    """
    nodes = _rows(read("nodes.tsv"))
    for node in nodes:
        if not float(node["Cost [USD]"]) > 0:
            raise ConsoleError(
                f"node {node['Node']} costs 0: no price for its type ({node['Instance Type']}) in"
                " its region; nodes.price is for nodes.type in aws.region, and the node's labels"
                " node.kubernetes.io/instance-type and topology.kubernetes.io/region count"
            )
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for pod in _rows(read("pods.tsv")):
        for index, column in enumerate(("CPU Usage", "Memory Usage", "Cost [USD]")):
            sums[pod["Namespace"]][index] += float(pod[column])
    return {
        namespace: Use(cpu, memory, monthly / HOURS_PER_MONTH)
        for namespace, (cpu, memory, monthly) in sums.items()
    }


def _opex_analytics(read: Read, hourly_rate: float | None) -> dict[str, Use]:
    """kube-opex-analytics' trends, in percent of all nodes' capacity.

    Of the bill, a namespace has the mean of its shares in CPU and in memory: the engine charges by
    each of the two (CHARGE_BACK), but shows it only after an hour.
    """
    nodes = _json(read("dataset/nodes.json")).values()
    cores, memory = (sum(node[key] for node in nodes) for key in ("cpuCapacity", "memCapacity"))
    cpu_percents, memory_percents = (
        _latest(_json(read(f"dataset/{kind}_usage_trends.json"))) for kind in ("cpu", "memory")
    )
    namespaces = (cpu_percents.keys() & memory_percents.keys()) - {"non-allocatable"}
    if not namespaces:
        raise NotYet("no usage trends: the engine looks every 5 minutes, and needs two looks")
    all_cpu, all_memory = sum(cpu_percents.values()), sum(memory_percents.values())
    found = {}
    for name in namespaces:
        share = (cpu_percents[name] / all_cpu + memory_percents[name] / all_memory) / 2
        cost = None if hourly_rate is None else hourly_rate * share
        found[name] = Use(
            cores * cpu_percents[name] / 100, memory * memory_percents[name] / 100, cost
        )
    return found


def _latest(trends: list[dict[str, Any]]) -> dict[str, float]:
    """The last value of each series that still goes on (a namespace that is gone keeps its own).

    Series of more than an hour are of hours, others of five minutes.
    """
    last: dict[str, tuple[datetime, float]] = {}
    for point in trends:
        at = datetime.fromisoformat(point["dateUTC"])
        if point["name"] not in last or at > last[point["name"]][0]:
            last[point["name"]] = (at, float(point["usage"]))
    newest = max((at for at, _ in last.values()), default=None)
    return {
        name: usage
        for name, (at, usage) in last.items()
        if newest and newest - at < timedelta(hours=2)
    }


def _json(text: str) -> Any:
    """A JSON file; NotYet while the engine is writing it."""
    try:
        return json.loads(text)
    except ValueError:
        raise NotYet("no whole dataset: the engine writes one every 5 minutes") from None


def _rows(text: str) -> list[dict[str, str]]:
    """Rows of a file with tabs and a heading; NotYet while the engine is writing it."""
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
    if not rows or not text.endswith("\n"):
        raise NotYet("no whole report: the engine writes one every minute")
    return rows
