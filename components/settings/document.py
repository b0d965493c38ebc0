"""python -m components.settings.document: writes the settings into README.md and Pulumi.yaml.

All of it comes from the models; a test holds that it is what they say.
"""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

from components.settings.group import key_of
from components.settings.groups import Groups, group_of, keys, kind_of, named

ROOT = Path(__file__).resolve().parents[2]
_MARKED = re.compile(
    r"(.*settings: python -m components\.settings\.document.*\n)(?:.*\n)*?(.*/settings)"
)


def table() -> str:
    """The README's table: a row a key."""
    lines = ["| key | default | takes | meaning |", "|---|---|---|---|"]
    for key, field in keys().items():
        value = field.default
        shown = value if isinstance(value, str) else json.dumps(value)
        default = "" if value is None else f"`{shown}`"
        lines.append(f"| `{key}` | {default} | {kind_of(field).words} | {field.description} |")
    return "\n".join(lines) + "\n"


def objects() -> str:
    """The objects of Pulumi.yaml's `config`, each with its keys."""
    lines = []
    for name, field in Groups.model_fields.items():
        group = key_of(name)
        prefix = f"{group}.NAME." if group in named() else f"{group}."
        known = [
            f"{key.removeprefix(prefix)} ({kind_of(field).words})"
            for key, field in keys().items()
            if key.startswith(prefix)
        ]
        words = f"{inspect.getdoc(group_of(field))} Keys: {', '.join(known)}."
        lines += [f"  {group}:", "    type: object", "    default: {}", "    description: >-"]
        lines += textwrap.wrap(
            words, 100, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False
        )
    return "\n".join(lines) + "\n"


FILES: Mapping[str, Callable[[], str]] = {"README.md": table, "Pulumi.yaml": objects}


def filled(name: str) -> str:
    """The file's text, with what is between its marks as the models have it."""
    text = (ROOT / name).read_text()
    written, count = _MARKED.subn(lambda marks: marks[1] + FILES[name]() + marks[2], text)
    if count != 1:
        raise ValueError(f"{name} has no place for the settings")
    return written


if __name__ == "__main__":
    for file in FILES:
        (ROOT / file).write_text(filled(file))
