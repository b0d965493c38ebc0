"""Sizes as Spark and Kubernetes write them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from submission.errors import ApplicationError

_SPARK_UNITS = {"k": 2**-10, "m": 1.0, "g": 2.0**10, "t": 2.0**20, "p": 2.0**30}
_KUBERNETES_UNITS = {
    **{"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15},
    **{"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50},
}


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
