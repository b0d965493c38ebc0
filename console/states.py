"""States of the stand-in for Kubernetes' plugin, until November 2026, made as the plugin has them.

The plugin compares with the inputs that it keeps among the outputs; without them it would make all
objects anew.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

_INPUTS, _FIRST_VERSION = "__inputs", "__initialApiVersion"
_NO_OBJECTS = ("kubernetes:helm.sh/",)


def adopt(state: dict[str, Any]) -> int:
    """Brings a state up to date, if it is of the stand-in's; how many objects lacked something."""
    resources = state["deployment"].get("resources") or []
    if found := complete(resources):
        take_plugin(resources, version("pulumi-kubernetes"))
    return found


def take_plugin(resources: list[dict[str, Any]], of: str) -> None:
    """The plugin of this version is the provider's, also for a destroy, which has no program."""
    for resource in resources:
        if resource["type"] == "pulumi:providers:kubernetes":
            for known in (resource.get("inputs"), resource.get("outputs")):
                if known and "version" in known:
                    known["version"] = of


def complete(resources: list[dict[str, Any]]) -> int:
    """Gives objects the inputs that they lack; how many did."""
    found = 0
    for resource in resources:
        outputs = resource.get("outputs") or {}
        is_object = resource["type"].startswith("kubernetes:") and resource.get("custom")
        if not is_object or resource["type"].startswith(_NO_OBJECTS) or _INPUTS in outputs:
            continue
        inputs = resource.get("inputs") or {}
        resource["outputs"] = {
            **outputs,
            _INPUTS: inputs,
            _FIRST_VERSION: inputs.get("apiVersion", outputs.get("apiVersion")),
        }
        found += 1
    return found
