"""Executors that no node can hold are refused before anything waits for room."""

from __future__ import annotations

import dataclasses

import pytest

from submission.application import SparkPodSpec
from submission.errors import ApplicationError
from submission.manifests import manifests
from submission.resolve import resolve
from submission.room import require_room
from submission.sizes import Allocatable, Amount
from tests.place import PLACE
from tests.unit.submission.test_application import NATIVE, PI

NODES = [Allocatable(Amount(2, 3800), {"disk": "ssd"}), Allocatable(Amount(4, 2000))]


def with_conf(application, **conf):
    """The application with more properties; _ stands for a dot."""
    return dataclasses.replace(
        application, conf={key.replace("_", "."): value for key, value in conf.items()}
    )


@pytest.mark.parametrize(
    "application",
    [
        NATIVE,
        dataclasses.replace(
            NATIVE, executor=SparkPodSpec(cores=1, memory_mib=3256)
        ),  # and 544 beside
        dataclasses.replace(NATIVE, executor=SparkPodSpec(cores=9, cpu_request="200m")),
        dataclasses.replace(NATIVE, executor=SparkPodSpec(node_selector={"disk": "ssd"})),
        with_conf(NATIVE, spark_executor_memory="3g"),
        PI,
        with_conf(PI, spark_executor_memory="1g", spark_executor_cores="2"),
    ],
)
def test_what_fits(application):
    require_room(resolve(application, PLACE), NODES)


@pytest.mark.parametrize(
    ("application", "said"),
    [
        (
            dataclasses.replace(NATIVE, executor=SparkPodSpec(memory_mib=3257)),
            "an executor of 1.01 CPU and 3801 MiB fits on no node: the largest has 2 CPU and 3800",
        ),
        # Either alone has a node.
        (
            dataclasses.replace(NATIVE, executor=SparkPodSpec(cores=4, memory_mib=2000)),
            "fits on no node",
        ),
        (with_conf(NATIVE, spark_executor_memory="100g"), "102944 MiB fits on no node"),
        (with_conf(NATIVE, spark_executor_memoryOverhead="4g"), "fits on no node"),
        (
            with_conf(
                NATIVE, spark_memory_offHeap_enabled="true", spark_memory_offHeap_size="4294967296"
            ),
            "5664 MiB fits on no node",
        ),
        (
            dataclasses.replace(NATIVE, executor=SparkPodSpec(node_selector={"disk": "tape"})),
            "an executor fits on no node: none has the label disk=tape",
        ),
        (
            dataclasses.replace(
                NATIVE, deploy_mode="cluster", driver=SparkPodSpec(memory_mib=8192)
            ),
            "the driver of .* fits on no node",
        ),
        (with_conf(PI, spark_driver_memory="4g"), "the driver of .* 4864 MiB fits on no node"),
        # Each alone has a node, both at once have none.
        (
            with_conf(NATIVE, spark_driver_memory="3000m", spark_executor_memory="1500m"),
            "no nodes have room at once for the driver of .*, an executor of .*: there are 2 CPU",
        ),
        (with_conf(PI, spark_kubernetes_driver_request_cores="64"), "driver of 64 CPU .* no node"),
        (with_conf(PI, spark_driver_cores="64"), "the driver of 64 CPU .* fits on no node"),
        (
            with_conf(NATIVE, spark_kubernetes_node_selector_disk="tape"),
            "the driver fits on no node: none has the label disk=tape",
        ),
        (
            with_conf(NATIVE, spark_kubernetes_driver_node_selector_disk="tape"),
            "the driver fits on no node: none has the label disk=tape",
        ),
        (
            with_conf(NATIVE, spark_kubernetes_executor_node_selector_disk="tape"),
            "an executor fits on no node: none has the label disk=tape",
        ),
        (with_conf(NATIVE, spark_executor_memoryOverheadFactor="9"), "10272 MiB fits on no node"),
        (with_conf(NATIVE, spark_kubernetes_memoryOverheadFactor="9"), "fits on no node"),
        (
            with_conf(
                NATIVE,
                spark_executor_resource_gpu_amount="2",
                spark_executor_resource_gpu_vendor="nvidia.com",
            ),
            "an executor of .* and 2 nvidia.com/gpu fits on no node",
        ),
        (with_conf(PI, spark_executor_memory="2g"), "fits on no worker: one gives 2 CPU and 1024"),
        (with_conf(PI, spark_executor_cores="3"), "an executor of 3 CPU .* fits on no worker"),
        (with_conf(PI, spark_executor_memory="lots"), "spark.executor.memory=lots is no size"),
        (
            with_conf(PI, spark_executor_cores="0"),
            "spark.executor.cores=0 must be a whole",
        ),
        (
            with_conf(PI, spark_executor_cores="two"),
            "spark.executor.cores=two must be a whole",
        ),
    ],
)
def test_what_does_not(application, said):
    with pytest.raises(ApplicationError, match=said):
        require_room(resolve(application, PLACE), NODES)


def test_what_a_user_asks_for_the_driver_is_reserved():
    def resources(application):
        pod = manifests(resolve(application, PLACE)).job["spec"]["template"]["spec"]
        found = pod["containers"][0]["resources"]
        return found["requests"]["memory"], found["limits"]["memory"]

    driver = SparkPodSpec(overhead_mib=100)
    assert resources(dataclasses.replace(PI, driver=driver)) == ("512Mi", "868Mi")
    asked = dataclasses.replace(PI, driver=driver, conf={"spark.driver.memory": "1g"})
    assert resources(asked) == ("1124Mi", "1124Mi")
    asked = dataclasses.replace(PI, driver=dataclasses.replace(driver, memory_mib=500))
    assert resources(asked) == ("600Mi", "600Mi")
    asked = dataclasses.replace(PI, conf={"spark.driver.memoryOverhead": "2g"})
    assert resources(asked) == ("2816Mi", "2816Mi")


def test_nodes_that_nobody_knows_of_refuse_nothing():
    require_room(resolve(dataclasses.replace(NATIVE, executor=SparkPodSpec(cores=99)), PLACE), None)


def test_nodes_that_all_have_taints_take_nothing():
    with pytest.raises(ApplicationError, match="all have taints"):
        require_room(resolve(NATIVE, PLACE), [])
