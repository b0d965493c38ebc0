"""A stack whose pods its nodes can't hold is refused, with the sum, before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from components.fit import require_fit, room_of
from components.node import Machine
from components.settings import Settings, SettingsError
from tests.unit.plan import MINIMAL, plan

TYPES = {"t3.small": (2, 2048), "t3.medium": (2, 4096), "t3.large": (2, 8192)}
NATIVE = {"wordCount": {"master": "kubernetes"}}


def check(config: dict[str, Any]) -> None:
    """As the program does it for that configuration."""
    settings = Settings.parse({**MINIMAL, **config})
    require_fit(settings, {type_: Machine(type_, "ami", *size) for type_, size in TYPES.items()})


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"nodes": {"count": 1}},
        {"nodes": {"count": 2}},
        {"nodes": {"count": 50}},
        {"nodes": {"type": "t3.small"}},
        {"nodes": {"count": 1, "price": 0.1}, "opex": {"engine": "kube-resource-report"}},
        NATIVE,
        {**NATIVE, "nodes": {"count": 40}},
        {**NATIVE, "nodes": {"count": 1, "type": "t3.large"}},
        {"spark": {"workers": 4}},
        {"spark": {"connect": True}},
    ],
)
def test_what_runs(config):
    check(config)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({**NATIVE, "nodes": {"count": 1}}, "count is 1; .* at least 3, .* 1.68 CPU and 4106 MiB"),
        ({**NATIVE, "nodes": {"count": 2}}, "count is 2; .* at least 3, .* 1.78 CPU and 4156 MiB"),
        ({"nodes": {"count": 1, "type": "t3.small"}}, "count is 1; .* at least 3, or nodes.type"),
        # Each executor would have as much beside as the worker.
        ({**NATIVE, "nodes": {"type": "t3.small"}}, "must be more, or .* executor .*1568 MiB × 2"),
        ({"nodes": {"type": "t3.small"}, "spark": {"connect": True}}, "connect 0.1 CPU and 512 M"),
        ({"spark": {"workers": 1000}}, "spark.workers fewer, or .* 1025614 MiB .* × 1000"),
        ({**NATIVE, "spark": {"workers": 7}}, "Spark's worker .* × 7.*executor .* × 7"),
        ({**NATIVE, "spark": {"workerMemoryMiB": 3000}}, "its executor 0.21 CPU and 3544 MiB × 2"),
    ],
)
def test_what_does_not(config, said):
    with pytest.raises(SettingsError, match=said) as caught:
        check(config)
    assert "\n" not in str(caught.value)


def test_the_program_asks():
    with pytest.raises(SettingsError, match="nodes.count is 1"):
        plan({**NATIVE, "nodes": {"count": 1}})


def test_a_node_has_less_for_pods_than_its_type():
    """A t3.medium of AWS has some 3850 MiB, of which the kubelet keeps 100."""
    assert 3600 < room_of(Machine("t3.medium", "ami", 2, 4096)).memory_mib < 3750
