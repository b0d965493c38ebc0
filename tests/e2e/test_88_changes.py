"""The table of changes (docs/changes.md) is what the engine says and does, and how long that takes.

Last of its stack: a disk that has grown stays.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Up
from tests.seen import seen
from tests.unit.changes import _names, effect, kinds

# Cheap ones, each on top of those before it.
PLAYED = (
    "a Spark worker more",
    "no history server",
    "another price",
    "another count (lowercase)",
    "a namespace more",
    "another quota",
    "bigger disks",
)
KINDS = {kind.title: kind for kind in kinds(("", ""))}
# What only follows from what the engine makes anew is in no row.
FOLLOWS = {"wordcount-result"}


@pytest.mark.parametrize("title", PLAYED)
def test_a_change_does_what_the_table_says(up: Up, title: str, tmp_path: Path):
    assert up.changes() == {}
    up.configure({**KINDS[title].after, "opex": {"engine": "kube-resource-report"}})

    updated, made = set(), set()
    for name, op in up.changes().items():
        if name not in FOLLOWS:
            (updated if op == "update" else made).add(name.removeprefix("tinderbox-local-"))
    told = effect(KINDS[title])
    assert set(_names(updated)) == set(told.updated)
    assert set(_names(made)) == set(told.made)
    with seen(title):
        up.stack.up(tmp_path / "events.jsonl")
