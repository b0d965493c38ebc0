"""What an application asks for at a place, worked out once.

`resolve` is the one reader of an application and its properties: the pods, the command line, and
the checks of quota and room have all from what it returns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from submission.application import Application, SparkPodSpec
from submission.check import check
from submission.conf import own_conf, sizes_conf
from submission.errors import ApplicationError
from submission.files import read_files
from submission.place import Place
from submission.process import Process, describe
from submission.properties import MEBIBYTES, typed
from submission.sizes import Pod, Resources
from submission.units import MIB

DRIVER_MIB = 768
"""Heap of drivers that ask for none, by the chart's default."""
_UNASKED_MIB = 512
"""What a driver requests that asks for no memory, and what spark-submit does in cluster mode."""
SAMPLER = Resources("10m", 32, memory_limit_mib=64)
"""Of the container beside an executor."""
_SUBMITTER = Resources("100m", _UNASKED_MIB, memory_limit_mib=1280)
"""Of the Job's pod in cluster mode."""
_DRIVERS = "spark.driver.memory, spark.driver.cores"
EXECUTORS = "spark.executor.memory, spark.executor.cores"
"""The properties to name where one does not fit."""


@dataclass(frozen=True)
class Resolved:
    """An application at a place, with all that follows from its properties.

    conf: all properties of the command line. files: what goes along, by name.
    job_spec, job: of the Job's pod, and of its container. executor: what one asks of a worker, or
    natively its container of a node. drivers, executors: the pods of the application's own, where
    executors are some, and how many of these it can't do without.
    """

    application: Application
    place: Place
    conf: Mapping[str, str]
    files: Mapping[str, bytes]
    job_spec: SparkPodSpec
    job: Resources
    executor: Resources
    drivers: tuple[Pod, ...]
    executor_pod: Pod | None
    executors: int

    def is_users(self, key: str) -> bool:
        """True for a property that the user gave, so in which nothing is to be filled in."""
        return key in self.application.conf

    def anywhere(self) -> Resolved:
        """The same, of which no pod asks for a node of a kind."""
        drivers = tuple(dataclasses.replace(pod, selector={}) for pod in self.drivers)
        executor = self.executor_pod and dataclasses.replace(self.executor_pod, selector={})
        return dataclasses.replace(self, drivers=drivers, executor_pod=executor)


def resolve(application: Application, place: Place) -> Resolved:
    """All that follows from an application at a place.

    Raises ApplicationError for what can't be run there, whatever room there is.
    """
    application = check(application)
    given, native = application.conf, application.is_native
    found = typed(given)
    driver = describe("driver", application.driver, given, found, DRIVER_MIB)
    # All that a worker gives; the chart's own default is the same.
    executor = describe("executor", application.executor, given, found, place.worker_memory_mib)
    _require_cores(application, executor, found)
    conf = {**own_conf(application, place, driver, executor), **given}
    # As Spark reads them: the driver's JVM takes them as they are written.
    conf |= {key: f"{found[key]}m" for key in MEBIBYTES & found.keys()}
    if native:
        conf |= sizes_conf("executor", executor)
        asks = executor.resources(_beside_the_jvm(application, found))
    else:
        asks = Resources(str(executor.cores), executor.heap_mib)
    if application.driver_is_apart:
        conf |= sizes_conf("driver", driver)
        job, spec = _SUBMITTER, SparkPodSpec(cpu_request=_SUBMITTER.cpu)
    else:
        job, spec = _in_client_mode(driver), driver.spec
    return Resolved(
        application=application,
        place=place,
        conf=conf,
        files=read_files(application),
        job_spec=spec,
        job=job,
        executor=asks,
        drivers=tuple(_drivers(application, spec, job, driver)),
        executor_pod=_executor_pod(executor, asks) if native else None,
        executors=_count(found, conf) if native else 0,
    )


def _beside_the_jvm(application: Application, found: Mapping[str, Any]) -> int:
    """MiB of an executor's pod for memory off the heap, and for Python."""
    more = 0
    if found.get("spark.memory.offHeap.enabled"):
        more += found["spark.memory.offHeap.size"] // MIB
    if application.language == "Python":
        more += found.get("spark.executor.pyspark.memory", 0)
    return more


def _in_client_mode(driver: Process) -> Resources:
    """Of a driver in the Job's pod; what a user asks for is reserved whole."""
    all_ = driver.resources()
    if driver.is_sized:
        return all_
    request = min(_UNASKED_MIB, all_.memory_mib)
    return dataclasses.replace(all_, memory_mib=request, memory_limit_mib=all_.memory_mib)


def _drivers(
    application: Application, spec: SparkPodSpec, job: Resources, driver: Process
) -> list[Pod]:
    if not application.driver_is_apart:
        return [Pod("the driver", job.amount, spec.node_selector, _DRIVERS)]
    apart = driver.resources().amount
    return [
        Pod("the driver", apart, driver.spec.node_selector, _DRIVERS),
        Pod("the pod that submits it", job.amount, spec.node_selector, "--deploy-mode"),
    ]


def _executor_pod(executor: Process, asks: Resources) -> Pod:
    amount = asks.amount + SAMPLER.amount
    return Pod("an executor", amount, executor.spec.node_selector, EXECUTORS)


def _count(found: Mapping[str, Any], conf: Mapping[str, str]) -> int:
    if found.get("spark.dynamicAllocation.enabled"):
        return max(1, found.get("spark.dynamicAllocation.minExecutors", 0))
    return int(conf["spark.executor.instances"])


def _require_cores(application: Application, executor: Process, found: Mapping[str, Any]) -> None:
    """An executor has cores enough for a task, and an application for an executor."""
    cores = executor.cores
    is_known = (
        application.is_native or application.executor.cores or "spark.executor.cores" in found
    )
    if is_known and found.get("spark.task.cpus", 1) > cores:
        raise ApplicationError(
            f"spark.task.cpus={found['spark.task.cpus']} is more than spark.executor.cores={cores}"
        )
    if not application.is_native and found.get("spark.cores.max", cores) < cores:
        raise ApplicationError(
            f"spark.cores.max={found['spark.cores.max']} is less than spark.executor.cores={cores}"
        )
