"""How many nodes more an application needs: by what is free, and by what a further node has."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from submission.application import SparkPodSpec
from submission.errors import ApplicationError
from submission.growth import Further, asked_of, executors_on, further, rooms
from submission.nodes import GROUP
from submission.resolve import Resolved, resolve
from submission.sizes import Allocatable, Amount, Pod
from tests.place import PLACE
from tests.unit.submission.test_application import NATIVE, PI

FRESH = Allocatable(Amount(1.8, 3000))


def native(count: int, **executor: Any) -> Resolved:
    """An application of so many executors of 1.01 CPU and 512 MiB of heap with 544 beside."""
    spec = dataclasses.replace(SparkPodSpec(cores=1, memory_mib=512), **executor)
    return resolve(dataclasses.replace(NATIVE, instances=count, executor=spec), PLACE)


@pytest.mark.parametrize(
    ("count", "free", "most", "expected"),
    [
        (1, [(1.2, 2000)], 9, Further(0, 1, 1)),
        # The driver may take what the only executor would have.
        (1, [(1.05, 2000)], 9, Further(1, 1, 1)),
        (2, [(1.8, 3000)], 9, Further(1, 2, 2)),
        (5, [(1.8, 3000), (0.5, 9000)], 9, Further(4, 5, 5)),
        (5, [(1.8, 3000)], 2, Further(2, 3, 5)),
        (2, [(1.8, 3000)], 0, Further(0, 1, 2)),
        (3, [], 9, Further(3, 3, 3)),
    ],
)
def test_nodes_are_added_until_all_executors_have_room(count, free, most, expected):
    nodes = [Allocatable(Amount(*each)) for each in free]
    found = further(native(count), nodes, FRESH, most)
    assert found == expected
    if expected.nodes > 0 and expected.held == expected.wanted:  # and one fewer is not enough
        executor = native(count).executor_pod
        assert executor
        fewer = [*nodes, *[FRESH] * (found.nodes - 1)]
        assert executors_on(native(count).drivers, executor, fewer) < count


def test_where_no_node_holds_one_it_is_said():
    with pytest.raises(
        ApplicationError, match=r"with 9 more there is no room for the driver and an"
    ):
        further(native(1, cores=2), [], FRESH, 9)
    # Nor is it of use that another one holds one.
    with pytest.raises(ApplicationError, match="with 9 more there is no room"):
        further(native(2), [FRESH], Allocatable(Amount(1, 3000)), 9)
    with pytest.raises(ApplicationError, match="executors of the stack's own workers"):
        further(resolve(PI, PLACE), [], FRESH, 9)


def test_a_selector_counts_the_nodes_that_have_its_label():
    there = {GROUP: "arm"}
    wanted = native(2, node_selector=there)
    free = [Allocatable(Amount(64, 64000)), Allocatable(Amount(1.8, 3000), there)]
    found = further(wanted, free, Allocatable(Amount(1.8, 3000), there), 5)
    assert found == Further(1, 2, 2)


def test_drivers_may_come_to_the_worst_place():
    one = Pod("an executor", Amount(1, 1000))
    drivers = [Pod("the driver", Amount(0.5, 100)), Pod("the pod that submits it", Amount(0.5, 1))]
    tight, wide = Allocatable(Amount(1, 1000)), Allocatable(Amount(4.5, 9000))
    assert executors_on([], one, [tight, wide]) == 5
    assert executors_on(drivers[:1], one, [tight, wide]) == 4
    # Both on the tight one take one executor's room, but one there and one on the wide one two.
    assert executors_on(drivers, one, [tight, dataclasses.replace(wide, has=Amount(4, 9000))]) == 3
    assert executors_on(drivers, one, []) == 0


@pytest.mark.parametrize(
    ("one", "other", "times"),
    [
        (Amount(0.1, 1), Amount(0.3, 9), 3),
        (Amount(1, 1000), Amount(3, 2999), 2),
        (Amount(1, 1), Amount(-1, 5), 0),
        (Amount(1, 1, (("a/gpu", 2),)), Amount(9, 9, (("a/gpu", 5),)), 2),
        (Amount(1, 1, (("a/gpu", 1),)), Amount(9, 9), 0),
        (Amount(0, 5), Amount(0, 10), 2),
    ],
)
def test_how_often_one_amount_is_in_another(one, other, times):
    assert one.times_in(other) == times


def container(cpu: str, memory: str, **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


def test_of_a_pod_what_the_scheduler_counts():
    spec = {"containers": [container("1", "100Mi"), {"name": "asks for nothing"}]}
    assert asked_of({"spec": spec}) == Amount(1, 100)
    first = [container("3", "50Mi")]
    assert asked_of({"spec": {**spec, "initContainers": first}}) == Amount(3, 100)
    stays = [container("500m", "10Mi", restartPolicy="Always")]
    assert asked_of({"spec": {**spec, "initContainers": stays}}) == Amount(1.5, 110)
    assert asked_of({"spec": {**spec, "overhead": {"cpu": "250m"}}}) == Amount(1.25, 100)


def node(name: str, *taints: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]},
        "status": {"allocatable": {"cpu": "4", "memory": "4000Mi", "pods": "110"}},
    }


def pod(on: str, cpu: str, owner: str = "ReplicaSet", phase: str = "Running", **labels: str):
    return {
        "metadata": {"ownerReferences": [{"kind": owner}], "labels": labels},
        "spec": {"nodeName": on, "containers": [container(cpu, "100Mi")]},
        "status": {"phase": phase},
    }


def test_what_is_free_and_what_one_more_would_have():
    control = {"node-role.kubernetes.io/control-plane": ""}
    nodes = [
        node("c", "node-role.kubernetes.io/control-plane", **control),
        node("w"),
        node("arm", "dedicated", **{GROUP: "arm"}),
        {**node("off"), "spec": {"unschedulable": True}},
    ]
    spark = {"app.kubernetes.io/component": "worker"}
    pods = [
        pod("w", "100m", "DaemonSet"),
        pod("arm", "200m", "DaemonSet"),
        pod("w", "1", **spark),
        pod("w", "500m"),
        pod("w", "3", phase="Succeeded"),
        {**pod("", "2"), "spec": {"containers": [container("2", "1Mi")]}},
    ]
    tolerations = ({"key": "dedicated", "operator": "Exists"},)
    worker, arm = rooms(nodes, pods, tolerations, one_worker_each=True)
    assert (worker.group, worker.is_worker, arm.group) == ("", True, "arm")
    assert worker.free.has == Amount(2.4, 3700)
    # No worker of Spark comes to a node with a taint.
    assert (worker.fresh.has, arm.fresh.has) == (Amount(2.9, 3800), Amount(3.8, 3900))
    assert "kubernetes.io/hostname" in arm.free.labels
    assert arm.fresh.labels == {GROUP: "arm"}
    assert [one.group for one in rooms(nodes, pods, (), one_worker_each=False)] == [""]
    (only,) = rooms(nodes, pods, (), one_worker_each=False)
    assert only.fresh.has == Amount(3.9, 3900)
