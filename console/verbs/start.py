"""`make start`: the nodes of a stopped stack run again, until the cluster and Spark are well.

Workers have other public addresses then, which Pulumi hears of by a refresh of the instances; all
else is reached by addresses that stay. Spot workers that were let go are made anew by an `up`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from console import nodes
from console.cluster import SPARK_MASTER, Cluster, connect, is_ready
from console.stack import ConsoleError, Stack
from console.verb import Verb
from console.waiting import Wait
from patience import factor

# How long the cluster may take until it is well, in seconds.
_LIMIT = 600
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_NAMESPACES = ("kube-system", "kube-flannel", "spark")
# Whose pods are to run for ever; a Job's are not.
_OWNERS = ("DaemonSet", "Node", "ReplicaSet", "StatefulSet")


def run(options: argparse.Namespace) -> None:
    """Starts what is stopped, and waits. Raises ConsoleError where it does not become well."""
    stack = Stack(options.stack)
    stack.require_own()
    began = time.monotonic()
    mine = nodes.instances(stack)
    client = nodes.aws_client(nodes.settings(stack)["aws"])
    known = nodes.states(client, stack)
    kept = [one for one in mine if one.id in known]
    off = [one for one in kept if nodes.is_stopped(known[one.id])]
    since = max((known[one.id]["LaunchTime"] for one in kept), default=datetime.now(UTC))
    if off:
        # EC2 starts none that is about to stop.
        stopping = [one for one in off if known[one.id]["State"]["Name"] == "stopping"]
        nodes.wait_until(client, stack, stopping, is_("stopped"), "is stopped")
        with nodes.aws_errors():
            answer = client.start_instances(InstanceIds=[one.id for one in off])
        # By AWS's clock, which the nodes have, too.
        since = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    nodes.wait_until(client, stack, off, is_("running"), "runs")
    # The machines boot meanwhile.
    complete = len(kept) == len(mine)
    _hear_of_addresses(stack, mine, complete=complete)
    names = {known[one.id]["PrivateDnsName"] for one in kept}
    cluster = connect(stack)
    wait_for(lambda: nodes_missing(cluster, names, since), "nodes", began)
    if not complete:
        _make_anew(stack)
    wait_for(lambda: pods_missing(cluster, since), "cluster and Spark", began)
    print(f"\nStack {stack.name} is started: {time.monotonic() - began:.0f} s.")


def is_(state: str) -> Callable[[Mapping[str, Any] | None], bool]:
    """True for an instance in that state."""
    return lambda found: found is not None and found["State"]["Name"] == state


def _hear_of_addresses(stack: Stack, mine: Sequence[nodes.Instance], *, complete: bool) -> None:
    """Pulumi's state has the new addresses; so have outputs and inventory.json, if all are back."""
    quiet = ("--yes", "--skip-preview", "--suppress-outputs")
    instances = [f"--target={one.urn}" for one in mine]
    stack.change("refresh", *quiet, *instances)
    if complete:
        # What else has changed in checkout and settings is for `make up`.
        inventory = next(
            made["urn"] for made in nodes.resources(stack) if made["urn"].endswith("-inventory")
        )
        stack.change("up", *quiet, f"--target={inventory}")


def _make_anew(stack: Stack) -> None:
    """Spot workers that were let go: by an update, which asks first where it costs money."""
    stack.folder.mkdir(parents=True, exist_ok=True)
    events = stack.folder / "events.jsonl"
    events.unlink(missing_ok=True)
    stack.up(events)


def wait_for(look: Callable[[], list[str]], what: str, began: float) -> None:
    """Until nothing is missing; prints when. Raises ConsoleError past the limit."""
    wait = Wait(what, _LIMIT * factor())
    while True:
        try:
            missing = look()
        except ConsoleError as error:
            missing = [str(error)]
        if not missing:
            print(f"{what}: well ({time.monotonic() - began:.0f} s)", flush=True)
            return
        if wait.is_over():
            raise ConsoleError(
                f"{what} not well within {_LIMIT * factor()} s: {missing[0]}; see `make status`"
            )
        wait.tell(missing[0])
        time.sleep(0.5)


def nodes_missing(cluster: Cluster, names: Collection[str], since: datetime) -> list[str]:
    """What keeps these nodes from being Ready since that time, by what they said themselves."""
    found, leases = (
        {one["metadata"]["name"]: one for one in cluster.json(path)["items"]}
        for path in ("/api/v1/nodes", _LEASES)
    )
    missing = []
    for name in names:
        if name not in found or name not in leases:
            missing.append(f"{name} is not in the cluster")
        # Until a node has said something its condition is that of before the stop.
        elif _moment(leases[name]["spec"]["renewTime"]) < since:
            missing.append(f"{name} has not reported yet")
        elif not is_ready(found[name]):
            missing.append(f"{name} is not Ready")
    return missing


def pods_missing(cluster: Cluster, since: datetime) -> list[str]:
    """What keeps the cluster's own pods and Spark from being well since that time."""
    nodes_ = {node["metadata"]["name"] for node in cluster.json("/api/v1/nodes")["items"]}
    pods = [pod for pod in cluster.json("/api/v1/pods")["items"] if _is_to_run(pod, nodes_)]
    missing = [
        f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']} is not ready"
        for pod in pods
        if not (is_ready(pod) and _runs_since(pod, since))
    ]
    if missing:
        return missing
    master = cluster.json(SPARK_MASTER)
    alive = sum(worker["state"] == "ALIVE" for worker in master["workers"])
    workers = sum(_component(pod) == "worker" for pod in pods)
    return [] if alive == workers else [f"{alive} of {workers} Spark workers are alive"]


def _is_to_run(pod: Mapping[str, Any], nodes_: Collection[str]) -> bool:
    """Not one of a node that is gone: it is soon gone, too."""
    metadata = pod["metadata"]
    owners = {owner["kind"] for owner in metadata.get("ownerReferences", [])}
    return (
        metadata["namespace"] in _NAMESPACES
        and "deletionTimestamp" not in metadata
        and pod["spec"].get("nodeName", "") in {"", *nodes_}
        and bool(owners & set(_OWNERS))
    )


def _component(pod: Mapping[str, Any]) -> str | None:
    """Of the Spark chart's."""
    if pod["metadata"]["namespace"] != "spark":
        return None
    return pod["metadata"].get("labels", {}).get("app.kubernetes.io/component")


def _runs_since(pod: Mapping[str, Any], since: datetime) -> bool:
    """Whether all containers were started after that: else it is said of another boot's."""
    running = [
        container["state"].get("running") for container in pod["status"]["containerStatuses"]
    ]
    return all(one is not None and _moment(one["startedAt"]) >= since for one in running)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


VERB = Verb(
    what="Starts the nodes of a stopped stack, and waits until the cluster and Spark are well.",
    examples=("", "--stack dev"),
    run=run,
)
