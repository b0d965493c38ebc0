"""Spark's properties: of which type each one is that is read here, and what they say of pods.

In client mode the driver's pod is the Job's, so `spark.kubernetes.driver.*` would have no effect;
here they go into the driver's SparkPodSpec. Executors, and in cluster mode the driver, get theirs
by Spark.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from submission import names, units
from submission.application import SparkPodSpec
from submission.errors import ApplicationError

K8S = "spark.kubernetes."
LEAST_HEAP_MIB = 466
"""Spark wants 450 MiB, and of less than this a JVM with a serial collector gives it less."""


def _heap(key: str, text: str) -> int:
    mib = units.mebibytes(key, text)
    if mib < LEAST_HEAP_MIB:
        raise ApplicationError(f"{key}={text} is less than Spark starts with: {LEAST_HEAP_MIB}m")
    return mib


_at_least_1 = partial(units.whole, least=1)
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def _pull_policy(key: str, text: str) -> str:
    if text not in _PULL_POLICIES:
        raise ApplicationError(f"{key}={text} must be one of {', '.join(_PULL_POLICIES)}")
    return text


# All that is read here, and what is often set: Spark itself would say what is wrong of them only
# in the cluster, and some it takes for something else.
_MEBIBYTES: dict[str, Callable[[str, str], int]] = {
    "spark.driver.memory": _heap,
    "spark.executor.memory": _heap,
    "spark.executor.pyspark.memory": units.mebibytes,
    "spark.driver.memoryOverhead": units.mebibytes,
    "spark.driver.minMemoryOverhead": units.mebibytes,
    "spark.executor.memoryOverhead": units.mebibytes,
    "spark.executor.minMemoryOverhead": units.mebibytes,
}
MEBIBYTES = frozenset(_MEBIBYTES)
_TYPES: dict[str, Callable[[str, str], Any]] = {
    **_MEBIBYTES,
    "spark.memory.offHeap.enabled": units.is_true,
    "spark.memory.offHeap.size": partial(units.size, bare=1),
    "spark.driver.maxResultSize": partial(units.size, bare=1),
    "spark.driver.cores": _at_least_1,
    "spark.executor.cores": _at_least_1,
    "spark.executor.instances": units.whole,
    "spark.cores.max": _at_least_1,
    "spark.task.cpus": _at_least_1,
    "spark.task.maxFailures": _at_least_1,
    "spark.executor.maxNumFailures": _at_least_1,
    "spark.default.parallelism": _at_least_1,
    "spark.sql.shuffle.partitions": _at_least_1,
    "spark.dynamicAllocation.enabled": units.is_true,
    "spark.dynamicAllocation.shuffleTracking.enabled": units.is_true,
    "spark.dynamicAllocation.minExecutors": units.whole,
    "spark.dynamicAllocation.initialExecutors": units.whole,
    "spark.dynamicAllocation.maxExecutors": _at_least_1,
    "spark.dynamicAllocation.executorIdleTimeout": units.seconds,
    "spark.dynamicAllocation.schedulerBacklogTimeout": units.seconds,
    "spark.network.timeout": units.seconds,
    "spark.executor.heartbeatInterval": partial(units.seconds, bare=1e-3),
    f"{K8S}memoryOverheadFactor": units.factor,
    f"{K8S}container.image": names.image,
    f"{K8S}container.image.pullPolicy": _pull_policy,
    f"{K8S}allocation.batch.size": _at_least_1,
    f"{K8S}allocation.batch.delay": partial(units.seconds, bare=1e-3),
    f"{K8S}authenticate.driver.serviceAccountName": names.object_name,
}
for _pods in ("driver", "executor"):
    _TYPES |= {
        f"spark.{_pods}.memoryOverheadFactor": units.factor,
        f"{K8S}{_pods}.request.cores": units.cpus,
        f"{K8S}{_pods}.limit.cores": units.cpus,
        f"{K8S}{_pods}.container.image": names.image,
    }

# What of a SparkPodSpec is a mapping, and the properties that add to it; the later ones win.
_PREFIXES: dict[str, Mapping[str, tuple[str, ...]]] = {
    "driver": {
        "labels": (f"{K8S}driver.label.",),
        "annotations": (f"{K8S}driver.annotation.",),
        "node_selector": (f"{K8S}node.selector.", f"{K8S}driver.node.selector."),
        "env": (f"{K8S}driverEnv.",),
        "secrets": (f"{K8S}driver.secrets.",),
        "secret_env": (f"{K8S}driver.secretKeyRef.",),
    },
    "executor": {
        "labels": (f"{K8S}executor.label.",),
        "annotations": (f"{K8S}executor.annotation.",),
        "node_selector": (f"{K8S}node.selector.", f"{K8S}executor.node.selector."),
        "env": ("spark.executorEnv.",),
        "secrets": (f"{K8S}executor.secrets.",),
        "secret_env": (f"{K8S}executor.secretKeyRef.",),
    },
}


def cleaned(conf: Mapping[str, str]) -> dict[str, str]:
    """The properties without blanks around names and values.

    Raises ApplicationError for a name that is none of Spark's, and for one that is there twice.
    """
    found: dict[str, str] = {}
    for name, value in conf.items():
        key, text = name.strip(), value.strip()
        if not re.fullmatch(r"spark\.[^\s=]+", key):
            raise ApplicationError(f"{name}={value} is no property: write spark.PROPERTY=VALUE")
        if "\0" in text:
            raise ApplicationError(f"{key} has a character in it that no command line takes")
        if found.setdefault(key, text) != text:
            raise ApplicationError(f"{key} is there twice: {found[key]} and {text}")
    return found


def typed(conf: Mapping[str, str]) -> dict[str, Any]:
    """What the properties say that are read here, as numbers and truths."""
    return {key: _TYPES[key](key, text) for key, text in conf.items() if key in _TYPES}


def with_properties(spec: SparkPodSpec, pods: str, conf: Mapping[str, str]) -> SparkPodSpec:
    """The spec of the "driver" or the "executor" with what the properties say in it."""
    changes: dict[str, Any] = {}
    for name, prefixes in _PREFIXES[pods].items():
        found = {
            key.removeprefix(prefix): conf[key]
            for prefix in prefixes
            for key in conf
            if key.startswith(prefix)
        }
        changes[name] = {**getattr(spec, name), **found}
    values = {
        "image": (f"{K8S}container.image", f"{K8S}{pods}.container.image"),
        "pull_policy": (f"{K8S}container.image.pullPolicy",),
        "cpu_request": (f"{K8S}{pods}.request.cores",),
        "cpu_limit": (f"{K8S}{pods}.limit.cores",),
    }
    for name, keys in values.items():
        for key in keys:
            if key in conf:
                changes[name] = conf[key]
    return dataclasses.replace(spec, **changes)
