"""Which nodes an application may come to."""

from __future__ import annotations

import pytest

from submission.nodes import may_come


@pytest.mark.parametrize(
    ("taints", "comes"),
    [
        ([], True),
        ([("dedicated", "NoSchedule")], True),
        ([("dedicated", "NoSchedule"), ("other", "NoExecute")], False),
        ([("other", "PreferNoSchedule")], True),
        # It has just come; one that is lost, or cordoned, takes nothing.
        ([("node.kubernetes.io/not-ready", "NoSchedule")], True),
        ([("node.kubernetes.io/unreachable", "NoSchedule")], False),
        ([("node.kubernetes.io/unschedulable", "NoSchedule")], False),
    ],
)
def test_what_may_come_to_a_node(taints: list[tuple[str, str]], comes: bool) -> None:
    assert may_come(taints, [{"key": "dedicated", "operator": "Exists"}]) == comes


def test_a_toleration_without_a_key_is_for_every_taint() -> None:
    assert may_come([("other", "NoExecute")], [{"operator": "Exists"}])
