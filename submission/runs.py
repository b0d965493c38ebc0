"""What became of a stack's applications, as the cluster tells it to whoever has a client of it."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import why

from submission import cron
from submission.conf import DRIVER_CONTAINER
from submission.facts import WITHIN, facts
from submission.manifests import Schedule

if TYPE_CHECKING:
    from kubernetes import client

JOB_MARK = {"pulumi.com/replaceUnready": "true"}
ENDLESS_MARK = {"tinderbox/runs": "without-end", "pulumi.com/waitFor": "jsonpath={.status.ready}=1"}
CRON_MARK = {"tinderbox/runs": "by-schedule"}
"""The annotations of the Job or CronJob of each application of the stack's, and of nothing else.

That of Jobs makes Pulumi run a failed one again with the next update, not report it as it stands.
Those of one without an end make it wait for the driver's start alone.
"""
#: Lines of a log's end that are looked through for a result.
_TAIL = 50
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
    def is_endless(self) -> bool:
        """True where a run has no end of its own, and no limit."""
        return _is_marked(self.owner, ENDLESS_MARK)

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
    from kubernetes import client  # loads slowly, and a preview needs none

    batch: Any = client.BatchV1Api(api)

    def all_(what: Any) -> list[Any]:
        made = api.sanitize_for_serialization(what(namespace, _request_timeout=WITHIN))["items"]
        return sorted(made, key=lambda one: one["metadata"]["creationTimestamp"])

    jobs = all_(batch.list_namespaced_job)
    owners = [one for one in all_(batch.list_namespaced_cron_job) if _is_marked(one, CRON_MARK)]
    owners += [job for job in jobs if _is_marked(job, JOB_MARK) or _is_marked(job, ENDLESS_MARK)]
    found = [
        Found(owner, [job for job in jobs if job is owner or _is_of(job, owner)])
        for owner in owners
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

    The line is the last one that its driver said; of a failed run, what `make why` says.
    """
    import urllib3
    from kubernetes.client.exceptions import ApiException

    if found.state not in ("succeeded", "failed"):
        return None, None
    run = found.runs[-1]
    namespace, name = run["metadata"]["namespace"], run["metadata"]["name"]
    line, usage = None, None
    with suppress(ApiException, urllib3.exceptions.HTTPError):
        known = facts(api, namespace, name)
        if found.state == "failed":
            line = why.cause(known)["line"]
        for pod in known["pods"][:1]:
            said, usage = read_log(_log(api, namespace, pod["metadata"]["name"]))
            line = line or said
    return line, usage


def _log(api: client.ApiClient, namespace: str, pod: str) -> list[str]:
    """The end of a driver's log."""
    from kubernetes import client

    core: Any = client.CoreV1Api(api)
    log = core.read_namespaced_pod_log(
        *(pod, namespace),
        container=DRIVER_CONTAINER,
        tail_lines=_TAIL,
        _preload_content=False,
        _request_timeout=WITHIN,
    ).data
    return log.decode(errors="replace").splitlines()


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


def _state(run: Mapping[str, Any]) -> str:
    if _condition(run, "Complete"):
        return "succeeded"
    if _condition(run, "Failed"):
        return "failed"
    # Between a pod's end and the Job's, or the next pod, there is none.
    begun = ("active", "succeeded", "failed", "uncountedTerminatedPods")
    status = run.get("status", {})
    return "running" if any(status.get(key) for key in begun) else "waiting"


def has_ended(run: Mapping[str, Any]) -> bool:
    """Whether a Job has done all that it will, as Kubernetes' API has it."""
    return _state(run) in ("succeeded", "failed")


def _condition(run: Mapping[str, Any], type_: str) -> Mapping[str, Any] | None:
    conditions = run.get("status", {}).get("conditions", ())
    return next(
        (one for one in conditions if (one["type"], one["status"]) == (type_, "True")), None
    )


def _is_marked(owner: Mapping[str, Any], mark: Mapping[str, str]) -> bool:
    return mark.items() <= owner["metadata"].get("annotations", {}).items()


def _is_of(job: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    owners = job["metadata"].get("ownerReferences", ())
    return any(one["uid"] == owner["metadata"]["uid"] for one in owners)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
