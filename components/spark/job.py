"""SparkApplicationJob: a Spark application that an update runs, or a schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster.cluster import Cluster
from components.engine.api import connected
from components.engine.jobs import watched
from submission import runs
from submission.application import Application
from submission.errors import ApplicationError
from submission.manifests import Manifests, Schedule, manifests
from submission.place import Place
from submission.quota import require_quota
from submission.resolve import resolve
from submission.room import require_room

_LIMIT_MINUTES = 60
_START_MINUTES = 10
"""In which the driver of an application without an end must run."""
_TO_TELL = 1
"""Minutes in which Kubernetes itself says that a Job has gone on for too long."""


def require_place(application: Application, place: Place) -> Manifests:
    """What runs it there. Raises ApplicationError where it can't, whatever nodes there are."""
    resolved = resolve(application, place)
    require_quota(resolved)
    require_room(resolved, None)
    return manifests(resolved)


@dataclass
class SparkApplicationArgs:
    """The cluster, the place in it, what to run there and when, and what has to be there first.

    schedule: None to run it once.
    """

    cluster: Cluster
    place: Place
    application: Application
    depends_on: Sequence[pulumi.Resource] = ()
    schedule: Schedule | None = None


class SparkApplicationJob(pulumi.ComponentResource):
    """An application that has run when the update is done; another one in its stead runs anew.

    One without an end runs by then, and ends before another one begins in its stead. With a
    schedule it runs by that alone.

    Outputs: metadata, of the Job, complete once it is known, or of the CronJob.
    """

    metadata: pulumi.Output[Any]

    def __init__(
        self, name: str, args: SparkApplicationArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:SparkApplicationJob", name, {}, opts)
        self._args = args
        try:
            made = require_place(args.application, args.place)
        except ApplicationError as error:
            # As Pulumi prints it: one line, without a traceback.
            raise pulumi.RunError(str(error)) from None
        inside = args.cluster.options(parent=self)
        before = list(args.depends_on)
        if made.files is not None:
            before.append(
                kubernetes.core.v1.ConfigMap(
                    f"{name}-app",
                    metadata=made.files["metadata"],
                    data=made.files.get("data"),
                    binary_data=made.files.get("binaryData"),
                    opts=inside,
                )
            )
        if args.schedule is not None:
            due = args.schedule.job(args.application.name, made.job)
            after = pulumi.ResourceOptions.merge(inside, pulumi.ResourceOptions(depends_on=before))
            self.metadata = kubernetes.batch.v1.CronJob(
                name,
                metadata=due["metadata"] | {"annotations": runs.CRON_MARK},
                spec=due["spec"],
                opts=after,
            ).metadata
        else:
            is_endless = args.application.is_endless
            limit = _START_MINUTES if is_endless else args.application.limit_minutes
            minutes = _LIMIT_MINUTES if limit is None else limit + _TO_TELL
            mark = runs.ENDLESS_MARK if is_endless else runs.JOB_MARK
            self.metadata = kubernetes.batch.v1.Job(
                name,
                metadata=made.job["metadata"] | {"annotations": mark},
                spec=made.job["spec"],
                opts=pulumi.ResourceOptions.merge(
                    inside,
                    pulumi.ResourceOptions(
                        depends_on=before,
                        # Two at once would write to one place.
                        delete_before_replace=is_endless or None,
                        custom_timeouts=pulumi.CustomTimeouts(create=f"{minutes}m"),
                        hooks=watched(name, args.cluster.kubeconfig, 60 * minutes),
                    ),
                ),
            ).metadata
        self.register_outputs({"job": self.metadata.name})

    def told(self) -> pulumi.Output[dict[str, Any]]:
        """What became of it, looked up in the cluster by each update (see `_look`)."""

        async def look(known: list[Any]) -> dict[str, Any]:
            return await asyncio.to_thread(_look, self._args, known[0])

        known = pulumi.Output.all(self._args.cluster.kubeconfig, self.metadata.uid)
        # Nothing of the kubeconfig is in it.
        return pulumi.Output.unsecret(known.apply(look))


def _look(args: SparkApplicationArgs, kubeconfig: str) -> dict[str, Any]:
    """{namespace, schedule, timeZone, state, lastRun, result, usage}, each None if unknown.

    state: as runs.Found has it; "not known" where the cluster does not answer, as when it is off.
    """
    import urllib3
    from kubernetes.client.exceptions import ApiException

    namespace, plan = args.place.namespace, args.schedule
    told: dict[str, Any] = {
        "namespace": namespace,
        "schedule": plan and plan.cron,
        "timeZone": plan and plan.zone,
        "state": "not known",
        "lastRun": None,
        "result": None,
        "usage": None,
    }
    try:
        with connected(kubeconfig) as api:
            found = runs.find(api, namespace)[args.application.name]
            line, usage = runs.outcome(api, found)
    except (ApiException, urllib3.exceptions.HTTPError, KeyError):
        return told
    last = {"state": found.state, "lastRun": found.started, "result": line, "usage": usage}
    return told | last
