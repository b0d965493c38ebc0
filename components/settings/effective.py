"""The settings that are in effect, and which file or default each comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.settings.errors import SECRETS
from components.settings.groups import keys, kind_of, named
from components.settings.kinds import Unfit

DEFAULT = "default"
_SECRET = "(secret)"


@dataclass(frozen=True)
class Setting:
    """A key, what the program takes it for, and where that is from; or what is wrong with it."""

    key: str
    value: str
    source: str
    wrong: str = ""


def effective(layers: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Setting]:
    """Every key; those that are set first in each group.

    layers: (source, {object: {key: value}}), the first that has an object counts, as to Pulumi.
    """
    given = {
        group: (source, values)
        for source, config in reversed(layers)
        for group, values in config.items()
    }
    groups = dict.fromkeys([*(key.partition(".")[0] for key in keys()), *given])
    return [row for group in groups for row in _group(group, *given.get(group, ("", {})))]


def _group(group: str, source: str, values: Any) -> Iterator[Setting]:
    if group in named() and isinstance(values, Mapping) and not _is_secret(values):
        for name, each in values.items():
            yield from _keys(f"{group}.{name}", f"{group}.NAME", source, each)
    else:
        yield from _keys(group, group, source, values)


def _keys(prefix: str, known: str, source: str, values: Any) -> Iterator[Setting]:
    values = values or {}
    if _is_secret(values):
        yield Setting(prefix, _SECRET, source)
    elif not isinstance(values, Mapping):
        yield Setting(prefix, "", source, "must be an object")
    else:
        below = [key.removeprefix(f"{known}.") for key in keys() if key.startswith(f"{known}.")]
        groups = [key.partition(".")[0] for key in below if "." in key]
        for name in dict.fromkeys([*values, *groups]):
            if name in groups:
                yield from _keys(f"{prefix}.{name}", f"{known}.{name}", source, values.get(name))
            else:
                yield _set(f"{prefix}.{name}", f"{known}.{name}", values[name], source)
        for key, field in keys().items():
            group, _, name = key.rpartition(".")
            if group == known and name not in values:
                yield Setting(f"{prefix}.{name}", _shown(field.default), DEFAULT)


def _set(key: str, known: str, value: Any, source: str) -> Setting:
    if known not in keys():
        return Setting(key, "", source, "is not a setting")
    if known in SECRETS or _is_secret(value):
        return Setting(key, _SECRET, source)
    try:
        taken = value if value is None else kind_of(keys()[known]).take(value)
    except Unfit as wanted:
        return Setting(key, _shown(value), source, f"must be {wanted}")
    return Setting(key, _shown(taken), source)


def _is_secret(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"secure"}


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
