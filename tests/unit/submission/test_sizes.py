"""Executors that no node can hold are refused before anything waits for room."""

from __future__ import annotations

import dataclasses

import pytest

from submission.application import Role
from submission.errors import ApplicationError
from submission.manifests import manifests
from submission.sizes import Room, executor_size, require_room
from submission.units import quantity, spark_mib
from tests.place import PLACE
from tests.unit.submission.test_application import NATIVE, PI

NODES = [Room(2, 3800, {"disk": "ssd"}), Room(4, 2000)]


def with_conf(application, **conf):
    """The application with more properties; _ stands for a dot."""
    return dataclasses.replace(
        application, conf={key.replace("_", "."): value for key, value in conf.items()}
    )


@pytest.mark.parametrize(
    "application",
    [
        NATIVE,
        dataclasses.replace(NATIVE, executor=Role(cores=2, memory_mib=3288)),  # and 512 beside
        dataclasses.replace(NATIVE, executor=Role(cores=9, cpu_request="200m")),
        dataclasses.replace(NATIVE, executor=Role(node_selector={"disk": "ssd"})),
        with_conf(NATIVE, spark_executor_memory="3g"),
        PI,
        with_conf(PI, spark_executor_memory="1g", spark_executor_cores="2"),
    ],
)
def test_what_fits(application):
    require_room(application, PLACE, NODES)


@pytest.mark.parametrize(
    ("application", "said"),
    [
        (
            dataclasses.replace(NATIVE, executor=Role(memory_mib=3289)),
            "an executor of 1 CPU and 3801 MiB fits on no node: the largest has 2 CPU and 3800 MiB",
        ),
        # Either alone has a node.
        (dataclasses.replace(NATIVE, executor=Role(cores=4, memory_mib=2000)), "fits on no node"),
        (with_conf(NATIVE, spark_executor_memory="100g"), "102912 MiB fits on no node"),
        (with_conf(NATIVE, spark_executor_memoryOverhead="4g"), "fits on no node"),
        (
            with_conf(
                NATIVE, spark_memory_offHeap_enabled="true", spark_memory_offHeap_size="4294967296"
            ),
            "5632 MiB fits on no node",
        ),
        (
            dataclasses.replace(NATIVE, executor=Role(node_selector={"disk": "tape"})),
            "an executor fits on no node: none has the label disk=tape",
        ),
        (
            dataclasses.replace(NATIVE, deploy_mode="cluster", driver=Role(memory_mib=8192)),
            "the driver of .* fits on no node",
        ),
        (with_conf(PI, spark_driver_memory="4g"), "the driver of .* 4864 MiB fits on no node"),
        (with_conf(PI, spark_executor_memory="2g"), "fits on no worker: one gives 2 CPU and 1024"),
        (with_conf(PI, spark_executor_cores="3"), "an executor of 3 CPU .* fits on no worker"),
        (with_conf(PI, spark_executor_memory="lots"), "spark.executor.memory=lots is no size"),
        (with_conf(PI, spark_executor_cores="0"), "spark.executor.cores=0 must be above 0"),
        (with_conf(PI, spark_executor_cores="two"), "'two' is no quantity"),
    ],
)
def test_what_does_not(application, said):
    with pytest.raises(ApplicationError, match=said):
        require_room(application, PLACE, NODES)


def test_what_a_user_asks_for_the_driver_is_reserved():
    def resources(application):
        pod = manifests(application, PLACE).job["spec"]["template"]["spec"]
        found = pod["containers"][0]["resources"]
        return found["requests"]["memory"], found["limits"]["memory"]

    driver = Role(overhead_mib=100)
    assert resources(dataclasses.replace(PI, driver=driver)) == ("512Mi", "868Mi")
    asked = dataclasses.replace(PI, driver=driver, conf={"spark.driver.memory": "1g"})
    assert resources(asked) == ("1124Mi", "1124Mi")
    asked = dataclasses.replace(PI, driver=dataclasses.replace(driver, memory_mib=300))
    assert resources(asked) == ("400Mi", "400Mi")


def test_nodes_that_nobody_knows_of_refuse_nothing():
    require_room(dataclasses.replace(NATIVE, executor=Role(cores=99)), PLACE, [])


def test_all_that_an_executors_pod_asks_for():
    app = with_conf(NATIVE, spark_executor_pyspark_memory="256m")
    assert executor_size(app, PLACE) == Room(1, 1024 + 512 + 256)
    app = with_conf(NATIVE, spark_kubernetes_executor_request_cores="500m")
    assert executor_size(app, PLACE).cores == 0.5


@pytest.mark.parametrize(
    ("text", "mib"),
    [("512", 512), ("512m", 512), ("2g", 2048), ("2GB", 2048), ("1048576b", 1), ("1024k", 1)],
)
def test_sizes_as_spark_writes_them(text, mib):
    assert spark_mib({"key": text}, "key", 0) == mib


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("3Gi", 3 * 2**30), ("1M", 1e6)],
)
def test_quantities_as_kubernetes_writes_them(text, number):
    assert quantity(text) == number
