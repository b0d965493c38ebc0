"""What became of a stack's applications, as the cluster tells it to whoever has a client of it."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from submission import cron
from submission.conf import DRIVER_CONTAINER, JOB_LABEL
from submission.manifests import Schedule

JOB_MARK = {"pulumi.com/replaceUnready": "true"}
CRON_MARK = {"tinderbox/runs": "by-schedule"}
"""The annotation of the Job or CronJob of each application of the stack's, and of nothing else.

That of Jobs makes Pulumi run a failed one again with the next update, not report it as it stands.
"""
#: Lines of a log's end that are looked through for a result, and seconds that the API may take.
_TAIL, _WITHIN = 50, (10, 30)
_USAGE = "usage: "
_LOGGED = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d [A-Z]+ ")
"""What Spark does, by the chart's pattern, rather than what its program says."""
_SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MOST_MISSED = 100
"""So many runs are counted; Kubernetes' controller counts no further either."""


@dataclass(frozen=True)
class Found:
    """An application in the cluster: its Job or CronJob as JSON, and its runs, the newest last."""

    owner: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]

    @property
    def name(self) -> str:
        """The application's."""
        return self.owner["metadata"]["labels"]["app"]

    @property
    def schedule(self) -> Schedule | None:
        """None where it runs once for each change."""
        spec = self.owner["spec"]
        if "schedule" not in spec:
            return None
        return Schedule(
            spec["schedule"], spec.get("timeZone", "UTC"), spec["successfulJobsHistoryLimit"]
        )

    @property
    def state(self) -> str:
        """Of its last run: waiting (also for the first one), running, succeeded or failed."""
        return _state(self.runs[-1]) if self.runs else "waiting"

    @property
    def is_under_way(self) -> bool:
        """Whether its last run has not ended."""
        return bool(self.runs) and self.state in ("waiting", "running")

    @property
    def started(self) -> str | None:
        """When its last run was, as Kubernetes writes it."""
        return self.runs[-1].get("status", {}).get("startTime") if self.runs else None

    def next(self, now: datetime) -> datetime | None:
        """When it is due again."""
        plan = self.schedule
        return None if plan is None else cron.read(plan.cron, plan.zone).after(now)

    def missed(self, now: datetime) -> int:
        """How many runs there were not, of those that its kept runs can tell of.

        The last one that was due is none of them: Kubernetes starts it as soon as it can.
        """
        plan = self.schedule
        if plan is None:
            return 0
        done = {
            _time(told)
            for run in self.runs
            if (told := run["metadata"].get("annotations", {}).get(_SCHEDULED))
        }
        due = cron.read(plan.cron, plan.zone).between(self._known_since(plan), now)
        *over, _last = [None, *deque(due, MOST_MISSED + 1)]
        return len([at for at in over if at not in {None, *done}])

    def _known_since(self, plan: Schedule) -> datetime:
        """From when on no run has been taken away, and its schedule is what it is."""
        metadata = self.owner["metadata"]
        since = [_time(metadata["creationTimestamp"])]
        # Who changed more than the status.
        writes = metadata.get("managedFields", ())
        since += [_time(one["time"]) for one in writes if "subresource" not in one]
        for state in ("succeeded", "failed"):
            ended = [run for run in self.runs if _state(run) == state]
            if len(ended) >= plan.keep:
                since.append(_time(ended[0]["metadata"]["creationTimestamp"]))
        return max(since)


def find(api: client.ApiClient, namespace: str) -> dict[str, Found]:
    """The stack's applications in a namespace, by name."""
    batch: Any = client.BatchV1Api(api)

    def all_(what: Any) -> list[Any]:
        made = api.sanitize_for_serialization(what(namespace, _request_timeout=_WITHIN))["items"]
        return sorted(made, key=lambda one: one["metadata"]["creationTimestamp"])

    jobs = all_(batch.list_namespaced_job)
    owners = [(cron, CRON_MARK) for cron in all_(batch.list_namespaced_cron_job)]
    found = [
        Found(owner, [job for job in jobs if job is owner or _is_of(job, owner)])
        for owner, mark in (*owners, *((job, JOB_MARK) for job in jobs))
        if mark.items() <= owner["metadata"].get("annotations", {}).items()
    ]
    return {one.name: one for one in found}


def again(found: Found) -> dict[str, Any]:
    """A Job, without a name, that is one more run of the application, and belongs to its own.

    What belongs to a CronJob counts among its runs; so Kubernetes takes it away in time.
    """
    metadata, spec = found.owner["metadata"], found.owner["spec"]
    kind = "CronJob" if "schedule" in spec else "Job"
    if kind == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    # By these the Job's controller knows its pods.
    spec = {key: value for key, value in spec.items() if key not in ("selector", "manualSelector")}
    template = spec["template"]
    labels = {
        key: value
        for key, value in template["metadata"]["labels"].items()
        if key not in ("controller-uid", "job-name") and not key.startswith("batch.kubernetes.io/")
    }
    spec["template"] = {**template, "metadata": {**template["metadata"], "labels": labels}}
    owner = {"apiVersion": "batch/v1", "kind": kind, "controller": True}
    owner |= {key: metadata[key] for key in ("name", "uid")}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "namespace": metadata["namespace"],
            "labels": {"app": found.name},
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def outcome(api: client.ApiClient, found: Found) -> tuple[str | None, dict[str, Any] | None]:
    """(result line, usage) of its last run, each None where it is not known.

    The line is the last one that its driver said; of a failed run, why it failed.
    """
    if found.state not in ("succeeded", "failed"):
        return None, None
    run = found.runs[-1]
    namespace, name = run["metadata"]["namespace"], run["metadata"]["name"]
    core: Any = client.CoreV1Api(api)
    with suppress(ApiException, urllib3.exceptions.HTTPError):
        pods = core.list_namespaced_pod(
            namespace,
            label_selector=f"{JOB_LABEL}={name}",
            _request_timeout=_WITHIN,
        ).items
        tries = sorted(
            pods, key=lambda one: (one.status.phase == "Succeeded", one.metadata.creation_timestamp)
        )
        if tries:
            return _told(core, tries[-1], found.state == "failed")
    return _why(run), None


def _told(core: Any, pod: Any, has_failed: bool) -> tuple[str | None, dict[str, Any] | None]:
    """The same of a run's pod."""
    where = (pod.metadata.name, pod.metadata.namespace)
    log = core.read_namespaced_pod_log(
        *where,
        container=DRIVER_CONTAINER,
        tail_lines=_TAIL,
        _preload_content=False,
        _request_timeout=_WITHIN,
    ).data.decode(errors="replace")
    line, usage = read_log(log.splitlines())
    if has_failed:
        line = next(_messages(pod), None) or line
    return line, usage


def _messages(pod: Any) -> Iterator[str]:
    """Why its driver failed, where that is one line (charts/spark/files/last_words.py)."""
    for container in pod.status.container_statuses or ():
        ended = container.state.terminated
        if container.name == DRIVER_CONTAINER and ended and ended.message:
            lines = ended.message.strip().splitlines()
            if len(lines) == 1:
                yield lines[0]


def read_log(lines: Sequence[str]) -> tuple[str | None, dict[str, Any] | None]:
    """The same of the end of a driver's log."""
    line, usage = None, None
    for text in lines:
        if text.startswith(_USAGE):
            with suppress(ValueError):  # it says why it is not known
                usage = json.loads(text.removeprefix(_USAGE))
        elif text.strip() and not text[0].isspace() and not _LOGGED.match(text):
            line = text.rstrip()
    return line, usage


def _why(run: Mapping[str, Any]) -> str | None:
    failed = _condition(run, "Failed")
    return None if failed is None else failed.get("message")


def _state(run: Mapping[str, Any]) -> str:
    if _condition(run, "Complete"):
        return "succeeded"
    if _condition(run, "Failed"):
        return "failed"
    return "running" if run.get("status", {}).get("active") else "waiting"


def _condition(run: Mapping[str, Any], type_: str) -> Mapping[str, Any] | None:
    conditions = run.get("status", {}).get("conditions", ())
    return next(
        (one for one in conditions if (one["type"], one["status"]) == (type_, "True")), None
    )


def _is_of(job: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    owners = job["metadata"].get("ownerReferences", ())
    return any(one["uid"] == owner["metadata"]["uid"] for one in owners)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
