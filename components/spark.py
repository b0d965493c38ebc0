"""SparkRelease: a standalone Spark cluster (charts/spark) in a namespace of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_command as command
import pulumi_kubernetes as kubernetes

from components.cluster import Cluster
from components.settings import Settings
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

    Outputs: master_url, namespace, volume; auth_secret, defaults_config and usage_config, which a
    driver needs (see the chart's README.md, and components/usage.py).
    """

    master_url: pulumi.Output[str]
    namespace: pulumi.Output[str]
    volume: SharedVolume
    image: str
    auth_secret: pulumi.Output[str]
    defaults_config = f"{_RELEASE}-defaults"
    usage_config = f"{_RELEASE}-usage"

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
                **spark_values(args.settings, args.cluster.worker_count, self.volume.claim_name),
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
        """What Spark's processes prove themselves with, made once.

        The chart could make one itself, but then it would render anew at every preview.
        """
        made = command.local.Command(
            "spark-auth-key",
            create="head -c 32 /dev/urandom | base64 | tr -d '\\n'",
            logging=command.local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["stdout"]),
        )
        return kubernetes.core.v1.Secret(
            "spark-auth",
            metadata={"name": f"{_RELEASE}-auth", "namespace": self.namespace},
            string_data={"secret": pulumi.Output.secret(made.stdout)},
            opts=inside,
        )


def spark_values(
    settings: Settings, worker_nodes: int | None, claim_name: pulumi.Input[str]
) -> dict[str, pulumi.Input[object]]:
    """The chart's values; as many workers as there are nodes for them, unless the stack says."""
    spark = settings.spark
    repository, tag = spark.image.rsplit(":", 1)
    workers = spark.workers or worker_nodes or 2
    price = {} if settings.nodes.price is None else {"nodePrice": settings.nodes.price}
    return {
        "image": {"repository": repository, "tag": tag},
        "volume": {"claimName": claim_name, "mountPath": SharedVolume.mount_path},
        # One application may use all there is.
        "app": {"coresMax": workers * spark.worker_cores, **price},
        "worker": {
            "replicas": workers,
            "cores": spark.worker_cores,
            "memoryMiB": spark.worker_memory_mib,
        },
    }
