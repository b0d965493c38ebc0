"""The table of changes (docs/changes.md) is what the engine says and does, and how long that takes.

Last of its stack: a disk that has grown stays.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Up
from tests.seen import seen
from tests.unit.changes import _names, effect, kinds

# Cheap ones, each on top of those before it.
PLAYED = (
    "a Spark worker more",
    "no history server",
    "a namespace more",
    "another quota",
    "another count (lowercase)",
    "another price",
    "bigger disks",
)
KINDS = {kind.title: kind for kind in kinds(("", ""))}
# What only follows from what the engine makes anew is in no row.
FOLLOWS = {"wordcount-result"}


@pytest.mark.parametrize("title", PLAYED)
def test_a_change_does_what_the_table_says(up: Up, title: str, tmp_path: Path):
    assert up.changes() == {}
    config = yaml.safe_load(up.stack.config_file.read_text())
    for group, values in KINDS[title].after.items():
        config["config"].setdefault(f"tinderbox:{group}", {}).update(values)
    config["config"]["tinderbox:opex"] = {"engine": "kube-resource-report"}
    up.stack.config_file.write_text(yaml.safe_dump(config))

    told = effect(KINDS[title])
    changed = {
        name: "updated" if op == "update" else "made"
        for name, op in up.changes().items()
        if name not in FOLLOWS
    }
    short = {what: [n for n, op in changed.items() if op == what] for what in ("updated", "made")}
    prefix = "tinderbox-local-"
    assert {
        what: set(_names(name.removeprefix(prefix) for name in names))
        for what, names in short.items()
    } == {"updated": set(told.updated), "made": set(told.made)}
    with seen(title):
        up.stack.up(tmp_path / "events.jsonl")
