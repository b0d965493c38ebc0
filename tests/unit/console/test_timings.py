"""Where the time went, from the engine's events."""

from __future__ import annotations

import json

import pytest

from components import wordcount
from components.aws import file_system, network, nodes
from components.cluster import addons, kubeadm
from components.spark import release as spark
from console import timings
from console.timings import Phase

SPARK = "tinderbox:index:SparkRelease"
NODES = "tinderbox:index:KubeNodes"


def event(at: float, kind: str, component: str, name: str = "x", op: str = "create") -> dict:
    """One event of the engine about a resource in a component."""
    type_ = f"pulumi:pulumi:Stack${component}$aws:ec2/vpc:Vpc"
    urn = f"urn:pulumi:local::tinderbox::{type_}::{name}"
    return {"timestamp": at, kind: {"metadata": {"op": op, "urn": urn}}}


def begins(at: float, component: str, name: str = "x", **more) -> dict:
    return event(at, "resourcePreEvent", component, name, **more)


def ends(at: float, component: str, name: str = "x", **more) -> dict:
    return event(at, "resOutputsEvent", component, name, **more)


def test_a_phase_is_from_its_first_beginning_to_its_last_end():
    events = [
        begins(100, NODES, "a"),
        begins(102, NODES, "b"),
        ends(105, NODES, "b"),
        ends(109, NODES, "a"),
    ]
    assert timings.phases(events) == [Phase("instances", 0, 9)]


def test_phases_overlap_and_are_told_as_they_begin():
    events = [begins(10, SPARK), begins(11, NODES), ends(12, SPARK), ends(13, NODES)]
    assert timings.phases(events) == [Phase("Spark", 0, 2), Phase("instances", 1, 3)]


def test_the_beginning_of_all_may_be_earlier():
    events = [begins(10, SPARK), ends(12, SPARK)]
    assert timings.phases(events, origin=4) == [Phase("Spark", 6, 8)]
    # Also where the clock began at 0.
    assert timings.phases(events, origin=0) == [Phase("Spark", 10, 12)]


@pytest.mark.parametrize("op", ["same", "read"])
def test_what_did_not_change_took_no_time(op):
    assert timings.phases([begins(1, SPARK, op=op), ends(9, SPARK, op=op)]) == []


def test_a_failure_ends_a_phase_too():
    events = [begins(1, SPARK), event(5, "resOpFailedEvent", SPARK)]
    assert timings.phases(events) == [Phase("Spark", 0, 4)]


def test_events_about_nothing_that_has_a_phase():
    events = [
        {"timestamp": 1, "preludeEvent": {"config": {}}},
        {"timestamp": 2, "resourcePreEvent": None},
        {
            "timestamp": 3,
            "resourcePreEvent": {
                "metadata": {
                    "op": "create",
                    "urn": "urn:pulumi:local::tinderbox::pulumi:pulumi:Stack::tinderbox-local",
                }
            },
        },
    ]
    assert timings.phases(events) == []


def test_a_resource_belongs_to_its_outermost_component():
    nested = f"{SPARK}$tinderbox:index:SharedVolume"
    assert timings.phases([begins(1, nested), ends(2, nested)]) == [Phase("Spark", 0, 1)]


@pytest.mark.parametrize(
    "component",
    [
        network.NetworkStack,
        nodes.KubeNodes,
        file_system.SharedFileSystem,
        kubeadm.KubeadmBootstrap,
        addons.ClusterAddons,
        spark.SparkRelease,
        wordcount.WordCountJob,
    ],
)
def test_every_component_has_a_phase(component):
    found = timings.phases([begins(1, f"tinderbox:index:{component.__name__}")])
    assert len(found) == 1


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text(f'{json.dumps({"timestamp": 1})}\n{{"timestamp": 2, "res')
    assert timings.read_events(file) == [{"timestamp": 1}]


def test_the_chart_has_one_scale():
    shown = timings.chart([Phase("a", 0, 5), Phase("longer", 5, 10)], width=10).splitlines()
    assert shown == [
        "  a       █████          5.0 s",
        "  longer       █████     5.0 s",
    ]


def test_the_shortest_phase_is_seen_and_none_leaves_the_chart():
    shown = timings.chart([Phase("a", 0, 1000), Phase("b", 999.9, 1000)], width=10)
    for line in shown.splitlines():
        assert "█" in line
        assert len(line) == len("  a  ") + 10 + len("  1000.0 s")


def test_nothing_has_no_chart():
    assert timings.chart([]) == ""


def test_the_same_for_programs():
    assert timings.as_json([Phase("Spark", 1.5, 2)]) == [{"name": "Spark", "start": 1.5, "end": 2}]
