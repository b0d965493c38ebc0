"""Whether the pods of an application can run at all: their sizes against those of the nodes.

Spark and Kubernetes would wait for room, for ever where there can be none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from components.application import Application, ApplicationError, Place, effective_conf

_SPARK_UNITS = {"k": 2**-10, "m": 1.0, "g": 2.0**10, "t": 2.0**20, "p": 2.0**30}
_KUBERNETES_UNITS = {
    **{"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15},
    **{"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50},
}


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
    if not application.is_native:
        worker = Room(place.worker_cores, place.worker_memory_mib)
        if not _fits(executor, worker):
            raise ApplicationError(
                f"an executor of {executor} fits on no worker: one gives {worker}"
                f" ({_PROPERTIES}, or spark.workerMemoryMiB and spark.workerCores of the stack)"
            )
        return
    pods = [("an executor", executor, application.executor.node_selector)]
    if application.driver_is_apart:
        pods.append(("the driver", driver_size(application), application.driver.node_selector))
    nodes = list(nodes)
    for what, size, selector in pods if nodes else ():
        chosen = [node for node in nodes if selector.items() <= node.labels.items()]
        if not chosen:
            wanted = ", ".join(f"{key}={value}" for key, value in selector.items())
            raise ApplicationError(f"{what} fits on no node: none has the label {wanted}")
        if not any(_fits(size, node) for node in chosen):
            largest = max(chosen, key=lambda node: (node.memory_mib, node.cores))
            raise ApplicationError(
                f"{what} of {size} fits on no node: the largest has {largest} ({_PROPERTIES})"
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
    """What the driver's own pod asks for, in cluster mode."""
    role = application.driver
    conf = application.conf
    memory = spark_mib(conf, "spark.driver.memory", role.memory_mib or 768)
    memory += spark_mib(conf, "spark.driver.memoryOverhead", role.overhead_mib)
    cores = quantity(role.cpu_request) if role.cpu_request else role.cores or 1
    return Room(_cores(conf, "spark.kubernetes.driver.request.cores", cores), memory)


def spark_mib(conf: Mapping[str, str], key: str, default: float, unit: float = 1.0) -> float:
    """A property's size in MiB, from "512m", "2g" ...; a bare number counts in `unit` MiB.

    Raises ApplicationError for what is no size.
    """
    if key not in conf:
        return default
    found = re.fullmatch(r"(\d+)(?:([kmgtp])b?|b)?", conf[key].strip().lower())
    if found is None:
        raise ApplicationError(f"{key}={conf[key]} is no size: write 512m or 2g")
    number, suffix = found.groups()
    if suffix is None:
        unit = 2**-20 if conf[key].strip().lower().endswith("b") else unit
    return int(number) * (_SPARK_UNITS[suffix] if suffix else unit)


def quantity(text: str) -> float:
    """A quantity as Kubernetes writes it ("500m", "3842Mi", "2"), as a number."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    if found is None or found[2] not in _KUBERNETES_UNITS:
        raise ApplicationError(f"{text!r} is no quantity: write 500m, 2 or 3Gi")
    return float(found[1]) * _KUBERNETES_UNITS[found[2]]


def _cores(conf: Mapping[str, str], key: str, default: float) -> float:
    cores = quantity(conf[key]) if key in conf else default
    if not cores > 0 or not math.isfinite(cores):
        raise ApplicationError(f"{key}={conf[key]} must be above 0")
    return cores
