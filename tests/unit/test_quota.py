"""What an application asks for, against a namespace's quota."""

from __future__ import annotations

import pytest

from components.quota import Request, excess, executor_request, executors, mebibytes, milli_cpu

CONF = {"spark.executor.cores": "2", "spark.executor.memory": "1g", "spark.executor.instances": "3"}
DRIVER = Request(100, 512)


@pytest.mark.parametrize(("text", "cpu"), [("500m", 500), ("2", 2000), ("0.5", 500), ("0.0001", 1)])
def test_cores_as_kubernetes_writes_them(text, cpu):
    assert milli_cpu(text) == cpu


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 512), ("1g", 1024), ("768", 768), ("2048k", 2), ("1GB", 1024)]
)
def test_sizes_as_spark_writes_them(text, size):
    assert mebibytes(text) == size


@pytest.mark.parametrize("text", ["", "1.5g", "many", "-1m"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="no size"):
        mebibytes(text)


def test_an_executor_asks_for_its_heap_and_what_spark_puts_beside_it():
    assert executor_request(CONF) == Request(2000, 1024 + 384)
    large = CONF | {"spark.executor.memory": "10g"}
    assert executor_request(large) == Request(2000, 10240 + 1024)
    own = CONF | {
        "spark.executor.memoryOverhead": "512m",
        "spark.kubernetes.executor.request.cores": "200m",
        "spark.executor.pyspark.memory": "100m",
    }
    assert executor_request(own) == Request(200, 1024 + 512 + 100)


def test_how_many_executors_it_needs():
    assert executors(CONF) == 3
    dynamic = CONF | {"spark.dynamicAllocation.enabled": "true"}
    assert executors(dynamic) == 1
    assert executors(dynamic | {"spark.dynamicAllocation.minExecutors": "2"}) == 2


@pytest.mark.parametrize(
    ("quota", "said"),
    [
        (Request(8000, 9000, 9), None),
        (Request(6100, 512 + 3 * 1408, 4), None),  # just enough
        (Request(1500, 9000, 9), "one executor would take cpu 2 of 1.5"),
        (Request(2050, 9000, 9), "the driver and one executor would take cpu 2.1 of 2.05"),
        (Request(6000, 9000, 9), "the driver and 3 executors would take cpu 6.1 of 6"),
        (Request(500, 1000, 9), "one executor would take cpu 2 of 0.5, memory 1408Mi of 1000Mi"),
        (Request(8000, 9000, 3), "the driver and 3 executors would take pods 4 of 3"),
    ],
)
def test_what_a_quota_holds(quota, said):
    assert excess(DRIVER, executor_request(CONF), executors(CONF), quota) == said
