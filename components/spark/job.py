"""SparkApplicationJob: a Spark application that an update runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster.cluster import Cluster
from components.engine.jobs import ends_are_seen
from submission.application import Application
from submission.errors import ApplicationError
from submission.manifests import manifests
from submission.place import Place
from submission.quota import require_quota
from submission.resolve import resolve

_LIMIT_MINUTES = 60


@dataclass
class SparkApplicationArgs:
    """The cluster, the place in it, what to run there, and what has to be there first."""

    cluster: Cluster
    place: Place
    application: Application
    depends_on: Sequence[pulumi.Resource] = ()


class SparkApplicationJob(pulumi.ComponentResource):
    """An application that has run when the update is done; another one in its stead runs anew.

    Outputs: job, as Pulumi's resource: complete once it is known.
    """

    job: kubernetes.batch.v1.Job

    def __init__(
        self, name: str, args: SparkApplicationArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:SparkApplicationJob", name, {}, opts)
        try:
            resolved = resolve(args.application, args.place)
            require_quota(resolved)
            made = manifests(resolved)
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
        # A failed job is run again by the next update, not reported as it stands.
        rerun = {"annotations": {"pulumi.com/replaceUnready": "true"}}
        self.job = kubernetes.batch.v1.Job(
            name,
            metadata=made.job["metadata"] | rerun,
            spec=made.job["spec"],
            opts=pulumi.ResourceOptions.merge(
                inside,
                pulumi.ResourceOptions(
                    depends_on=before,
                    custom_timeouts=pulumi.CustomTimeouts(create=f"{_LIMIT_MINUTES}m"),
                    hooks=ends_are_seen(args.cluster.kubeconfig, 60 * _LIMIT_MINUTES),
                ),
            ),
        )
        self.register_outputs({"job": self.job.metadata.name})
