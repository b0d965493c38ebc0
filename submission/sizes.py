"""Whether the pods of an application can run at all: their sizes against those of the nodes.

Spark and Kubernetes would wait for room, for ever where there can be none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from submission.application import Application
from submission.command import effective_conf
from submission.errors import ApplicationError
from submission.manifests import DRIVER_MIB, driver_memory
from submission.place import Place
from submission.units import quantity, spark_mib


@dataclass(frozen=True)
class Room:
    """What a node has for pods. cores: CPUs; memory in MiB."""

    cores: float
    memory_mib: float
    labels: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.cores:g} CPU and {self.memory_mib:.0f} MiB"


def require_room(application: Application, place: Place, nodes: Iterable[Room]) -> None:
    """Raises ApplicationError where an executor fits nowhere, though all else were gone.

    nodes: those that take the application's pods; none means that they are not known.
    """
    executor = executor_size(application, place)
    pods = [("the driver", driver_size(application), application.driver, "spark.driver.memory")]
    if application.is_native:
        pods.append(("an executor", executor, application.executor, _PROPERTIES))
    else:
        worker = Room(place.worker_cores, place.worker_memory_mib)
        if not _fits(executor, worker):
            raise ApplicationError(
                f"an executor of {executor} fits on no worker: one gives {worker}"
                f" ({_PROPERTIES}; of the stack: spark.workerMemoryMiB, spark.workerCores)"
            )
    nodes = list(nodes)
    for what, size, role, properties in pods if nodes else ():
        chosen = [node for node in nodes if role.node_selector.items() <= node.labels.items()]
        if not chosen:
            wanted = ", ".join(f"{key}={value}" for key, value in role.node_selector.items())
            raise ApplicationError(f"{what} fits on no node: none has the label {wanted}")
        if not any(_fits(size, node) for node in chosen):
            largest = max(chosen, key=lambda node: (node.memory_mib, node.cores))
            raise ApplicationError(
                f"{what} of {size} fits on no node: the largest has {largest} ({properties})"
            )


_PROPERTIES = "spark.executor.memory, spark.executor.cores"


def _fits(size: Room, node: Room) -> bool:
    return size.cores <= node.cores and size.memory_mib <= node.memory_mib


def executor_size(application: Application, place: Place) -> Room:
    """What an executor asks for: of a worker, or natively of a node (its pod's requests)."""
    conf = effective_conf(application, place)
    # The chart's default for drivers is all that a worker gives.
    memory = spark_mib(conf, "spark.executor.memory", place.worker_memory_mib)
    if not application.is_native:
        return Room(_cores(conf, "spark.executor.cores", 1), memory)
    memory += spark_mib(conf, "spark.executor.memoryOverhead", 0)
    memory += spark_mib(conf, "spark.executor.pyspark.memory", 0)
    if conf.get("spark.memory.offHeap.enabled") == "true":
        memory += spark_mib(conf, "spark.memory.offHeap.size", 0, unit=2**-20)
    cores = _cores(conf, "spark.executor.cores", 1)
    return Room(_cores(conf, "spark.kubernetes.executor.request.cores", cores), memory)


def driver_size(application: Application) -> Room:
    """What the driver's pod asks for."""
    role, conf = application.driver, application.conf
    cores = quantity(role.cpu_request) if role.cpu_request else role.cores or 1
    if not application.driver_is_apart:
        return Room(cores, quantity(driver_memory(application)["request"]) / 2**20)
    memory = spark_mib(conf, "spark.driver.memory", role.memory_mib or DRIVER_MIB)
    memory += spark_mib(conf, "spark.driver.memoryOverhead", role.overhead_mib)
    return Room(_cores(conf, "spark.kubernetes.driver.request.cores", cores), memory)


def _cores(conf: Mapping[str, str], key: str, default: float) -> float:
    cores = quantity(conf[key]) if key in conf else default
    if not cores > 0 or not math.isfinite(cores):
        raise ApplicationError(f"{key}={conf[key]} must be above 0")
    return cores
