"""What an application asks for, against a namespace's quota."""

from __future__ import annotations

import dataclasses

import pytest

from submission.application import Application, SparkPodSpec
from submission.errors import ApplicationError
from submission.place import Place
from submission.quota import require_quota
from submission.resolve import resolve
from tests.place import PLACE

# Three executors of 2.01 cores and 1568 MiB; the driver takes 0.1 and 512 MiB.
APP = Application(
    name="pi",
    app="local:///pi.py",
    master="kubernetes",
    instances=3,
    executor=SparkPodSpec(cores=2, memory_mib=1024, overhead_mib=512),
)


def quota(cpu: str = "100", memory: str = "100Gi", pods: str = "100") -> Place:
    hard = {"requests.cpu": cpu, "requests.memory": memory, "pods": pods}
    return dataclasses.replace(PLACE, quota=hard)


@pytest.mark.parametrize(
    "place", [PLACE, quota(), quota(cpu="6.13"), quota(memory="5216Mi"), quota(pods="4")]
)
def test_just_enough(place):
    require_quota(resolve(APP, place))


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (quota(cpu="1500m"), "one executor would take .*: cpu 2.01 of 1500m"),
        (quota(cpu="1", memory="1Gi"), "one executor .*: cpu 2.01 of 1, memory 1568Mi of 1Gi"),
        (quota(cpu="2.1"), "the driver and one executor would take .*: cpu 2.11 of 2.1"),
        (quota(cpu="6"), "the driver and 3 executors would take .*: cpu 6.13 of 6"),
        (quota(pods="3"), "the driver and 3 executors .* namespace apps has: pods 4 of 3"),
    ],
)
def test_what_can_never_be(place, said):
    with pytest.raises(ApplicationError, match=said):
        require_quota(resolve(APP, place))


def test_in_cluster_mode_the_pod_that_submits_counts_too():
    apart = dataclasses.replace(APP, deploy_mode="cluster")
    require_quota(resolve(apart, quota(cpu="6.23", pods="5")))
    with pytest.raises(ApplicationError, match="pods 5 of 4"):
        require_quota(resolve(apart, quota(pods="4")))


def test_properties_count_before_the_roles_sizes():
    smaller = dataclasses.replace(APP, conf={"spark.kubernetes.executor.request.cores": "500m"})
    require_quota(resolve(smaller, quota(cpu="1630m")))


def test_executors_elsewhere_would_not_count():
    with pytest.raises(ApplicationError, match="use the master kubernetes"):
        require_quota(resolve(dataclasses.replace(APP, master="standalone"), quota()))


def test_how_many_executors_it_needs():
    def needs(**conf):
        named = {f"spark.dynamicAllocation.{key}": value for key, value in conf.items()}
        return resolve(dataclasses.replace(APP, conf=named), PLACE).executors

    assert needs() == 3
    assert needs(enabled="true") == 1
    assert needs(enabled="true", minExecutors="2") == 2
