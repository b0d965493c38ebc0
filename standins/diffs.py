"""The difference between a resource's old and new inputs, property path by property path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from standins.values import UNKNOWN, Archive, Asset

# Names that need no quoting in a property path, such as `tags.Name`.
_SIMPLE_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*\Z")


@dataclass
class Diff:
    """What changes: `paths` maps a property path to "add", "delete" or "update".

    `replace` holds the paths (of `paths`) that cannot be changed in place.
    """

    paths: dict[str, str] = field(default_factory=dict)
    replace: set[str] = field(default_factory=set)


def join_path(parent: str, key: str | int) -> str:
    """The path of `key` inside `parent`: `a`, `a.b`, `a[0]`, `a["b.c"]`."""
    if isinstance(key, int):
        return f"{parent}[{key}]"
    if _SIMPLE_NAME.match(key):
        return f"{parent}.{key}" if parent else key
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'{parent}["{quoted}"]'


def changed_paths(old: Any, new: Any, path: str = "") -> dict[str, str]:
    """Path to "add", "delete" or "update" for each leaf in which `old` and `new` differ.

    Both are plain values (no Secret). A null is the same as an absent property. A new value that
    is not known yet counts as an update. Keys that begin with `__` are the engine's own.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, str] = {}
        for key in sorted({*old, *new}):
            if not key.startswith("__"):
                found |= changed_paths(old.get(key), new.get(key), join_path(path, key))
        return found
    if isinstance(old, list) and isinstance(new, list):
        found = {}
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            found |= changed_paths(before, after, join_path(path, index))
        return found
    if new is UNKNOWN:
        return {path: "add" if old is None else "update"}
    if _same(old, new):
        return {}
    if old is None:
        return {path: "add"}
    return {path: "delete" if new is None else "update"}


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, Asset | Archive) and type(old) is type(new):
        # Old assets come without their content; the hash is what identifies it.
        return old.hash == new.hash
    if isinstance(old, bool) != isinstance(new, bool):
        return False
    return bool(old == new)


def without_gone_defaults(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`old` less the defaults that an official bridged plugin had written into it.

    Such a plugin lists them in `__defaults`; a program that never set them must see no diff.
    """
    defaults = set(old.get("__defaults") or ())
    return {k: v for k, v in old.items() if k in new or k not in defaults}


def replaced_by(paths: Iterable[str], force_new: Iterable[str]) -> set[str]:
    """Those of `paths` that lie at or below a property that `force_new` names.

    `force_new` has property names such as `cidrBlock`, or dotted ones such as
    `rootBlockDevice.encrypted`; list indices in `paths` are passed over.
    """
    rules = [rule.split(".") for rule in force_new]
    found = set()
    for path in paths:
        names = [name for name in re.split(r"[.\[\]]+", path) if name and not name.isdigit()]
        names = [name.strip('"') for name in names]
        if any(names[: len(rule)] == rule for rule in rules):
            found.add(path)
    return found
