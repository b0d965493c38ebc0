"""SparkNamespace: a namespace of its own for applications, with a quota and all they need there.

Executors are pods there, so that the quota counts them; on the standalone workers, which are in
another namespace, it would not.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.charts import describe_chart
from components.cluster.cluster import Cluster
from components.cluster.volume import SharedVolume, VolumeArgs
from components.engine.leftovers import drop_pending
from components.settings import Settings
from components.spark.access import AccessArgs, SparkAccess
from components.spark.places import hard_limits, namespace_place
from components.spark.release import POD_SECURITY, create_secret
from components.spark.values import CHART, app_values
from submission.place import Place

# What a container gets that asks for nothing: a quota takes none without a request.
_UNSAID = {"cpu": "100m", "memory": "256Mi"}


@dataclass
class NamespaceArgs:
    """The cluster, all settings, and what to wait for before pods can run."""

    cluster: Cluster
    settings: Settings
    depends_on: list[pulumi.Resource]


class SparkNamespace(pulumi.ComponentResource):
    """The namespace of that name in the settings; `place` is what an application needs of it."""

    place: Place

    def __init__(
        self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:SparkNamespace", name, {}, opts)
        self.place = namespace_place(args.settings, name, args.cluster.worker_count)
        core = kubernetes.core.v1
        inside = args.cluster.options(parent=self)
        namespace = core.Namespace(
            f"{name}-namespace", metadata={"name": name, "labels": POD_SECURITY}, opts=inside
        )

        def named(what: str) -> kubernetes.meta.v1.ObjectMetaArgs:
            return kubernetes.meta.v1.ObjectMetaArgs(name=what, namespace=namespace.metadata.name)

        core.ResourceQuota(
            f"{name}-quota",
            metadata=named("applications"),
            spec=core.ResourceQuotaSpecArgs(hard=hard_limits(args.settings.namespaces[name])),
            opts=inside,
        )
        core.LimitRange(
            f"{name}-limits",
            metadata=named("applications"),
            spec=core.LimitRangeSpecArgs(
                limits=[core.LimitRangeItemArgs(type="Container", default_request=_UNSAID)]
            ),
            opts=inside,
        )
        volume = SharedVolume(
            name,
            VolumeArgs(args.cluster, namespace.metadata.name, args.settings.storage),
            opts=pulumi.ResourceOptions(parent=self),
        )
        SparkAccess(
            self.place.service_account,
            AccessArgs(args.cluster, namespace.metadata.name),
            opts=pulumi.ResourceOptions(parent=self),
        )
        auth = create_secret(self.place.auth_secret, namespace.metadata.name, inside)
        # The same chart, without master and workers: what is left is the drivers' configuration.
        release = kubernetes.helm.v3.Release(
            f"{name}-spark",
            name=name,
            chart=CHART,
            description=describe_chart(CHART),
            namespace=namespace.metadata.name,
            values={
                "standalone": False,
                # The stack's jars and S3 store, too; keys are each application's own here.
                "app": app_values(args.settings, args.cluster.workers),
                "volume": {"claimName": volume.claim_name, "mountPath": volume.mount_path},
                "auth": {"existingSecret": auth.metadata.name},
            },
            opts=args.cluster.options(parent=self, depends_on=args.depends_on, mend=drop_pending),
        )
        self._ready = release.status.name
        self.register_outputs({"namespace": namespace.metadata.name})

    def where(self) -> pulumi.Output[dict[str, object]]:
        """The place as an output, known once all in it is there: for `make submit`."""
        return self._ready.apply(lambda _: dataclasses.asdict(self.place))
