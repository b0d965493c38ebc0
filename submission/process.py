"""Drivers and executors as processes: what they take, by their properties and their spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from submission.application import SparkPodSpec
from submission.errors import ApplicationError
from submission.properties import K8S, with_properties
from submission.sizes import Resources
from submission.units import quantity, whole

_LEAST_OVERHEAD_MIB = 384
"""Spark's own least, where a share of the heap is asked for."""


@dataclass(frozen=True)
class Process:
    """A driver or an executor: its SparkPodSpec with the properties in it, and its sizes.

    cores: Spark's. cpu: what Kubernetes is asked for. is_sized: whether its memory was asked for.
    """

    spec: SparkPodSpec
    cores: int
    cpu: str
    heap_mib: int
    overhead_mib: int
    is_sized: bool
    devices: tuple[tuple[str, int], ...]

    def resources(self, more_mib: int = 0) -> Resources:
        """Of its container, where all that it may take is requested."""
        memory = self.heap_mib + self.overhead_mib + more_mib
        return Resources(self.cpu, memory, self.spec.cpu_limit, devices=self.devices)


def describe(
    pods: str, spec: SparkPodSpec, conf: Mapping[str, str], found: Mapping[str, Any], heap_mib: int
) -> Process:
    """The "driver" or the "executor": the properties go before what the spec says.

    found: the properties as numbers. heap_mib: where neither says it.
    """
    spark = f"spark.{pods}."
    cores = found.get(f"{spark}cores", spec.cores or 1)
    cpu = conf.get(f"{K8S}{pods}.request.cores")
    # The cores of a driver are for nothing else; those of an executor are its number of tasks.
    if cpu is None and not (pods == "driver" and f"{spark}cores" in found):
        cpu = spec.cpu_request
    cpu = cpu or str(cores)
    limit = with_properties(spec, pods, conf).cpu_limit
    if limit is not None and quantity(limit) < quantity(cpu):
        raise ApplicationError(
            f"{K8S}{pods}.limit.cores={limit} is less than the {pods} requests: {cpu}"
        )
    heap = found.get(f"{spark}memory", spec.memory_mib)
    overhead = _overhead(spark, spec, found, heap or heap_mib)
    return Process(
        spec=with_properties(spec, pods, conf),
        cores=cores,
        cpu=cpu,
        heap_mib=heap or heap_mib,
        overhead_mib=spec.overhead_mib if overhead is None else overhead,
        is_sized=heap is not None or overhead is not None,
        devices=tuple(_devices(f"{spark}resource.", conf)),
    )


def _devices(prefix: str, conf: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """GPUs and the like, by Kubernetes' name: of spark.executor.resource.gpu.amount and .vendor."""
    for key in sorted(conf):
        if key.startswith(prefix) and key.endswith(".amount"):
            kind = key.removesuffix(".amount")
            if f"{kind}.vendor" not in conf:
                raise ApplicationError(f"{key} needs {kind}.vendor, such as nvidia.com")
            yield (
                f"{conf[f'{kind}.vendor']}/{kind.removeprefix(prefix)}",
                whole(key, conf[key], 1),
            )


def _overhead(
    spark: str, spec: SparkPodSpec, found: Mapping[str, Any], heap_mib: int
) -> int | None:
    """MiB beside the heap as Spark works it out; None where no property says anything of it."""
    if f"{spark}memoryOverhead" in found:
        return found[f"{spark}memoryOverhead"]
    least = found.get(f"{spark}minMemoryOverhead")
    share = found.get(f"{spark}memoryOverheadFactor", found.get(f"{K8S}memoryOverheadFactor"))
    if share is not None:
        return max(int(share * heap_mib), _LEAST_OVERHEAD_MIB if least is None else least)
    return None if least is None else max(spec.overhead_mib, least)
