"""What an application asks Kubernetes for, held against the quota of its namespace.

A quota counts what pods request. Where an application can never have all of it, it is refused here,
before anything waits; what others use of the quota at that time only Kubernetes knows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

# Spark's own: it adds at least this much to a heap, and at least this share of it.
_LEAST_OVERHEAD_MIB = 384
_OVERHEAD_SHARE = 0.1
_MIB = {"b": 2**-20, "k": 2**-10, "m": 1.0, "g": 2.0**10, "t": 2.0**20}


@dataclass(frozen=True)
class Request:
    """What pods ask for: thousandths of a core, MiB, and how many they are."""

    milli_cpu: int
    memory_mib: int
    pods: int = 1

    def __add__(self, other: Request) -> Request:
        return Request(
            self.milli_cpu + other.milli_cpu,
            self.memory_mib + other.memory_mib,
            self.pods + other.pods,
        )

    def times(self, count: int) -> Request:
        """What so many of these ask for together."""
        return Request(self.milli_cpu * count, self.memory_mib * count, self.pods * count)

    def beyond(self, limit: Request) -> list[str]:
        """In words, what of this is more than the limit; empty where it fits."""
        found = []
        if self.milli_cpu > limit.milli_cpu:
            found.append(f"cpu {_cores(self.milli_cpu)} of {_cores(limit.milli_cpu)}")
        if self.memory_mib > limit.memory_mib:
            found.append(f"memory {self.memory_mib}Mi of {limit.memory_mib}Mi")
        if self.pods > limit.pods:
            found.append(f"pods {self.pods} of {limit.pods}")
        return found


def executor_request(conf: Mapping[str, str]) -> Request:
    """What Spark requests for one executor with these properties."""
    cores = conf.get("spark.kubernetes.executor.request.cores") or conf["spark.executor.cores"]
    heap = mebibytes(conf["spark.executor.memory"])
    share = float(conf.get("spark.executor.memoryOverheadFactor", _OVERHEAD_SHARE))
    overhead = conf.get("spark.executor.memoryOverhead")
    beside = (
        max(int(heap * share), _LEAST_OVERHEAD_MIB) if overhead is None else mebibytes(overhead)
    )
    extra = mebibytes(conf.get("spark.executor.pyspark.memory", "0"))
    return Request(milli_cpu(cores), heap + beside + extra)


def executors(conf: Mapping[str, str]) -> int:
    """How many executors an application can't do without."""
    if conf.get("spark.dynamicAllocation.enabled") == "true":
        return max(1, int(conf.get("spark.dynamicAllocation.minExecutors", "0")))
    return int(conf["spark.executor.instances"])


def excess(driver: Request, executor: Request, count: int, quota: Request) -> str | None:
    """Why the quota can't hold an application; None where it can, with nothing else in it."""
    for what, asked in (
        ("one executor", executor),
        ("the driver and one executor", driver + executor),
        (f"the driver and {count} executors", driver + executor.times(count)),
    ):
        if beyond := asked.beyond(quota):
            return f"{what} would take {', '.join(beyond)}"
    return None


def milli_cpu(text: str) -> int:
    """Thousandths of a core, from Kubernetes' "500m", "2" or "0.5". Raises ValueError."""
    if match := re.fullmatch(r"(\d+)m", text):
        return int(match[1])
    return math.ceil(float(text) * 1000)


def mebibytes(text: str) -> int:
    """MiB of a size as Spark writes them: "512m", "1g", "768" (MiB). Raises ValueError."""
    match = re.fullmatch(r"(\d+)([bkmgt]?)b?", text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is no size such as 512m or 1g")
    return math.ceil(int(match[1]) * _MIB[match[2] or "m"])


def _cores(milli: int) -> str:
    return f"{milli / 1000:g}"
