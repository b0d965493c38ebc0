"""docs/changes.md is what the program does, and the rows that matter most say what they must."""

from __future__ import annotations

import re

import pytest

from tests import seen
from tests.unit.changes import DOCUMENT, Kind, effect, kinds, page
from tests.unit.plan import ROOT

OLD = {"cluster": {"version": "1.35.8"}}


def test_the_table_is_current():
    assert DOCUMENT.read_text() == page(), "python -m tests.unit.changes"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({}, {"network": {"cidr": "10.50.0.0/16"}}, "network.cidr is '10.50.0.0/16'; it must be"),
        ({}, {"network": {"zone": "eu-central-1b"}}, "where this cluster is; it can't move"),
        ({}, {"nodes": {"diskGiB": 15}}, "it can only grow; set 20 or more"),
        (OLD, {"cluster": {"version": "1.37.2"}}, "one minor release after the other; first 1.36"),
        ({}, {"cluster": {"podCidr": "10.200.0.0/16"}}, "cluster.podCidr is 10.244.0.0/16 in this"),
    ],
)
def test_what_would_break_a_cluster_is_refused(before, after, says):
    found = effect(Kind("", before, after))
    assert says in found.refused
    assert not found.updated and not found.made


def test_which_changes_make_a_node_anew():
    rows = [line.split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    nodes = {"`control-plane`", "`worker-N`"}
    anew = {row[1].strip() for row in rows if nodes & set(row[3].strip().split(", "))}
    assert anew == {
        *("a node more", "a node fewer", "the last worker goes"),
        *("another type of spot nodes", "another image", "spot on", "spot off"),
    }
    assert not [row for row in rows if "`control-plane`" in row[3]]


@pytest.mark.parametrize("file", sorted((ROOT / "tests" / "e2e").glob("test_*.py")), ids=str)
def test_what_is_seen_is_a_row(file):
    titles = {kind.title for kind in kinds(("", ""))}
    named = re.findall(r"\bseen?\(\s*\"([^\"]+)", file.read_text())
    assert {name for name in named if not name.startswith("make ")} <= titles


def test_what_was_seen_is_in_the_table_with_its_machine():
    rows = DOCUMENT.read_text()
    for change, took in seen.load(seen.KEPT).items():
        line = next(
            line
            for line in rows.splitlines()
            if line.startswith((f"| {change} |", f"| `{change}` |"))
        )
        assert f"| {took['seconds']} s (" in line and took["date"] in line
        assert took["machine"] in rows


def test_what_was_seen_is_taken_down(tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "FOUND", tmp_path / "found.json")
    with seen.seen("a"):
        pass
    with pytest.raises(ValueError), seen.seen("b"):
        raise ValueError  # what failed has taken no time
    seen.see("c", 12.34)
    found = seen.load(tmp_path / "none.json", seen.FOUND)
    assert found.keys() == {"a", "c"}
    assert found["c"]["seconds"] == 12.3
    assert " GiB" in found["c"]["machine"]


@pytest.mark.parametrize(
    ("before", "after", "script", "restarted"),
    [
        ({}, {"spark": {"workers": 3}}, "", ()),
        ({}, {"spark": {"workerMemoryMiB": 1280}}, "", ("pods of `spark-worker`",)),
        ({"nodes": {"count": 4}}, {}, "", ("pods by a drain (`worker-N-member`)",)),
        ({}, {"nodes": {"type": "t3.large"}}, "", ("nodes (`control-plane`, `worker-N`)",)),
        ({}, {"nodes": {"spot": True}}, "", ("pods by a drain (`worker-N-member`)",)),
        ({}, {"nodes": {"diskGiB": 40}}, "", ("kubelet (`control-plane-disk`, `worker-N-disk`)",)),
    ],
)
def test_what_is_restarted_is_told(before, after, script, restarted):
    assert effect(Kind("", before, after, script)).restarted == restarted
