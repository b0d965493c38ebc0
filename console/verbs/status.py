"""`make status`: the machines, the nodes and pods, Spark, the last result."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from console import backup, nodes, report
from console.cluster import SPARK_MASTER, Cluster, connect_by
from console.stack import ConsoleError, Stack, require_stack
from console.tables import table
from console.verb import Verb


def run(options: argparse.Namespace) -> None:
    """Prints all of it. Raises ConsoleError where there is nothing to show."""
    stack = Stack(options.stack)
    if stack.is_local:
        from localcloud import status

        state = status.status()
        if not state["running"]:
            raise ConsoleError("there is no local cloud that answers; `make up` makes one")
        print(status.table(state), end="\n\n")
    require_stack(stack)
    if stopped := nodes.stopped(stack):
        print(stopped)
        return
    outputs = stack.outputs(secrets=True)
    cluster = connect_by(stack, outputs)
    for listed in ("nodes", "pods"):
        print(table(*cluster.table(f"/api/v1/{listed}")), end="\n\n", flush=True)
    if said := troubles(cluster.json("/api/v1/nodes")["items"]):
        print("\n".join(said), end="\n\n")
    maps = cluster.json("/api/v1/namespaces/kube-system/configmaps")["items"]
    kept = {one["metadata"]["name"]: one.get("data", {}) for one in maps}
    print("".join(f"{line}\n" for line in backup.describe(kept, datetime.now(UTC))))
    print(spark(cluster))
    if result := outputs.get("wordCount"):
        print(f"\n{report.top_words(result)}")


def troubles(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each condition of a node that is not as it should be, as its kubelet puts it."""
    return [
        f"{node['metadata']['name']}: {one['type']} {one['status']}: {one.get('message', '')}"
        for node in nodes
        for one in node["status"].get("conditions", [])
        if one["status"] != ("True" if one["type"] == "Ready" else "False")
    ]


def spark(cluster: Cluster) -> str:
    """One line from the Spark master's own JSON, or why there is none, such as while it starts."""
    try:
        master = cluster.json(SPARK_MASTER)
    except ConsoleError as error:
        return f"Spark's master does not answer: {error}"
    alive = [worker for worker in master["workers"] if worker["state"] == "ALIVE"]
    return (
        f"Spark at {master['url']}: {len(alive)} of {len(master['workers'])} workers alive,"
        f" {master['coresused']} of {master['cores']} cores in use,"
        f" {len(master['activeapps'])} applications running, {len(master['completedapps'])} done"
    )


VERB = Verb(
    what="Machines, nodes, pods, Spark, and the last result.",
    examples=("", "--stack dev"),
    run=run,
    shows=True,
)
