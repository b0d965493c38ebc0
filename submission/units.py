"""Sizes, counts and times as Spark and Kubernetes write them.

Each function takes the key that a text stands under, and raises ApplicationError in one line that
names both where the text is no such thing.
"""

from __future__ import annotations

import math
import re

from submission.errors import ApplicationError

MIB = 2**20
_MOST = 2**31 - 1
"""Java's largest int."""
_LARGEST = 2**63 - 1
_BYTES = {unit: 2 ** (10 * power) for power, unit in enumerate("bkmgtp")}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_QUANTITIES = {
    **{"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12},
    **{"P": 1e15, "E": 1e18, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40},
    **{"Pi": 2.0**50, "Ei": 2.0**60},
}


def size(key: str, text: str, bare: int = MIB) -> int:
    """Bytes, from Spark's "512m" or "2g"; a bare number counts in `bare` bytes."""
    found = re.fullmatch(r"([0-9]+)(?:([kmgtp])b?|(b))?", text.strip().lower(), re.ASCII)
    if found is None:
        raise ApplicationError(
            f"{key}={text} is no size: write a whole number with k, m, g or t, such as 512m or 2g"
        )
    number, unit, single = found.groups()
    bytes_ = int(number) * (_BYTES[unit or single] if unit or single else bare)
    if bytes_ > _LARGEST:
        raise ApplicationError(f"{key}={text} is more than Spark can count")
    return bytes_


def mebibytes(key: str, text: str) -> int:
    """The same in MiB, as Spark rounds: down."""
    return size(key, text) // MIB


def whole(key: str, text: str, least: int = 0) -> int:
    """A whole number, of at least `least` and at most Java's largest int."""
    found = re.fullmatch(r"[0-9]{1,10}", text.strip(), re.ASCII)
    if found is None or not least <= int(text) <= _MOST:
        raise ApplicationError(f"{key}={text} must be a whole number from {least} to {_MOST}")
    return int(text)


def factor(key: str, text: str) -> float:
    """A share, above 0."""
    if re.fullmatch(r"[0-9]*\.?[0-9]+", text.strip(), re.ASCII) and 0 < float(text) < _MOST:
        return float(text)
    raise ApplicationError(f"{key}={text} must be a number above 0, such as 0.2")


def is_true(key: str, text: str) -> bool:
    """Spark's true or false."""
    if text.strip().lower() not in ("true", "false"):
        raise ApplicationError(f"{key}={text} must be true or false")
    return text.strip().lower() == "true"


def seconds(key: str, text: str, bare: float = 1) -> float:
    """A time, from Spark's "30s" or "10min"; a bare number counts in `bare` seconds."""
    found = re.fullmatch(r"([0-9]+)([a-z]+)?", text.strip().lower(), re.ASCII)
    if found is None or (found[2] and found[2] not in _SECONDS):
        raise ApplicationError(f"{key}={text} is no time: write 30s, 10min or 2h")
    return int(found[1]) * (_SECONDS[found[2]] if found[2] else bare)


def cpus(key: str, text: str) -> float:
    """Cores as Kubernetes counts them: "500m", "2" or "1.5"; thousandths, above 0."""
    cores = _quantity(text)
    if cores is None or not 1e-3 <= cores <= _MOST or not math.isclose(cores, round(cores, 3)):
        raise ApplicationError(
            f"{key}={text} are no cores: write 500m, 2 or 1.5, and no parts of a thousandth"
        )
    return round(cores, 3)


def quantity(text: str) -> float:
    """A quantity as Kubernetes writes it ("500m", "3842Mi", "2"), as a number."""
    number = _quantity(text)
    if number is None:
        raise ApplicationError(f"{text!r} is no quantity: write 500m, 2 or 3Gi")
    return number


def _quantity(text: str) -> float | None:
    found = re.fullmatch(
        r"([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,2})|([A-Za-z]*))", text, re.ASCII
    )
    if found is None or (found[3] or "") not in _QUANTITIES:
        return None
    return float(found[1]) * (10.0 ** int(found[2]) if found[2] else _QUANTITIES[found[3] or ""])
