"""`make opex`: what each namespace uses and costs; `make opex-forward`: the engine's own page."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from console.stack import ConsoleError, Stack
from console.status import kubeconfig, kubectl

#: Seconds until an engine has its first data, and between two looks at it. kube-opex-analytics
#: looks at the cluster every five minutes.
_LIMITS = {"kube-opex-analytics": (1200, 15), "kube-resource-report": (180, 5)}
_HOURS_PER_MONTH = 24 * 30.4375
_MIB = 2**20

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
        namespace: Use(cpu, memory, monthly / _HOURS_PER_MONTH)
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


# ---- in a cluster


def _opex(stack: Stack) -> dict[str, Any]:
    """The stack's output `opex`."""
    if not stack.exists():
        raise ConsoleError(f"there is no stack {stack.name}; `make up` makes one")
    opex = stack.outputs().get("opex")
    if not opex:
        raise ConsoleError(f"stack {stack.name} has no cost analytics; opex.engine names one")
    return opex


def reader(stack: Stack, config: str, opex: dict[str, Any]) -> Read:
    """Reads the engine's files over the cluster's API, with the kubeconfig's rights."""
    service = f"{opex['namespace']}/services/http:{opex['service']}:80"

    def read(path: str) -> str:
        try:
            return kubectl(
                stack, config, "get", "--raw", f"/api/v1/namespaces/{service}/proxy/{path}"
            )
        except ConsoleError as error:
            raise NotYet(f"{path} of {opex['engine']}: {error}") from None

    return read


def show(stack: Stack, namespace: str = "spark") -> None:
    """Prints use and cost of all namespaces, once there is some of the given one."""
    opex = _opex(stack)
    engine, rate = opex["engine"], opex["hourlyRate"]
    with kubeconfig(stack) as config:
        read = reader(stack, config, opex)
        wait_for(engine, lambda: use_of(namespace, engine, read, rate))
        print(table(use_by_namespace(engine, read, rate)))
    print(f"\n{_MEANING[engine]}" + (f" All nodes: {rate} USD an hour." if rate else ""))


_MEANING = {
    "kube-opex-analytics": (
        "kube-opex-analytics. Cost: the nodes' price by what is used of CPU and memory;"
        " what no pod can have is nobody's."
    ),
    "kube-resource-report": (
        "kube-resource-report. Cost: the nodes' price by what is requested of CPU or memory,"
        " whichever is more; what nobody requests is nobody's."
    ),
}


def wait_for(engine: str, ask: Callable[[], Use]) -> Use:
    """The first answer. Raises ConsoleError that says what is missing when the time is over."""
    limit, pause = _LIMITS[engine]
    end = time.monotonic() + limit
    said = ""
    while True:
        try:
            return ask()
        except NotYet as missing:
            if time.monotonic() > end:
                raise ConsoleError(f"no data within {limit // 60} minutes: {missing}") from None
            if str(missing) != said:
                said = str(missing)
                print(f"waiting (at most {limit // 60} minutes): {said}", flush=True)
        time.sleep(pause)


def table(found: dict[str, Use]) -> str:
    """A line a namespace, the dearest first, and their sum."""
    costs = [use.cost for use in found.values() if use.cost is not None]
    total = Use(
        sum(use.cpu for use in found.values()),
        sum(use.memory for use in found.values()),
        sum(costs) if costs else None,
    )
    width = max(len(name) for name in ["namespace", *found])
    lines = [f"{'namespace':<{width}}  {'cores':>7}  {'MiB':>7}  {'USD/hour':>9}  {'USD/month':>9}"]
    ranked = sorted(found.items(), key=lambda item: (-(item[1].cost or 0), item[0]))
    for name, use in [*ranked, ("all", total)]:
        hour, month = (
            ("-", "-")
            if use.cost is None
            else (f"{use.cost:.5f}", f"{use.cost * _HOURS_PER_MONTH:.2f}")
        )
        lines.append(
            f"{name:<{width}}  {use.cpu:>7.3f}  {use.memory / _MIB:>7.0f}  {hour:>9}  {month:>9}"
        )
    return "\n".join(lines)


def forward(stack: Stack) -> None:
    """Forwards a port of this machine's loopback to the engine's page, until it is interrupted."""
    opex = _opex(stack)
    with kubeconfig(stack) as config:
        process = subprocess.Popen(
            [
                *("kubectl", "--kubeconfig", config, "--namespace", opex["namespace"]),
                *("port-forward", "--address", "127.0.0.1", f"service/{opex['service']}", ":80"),
            ],
            env=stack.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.match(r"Forwarding from (127\.0\.0\.1:\d+) ", line):
                    print(f"{opex['engine']}: http://{found[1]}/ (Ctrl-C ends it)", flush=True)
        except KeyboardInterrupt:
            return
        finally:
            process.terminate()
            process.wait()
    raise ConsoleError("the forwarding has ended; its own words are above")
