"""SparkRelease: a standalone Spark cluster (charts/spark) in a namespace of its own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster import Cluster
from components.settings import Settings, SparkSettings
from components.storage import SharedVolume, VolumeArgs

_CHART = "./charts/spark"  # relative, so that the state is the same for every clone
# The chart names its objects after the release: spark-master, spark-worker, spark-defaults.
_RELEASE = "spark"


class SparkOutputs(TypedDict):
    """What SparkRelease registers."""

    masterUrl: pulumi.Output[str]
    namespace: pulumi.Output[str]


@dataclass
class SparkArgs:
    """The cluster, and the settings that count here."""

    cluster: Cluster
    settings: Settings
    depends_on: list[pulumi.Resource]


class SparkRelease(pulumi.ComponentResource):
    """Master and workers, with the shared volume mounted in each.

    Outputs: master_url, namespace, volume; auth_secret and defaults_config, which a driver mounts.
    """

    master_url: pulumi.Output[str]
    namespace: pulumi.Output[str]
    volume: SharedVolume
    image: str
    auth_secret: pulumi.Output[str]
    defaults_config = f"{_RELEASE}-defaults"

    def __init__(
        self, name: str, args: SparkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:SparkRelease", name, {}, opts)
        settings = args.settings.spark
        self.image = settings.image
        inside = args.cluster.options(parent=self)
        namespace = kubernetes.core.v1.Namespace(
            "spark-namespace",
            metadata={
                "name": "spark",
                # Kubernetes itself refuses what is privileged beside the user's jobs.
                "labels": {
                    "pod-security.kubernetes.io/enforce": "baseline",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            },
            opts=inside,
        )
        self.namespace = namespace.metadata.name
        self.volume = SharedVolume(
            "spark",
            VolumeArgs(
                cluster=args.cluster, namespace=self.namespace, settings=args.settings.storage
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        auth = self._create_auth_secret(inside)
        self.auth_secret = auth.metadata.name
        release = kubernetes.helm.v3.Release(
            "spark",
            name=_RELEASE,
            chart=_CHART,
            namespace=self.namespace,
            values={
                **spark_values(settings, args.cluster.worker_count, self.volume.claim_name),
                "auth": {"existingSecret": self.auth_secret},
            },
            atomic=True,
            timeout=900,
            opts=args.cluster.options(parent=self, depends_on=args.depends_on),
        )
        self.master_url = pulumi.Output.format(
            "spark://{0}-master.{1}.svc:7077", release.status.name, self.namespace
        )
        outputs: SparkOutputs = {"masterUrl": self.master_url, "namespace": self.namespace}
        self.register_outputs(dict(outputs))

    def _create_auth_secret(self, inside: pulumi.ResourceOptions) -> kubernetes.core.v1.Secret:
        """What Spark's processes prove themselves with. The first run's key stays.

        The chart could make one itself, but then it would render anew at every preview. A key that
        a Command makes is unknown in the first preview, where Pulumi's engine fails to show it as
        JSON (3.250: "attempt to encrypt value").
        """
        return kubernetes.core.v1.Secret(
            "spark-auth",
            metadata={"name": f"{_RELEASE}-auth", "namespace": self.namespace},
            string_data={"secret": pulumi.Output.secret(secrets.token_urlsafe(32))},
            opts=pulumi.ResourceOptions.merge(
                inside, pulumi.ResourceOptions(ignore_changes=["stringData"])
            ),
        )


def spark_values(
    settings: SparkSettings, worker_nodes: int | None, claim_name: pulumi.Input[str]
) -> dict[str, pulumi.Input[object]]:
    """The chart's values; as many workers as there are nodes for them, unless the stack says."""
    repository, tag = settings.image.rsplit(":", 1)
    workers = settings.workers or worker_nodes or 2
    return {
        "image": {"repository": repository, "tag": tag},
        "volume": {"claimName": claim_name, "mountPath": SharedVolume.mount_path},
        # One application may use all there is.
        "app": {"coresMax": workers * settings.worker_cores},
        "worker": {
            "replicas": workers,
            "cores": settings.worker_cores,
            "memoryMiB": settings.worker_memory_mib,
        },
    }
