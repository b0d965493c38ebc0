"""Spark's properties for the driver's pod, where Spark does not make that pod.

In client mode the driver's pod is the Job's, so `spark.kubernetes.driver.*` would have no effect;
here they become the driver's Role. Executors, and in cluster mode the driver, get theirs by Spark.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from submission.application import Role

_K8S = "spark.kubernetes."
# What of a Role is a mapping, and the properties that add to it; the later ones win.
_PREFIXES = {
    "labels": (f"{_K8S}driver.label.",),
    "annotations": (f"{_K8S}driver.annotation.",),
    "node_selector": (f"{_K8S}node.selector.", f"{_K8S}driver.node.selector."),
    "env": (f"{_K8S}driverEnv.",),
    "secrets": (f"{_K8S}driver.secrets.",),
    "secret_env": (f"{_K8S}driver.secretKeyRef.",),
}
_VALUES = {
    "image": (f"{_K8S}container.image", f"{_K8S}driver.container.image"),
    "pull_policy": (f"{_K8S}container.image.pullPolicy",),
    "cpu_request": (f"{_K8S}driver.request.cores",),
    "cpu_limit": (f"{_K8S}driver.limit.cores",),
}


def driver_role(role: Role, conf: Mapping[str, str]) -> Role:
    """The role with what the properties say in it."""
    changes: dict[str, Any] = {}
    for name, prefixes in _PREFIXES.items():
        found = {
            key.removeprefix(prefix): conf[key]
            for prefix in prefixes
            for key in conf
            if key.startswith(prefix)
        }
        changes[name] = {**getattr(role, name), **found}
    for name, keys in _VALUES.items():
        for key in keys:
            if key in conf:
                changes[name] = conf[key]
    return dataclasses.replace(role, **changes)
