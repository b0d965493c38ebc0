"""tests/conformance: what of Kubernetes' tests is asked for, and how it is told."""

from __future__ import annotations

import re

import pytest

from tests.conformance import __main__ as conformance


def report(state: str, *names: str) -> dict[str, object]:
    return {"State": state, "ContainerHierarchyTexts": list(names[:-1]), "LeafNodeText": names[-1]}


def test_the_page_has_what_passed_by_its_area_and_nothing_else():
    text = conformance.page(
        [
            report("passed", "[sig-network] DNS", "should provide DNS for pods [Conformance]"),
            report("passed", "[sig-apps] Job", "should delete a job [Conformance]"),
            report("failed", "[sig-apps] Job", "should fail [Conformance]"),
        ]
    )
    assert "2 tests ran and passed" in text
    assert "| networking | 1 |" in text and "| workloads | 1 |" in text and "| pods | 0 |" in text
    assert "- [sig-apps] Job should delete a job\n" in text
    assert "should fail" not in text


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("[sig-network] Services should serve a basic endpoint from pods [Conformance]", False),
        ("[sig-api-machinery] Aggregator Should be able to support sample API server", True),
        ("[sig-scheduling] SchedulerPredicates validates resource limits [Serial]", False),
        ("[sig-network] Services should be able to create a functioning NodePort service", True),
        ("[sig-apps] StatefulSet Burst scaling should run to completion [Slow]", True),
    ],
)
def test_what_needs_more_than_there_is_is_left_out(name, left_out):
    assert bool(re.search(conformance.LEFT_OUT, name)) == left_out
    asked = [area for area, focus in conformance.AREAS.items() if re.search(focus, name)]
    assert left_out or len(asked) == 1


def test_each_image_has_every_tag_that_is_asked_for(tmp_path):
    program = tmp_path / "e2e.test"
    listed = ["agnhost:2.55", "agnhost:2.63.0", "busybox:1.37.0-1", "nonroot:1.5", "perl:5.26"]
    lines = "".join(f"echo registry.k8s.io/e2e-test-images/{one}\n" for one in listed)
    program.write_text(f"#!/bin/sh\n{lines}")
    program.chmod(0o755)
    asked = {name: tags for name, tags in conformance.tags(program).items() if tags}
    assert asked == {"agnhost": ["2.55", "2.63.0"], "busybox": ["1.37.0-1"], "nonroot": ["1.5"]}
