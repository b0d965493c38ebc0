"""`make opex`: what each namespace uses and costs."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from console.cluster import Cluster, connect
from console.costs import (
    HOURS_PER_MONTH,
    NotYet,
    Read,
    Use,
    analytics_of,
    use_by_namespace,
    use_of,
)
from console.stack import ConsoleError, Stack
from console.tables import table
from console.verb import Verb
from console.waiting import Wait

#: Seconds until an engine has its first data, and between two looks at it. kube-opex-analytics
#: looks at the cluster every five minutes.
_LIMITS = {"kube-opex-analytics": (1200, 15), "kube-resource-report": (180, 5)}
_MIB = 2**20
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


def run(options: argparse.Namespace, namespace: str = "spark") -> None:
    """Prints use and cost of all namespaces, once there is some of the given one."""
    stack = Stack(options.stack)
    opex = analytics_of(stack)
    engine, rate = opex["engine"], opex["hourlyRate"]
    read = reader(connect(stack), opex)
    wait_for(engine, lambda: use_of(namespace, engine, read, rate))
    print(costs(use_by_namespace(engine, read, rate)))
    print(f"\n{_MEANING[engine]}" + (f" All nodes: {rate} USD an hour." if rate else ""))


def reader(cluster: Cluster, opex: dict[str, Any]) -> Read:
    """Reads the engine's files over the cluster's API, with the kubeconfig's rights."""
    service = f"{opex['namespace']}/services/http:{opex['service']}:80"

    def read(path: str) -> str:
        try:
            return cluster.get(f"/api/v1/namespaces/{service}/proxy/{path}", accept="*/*")
        except ConsoleError as error:
            raise NotYet(f"{path} of {opex['engine']}: {error}") from None

    return read


def wait_for(engine: str, ask: Callable[[], Use]) -> Use:
    """The first answer. Raises ConsoleError that says what is missing when the time is over."""
    limit, pause = _LIMITS[engine]
    wait = Wait("the first data", limit)
    while True:
        try:
            return ask()
        except NotYet as missing:
            if wait.is_over():
                raise ConsoleError(f"no data within {limit // 60} minutes: {missing}") from None
            wait.tell(str(missing))
        time.sleep(pause)


def costs(found: dict[str, Use]) -> str:
    """A line a namespace, the dearest first, and their sum."""
    known = [use.cost for use in found.values() if use.cost is not None]
    total = Use(
        sum(use.cpu for use in found.values()),
        sum(use.memory for use in found.values()),
        sum(known) if known else None,
    )
    ranked = sorted(found.items(), key=lambda item: (-(item[1].cost or 0), item[0]))
    numbers = ("cores", "MiB", "USD/hour", "USD/month")
    rows = ([name, *_numbers(use)] for name, use in [*ranked, ("all", total)])
    return table(["namespace", *numbers], rows, right=numbers)


def _numbers(use: Use) -> list[str]:
    cost = ["-", "-"]
    if use.cost is not None:
        cost = [f"{use.cost:.5f}", f"{use.cost * HOURS_PER_MONTH:.2f}"]
    return [f"{use.cpu:.3f}", f"{use.memory / _MIB:.0f}", *cost]


VERB = Verb(
    what="CPU, memory and cost by namespace; waits for the engine's first data.",
    examples=("", "--stack dev"),
    run=run,
    shows=True,
)
