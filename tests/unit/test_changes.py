"""docs/changes.md is what the program does, and the rows that matter most say what they must."""

from __future__ import annotations

import pytest

from tests.unit.changes import DOCUMENT, Kind, effect, page

OLD = {"cluster": {"version": "1.35.8"}}


def test_the_table_is_current():
    assert DOCUMENT.read_text() == page(), "python -m tests.unit.changes"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({}, {"network": {"cidr": "10.50.0.0/16"}}, "network.cidr is '10.50.0.0/16'; it must be"),
        ({}, {"network": {"zone": "eu-central-1b"}}, "where this cluster is; it can't move"),
        ({}, {"nodes": {"type": "t3.large"}}, "nodes.type is t3.medium in this cluster"),
        ({}, {"nodes": {"diskGiB": 15}}, "it can only grow; set 20 or more"),
        (OLD, {"cluster": {"version": "1.37.2"}}, "one minor release after the other; first 1.36"),
        ({}, {"cluster": {"podCidr": "10.200.0.0/16"}}, "cluster.podCidr is 10.244.0.0/16 in this"),
    ],
)
def test_what_would_break_a_cluster_is_refused(before, after, says):
    found = effect(Kind("", before, after))
    assert says in found.refused
    assert not found.updated and not found.made


def test_no_change_makes_a_node_anew():
    rows = [line.split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    nodes = {"`control-plane`", "`worker-N`"}
    anew = {row[1].strip() for row in rows if nodes & set(row[3].strip().split(", "))}
    assert anew == {"a node more", "a node fewer", "the last worker goes"}
