"""Keeps secrets out of what people see: error texts of the API server, of helm, of a Job's log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from standins.values import Secret

# Shorter ones ("", "1", "yes") are no secrets and would garble every text.
_SHORTEST = 4


def secrets_in(value: Any, inside: bool = False) -> Iterator[str]:
    """Each text within `value` (with its Secret marks) that a Secret wraps, at any depth."""
    if isinstance(value, Secret):
        yield from secrets_in(value.value, True)
    elif isinstance(value, dict):
        for item in value.values():
            yield from secrets_in(item, inside)
    elif isinstance(value, list):
        for item in value:
            yield from secrets_in(item, inside)
    elif inside and isinstance(value, str):
        yield value


def redact(text: str, *marked: Any) -> str:
    """`text` with each secret of `marked` replaced by [secret]; longest first, lines on their own.

    A secret of several lines also hides where only one of its lines stands in the text.
    """
    found = set()
    for value in marked:
        for secret in secrets_in(value):
            found |= {secret, *secret.splitlines()}
    for secret in sorted(found, key=len, reverse=True):
        if len(secret.strip()) >= _SHORTEST:
            text = text.replace(secret, "[secret]")
    return text
