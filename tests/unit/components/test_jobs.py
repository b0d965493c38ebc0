"""A Job's failure is one that Pulumi's plugin for Kubernetes knows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from components.engine import jobs
from tests.unit.plan import planned


class Batch:
    """The API's Jobs: what a look finds, one after the other; and what was patched."""

    def __init__(self, *looks: Any) -> None:
        self.looks = list(looks)
        self.patches: list[Any] = []

    def read_namespaced_job(self, *_: str, **__: Any) -> Any:
        found = self.looks.pop(0)
        if isinstance(found, Exception):
            raise found
        conditions = [SimpleNamespace(**one) for one in found] or None
        return SimpleNamespace(status=SimpleNamespace(conditions=conditions))

    def patch_namespaced_job_status(self, name: str, namespace: str, body: Any, **_: Any) -> None:
        self.patches.append((name, namespace, body))


def ended(type_: str, reason: str, status: str = "True") -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason, "message": "exit code 2"}


def test_a_failure_by_the_pods_policy_is_told_as_one_that_is_known():
    batch = Batch(
        ApiException(status=404),
        [],
        [ended("FailureTarget", "PodFailurePolicy")],
        [ended("Failed", "PodFailurePolicy", "False")],
        [ended("FailureTarget", "PodFailurePolicy"), ended("Failed", "PodFailurePolicy")],
    )
    seen = [jobs._has_ended(batch, "count", "spark") for _ in range(5)]
    assert seen == [False, False, False, False, True]
    told = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    told["message"] = "PodFailurePolicy: exit code 2"
    assert batch.patches == [("count", "spark", {"status": {"conditions": [told]}})]


@pytest.mark.parametrize(
    "end",
    [
        ended("Complete", "CompletionsReached"),
        ended("Failed", "BackoffLimitExceeded"),
        ended("Failed", "DeadlineExceeded"),
    ],
)
def test_other_ends_are_left_as_they_are(end):
    batch = Batch([end])
    assert jobs._has_ended(batch, "count", "spark")
    assert batch.patches == []


def test_the_word_count_is_looked_at():
    assert planned().options_of("wordcount", "kubernetes:batch/v1:Job").before_create
