"""What Kubernetes' API tells of a run: the facts of which why.cause makes why it failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from submission.conf import DRIVER_CONTAINER, JOB_LABEL

if TYPE_CHECKING:
    from kubernetes import client

WITHIN = (10, 30)
"""Seconds that the API may take to be reached and to answer."""


def facts(api: client.ApiClient, namespace: str, job: str) -> dict[str, Any]:
    """What Kubernetes knows of a Job's run, as why.cause takes it: of its last attempt.

    What one may not see is left out.
    """
    from kubernetes import client
    from kubernetes.client.exceptions import ApiException

    core: Any = client.CoreV1Api(api)
    batch: Any = client.BatchV1Api(api)

    def ask(call: Callable[..., Any], *arguments: str, **more: str) -> Any:
        try:
            return api.sanitize_for_serialization(call(*arguments, **more, _request_timeout=WITHIN))
        except ApiException as error:
            if error.status in (403, 404):
                return {}
            raise

    chosen = {"label_selector": f"{JOB_LABEL}={job}"}
    own = ask(core.list_namespaced_pod, namespace, **chosen).get("items")
    # The others are many, and nothing to one that waits for its own.
    all_ = ask(core.list_namespaced_pod, namespace).get("items") if own else None
    pods = attempt(job, all_ or [])
    about = f"involvedObject.name={job},type=Warning"
    events = ask(core.list_namespaced_event, namespace, field_selector=about).get("items") or []
    found: dict[str, Any] = {"pods": pods, "events": events}
    found["job"] = ask(batch.read_namespaced_job, job, namespace)
    return found | end_of(pods)


def attempt(job: str, pods: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a namespace's pods those of a Job's last attempt, its own first, and Spark's workers.

    The last is the one that ended well, else the latest.
    """

    def begun(pod: dict[str, Any]) -> tuple[bool, str]:
        has_done = pod["status"].get("phase") == "Succeeded"
        return has_done, pod["metadata"].get("creationTimestamp") or ""

    tries = sorted((pod for pod in pods if _labels(pod).get(JOB_LABEL) == job), key=begun)
    if not tries:
        return []
    made = f"{tries[-1]['metadata']['name']}-"
    others = [pod for pod in pods if pod["metadata"]["name"].startswith(made)]
    workers = [p for p in pods if _labels(p).get("app.kubernetes.io/component") == "worker"]
    return [tries[-1], *others, *workers]


def _labels(pod: dict[str, Any]) -> dict[str, str]:
    return pod["metadata"].get("labels") or {}


def end_of(pods: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """{code, told} of the Job's pod, the first; nothing while it has not ended."""
    for container in (pods[0]["status"].get("containerStatuses") or []) if pods else []:
        ended = (container.get("state") or {}).get("terminated")
        if container["name"] == DRIVER_CONTAINER and ended:
            return {"code": ended["exitCode"], "told": ended.get("message") or ""}
    return {}
