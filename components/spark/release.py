"""SparkRelease: a standalone Spark cluster (charts/spark) in a namespace of its own."""

from __future__ import annotations

import base64
import dataclasses
import secrets
from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.charts import describe_chart
from components.cluster.cluster import Cluster
from components.cluster.upload import Upload, UploadArgs
from components.cluster.volume import SharedVolume, VolumeArgs
from components.engine.leftovers import drop_pending
from components.settings import S3Settings, Settings, SparkSettings
from components.spark.access import AccessArgs, SparkAccess
from components.spark.places import CONNECT_SECRET, NAMESPACE, RELEASE, spark_place
from components.spark.values import CHART, JARS, jars_of, spark_values
from submission.place import Place

# Kubernetes itself refuses what is privileged beside the user's jobs.
POD_SECURITY = {
    "pod-security.kubernetes.io/enforce": "baseline",
    "pod-security.kubernetes.io/warn": "restricted",
}


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

    Outputs: master_url, namespace; place, where applications run once all of this is made.
    """

    master_url: pulumi.Output[str]
    namespace: pulumi.Output[str]
    place: Place

    def __init__(
        self, name: str, args: SparkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:SparkRelease", name, {}, opts)
        settings, s3 = args.settings.spark, args.settings.s3
        self.place = spark_place(args.settings, args.cluster.worker_count)
        inside = args.cluster.options(parent=self)
        namespace = kubernetes.core.v1.Namespace(
            "spark-namespace",
            metadata={"name": NAMESPACE, "labels": POD_SECURITY},
            opts=inside,
        )
        self.namespace = namespace.metadata.name
        volume = SharedVolume(
            RELEASE,
            VolumeArgs(
                cluster=args.cluster, namespace=self.namespace, settings=args.settings.storage
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        SparkAccess(
            self.place.service_account,
            AccessArgs(args.cluster, self.namespace),
            opts=pulumi.ResourceOptions(parent=self),
        )
        auth = create_secret(self.place.auth_secret, self.namespace, inside)
        before = [*args.depends_on, *self._bring_jars(settings, args.cluster)]
        if settings.connect:
            before.append(create_secret(CONNECT_SECRET, self.namespace, inside))
        before += self._create_s3_secret(s3, inside)
        release = kubernetes.helm.v3.Release(
            "spark",
            name=RELEASE,
            chart=CHART,
            description=describe_chart(CHART),
            namespace=self.namespace,
            values={
                **spark_values(
                    args.settings,
                    args.cluster.worker_count,
                    volume.claim_name,
                    args.cluster.workers,
                ),
                "auth": {"existingSecret": auth.metadata.name},
            },
            atomic=True,
            timeout=900,
            opts=args.cluster.options(parent=self, depends_on=before, mend=drop_pending),
        )
        self.master_url = pulumi.Output.format(
            "spark://{0}-master.{1}.svc:7077", release.status.name, self.namespace
        )
        outputs: SparkOutputs = {"masterUrl": self.master_url, "namespace": self.namespace}
        self.register_outputs(dict(outputs))

    def where(self) -> pulumi.Output[dict[str, object]]:
        """The place as an output, known once Spark is there: for `make submit`."""
        return self.master_url.apply(lambda _: dataclasses.asdict(self.place))

    def _bring_jars(self, settings: SparkSettings, cluster: Cluster) -> list[pulumi.Resource]:
        """Puts the jars on the volume, where every driver and executor has them."""
        jars, node = jars_of(settings), cluster.control_plane
        if jars is None or node is None:
            return []
        where = UploadArgs(jars, f"{JARS}/{jars.digest}", node, cluster.storage_ready)
        return [Upload("spark-jars", where, pulumi.ResourceOptions(parent=self))]

    def _create_s3_secret(
        self, s3: S3Settings, inside: pulumi.ResourceOptions
    ) -> list[pulumi.Resource]:
        """The keys, under the names that the AWS SDK looks for in the environment."""
        if s3.access_key is None or s3.secret_key is None:
            return []
        return [
            kubernetes.core.v1.Secret(
                "spark-s3",
                metadata=kubernetes.meta.v1.ObjectMetaArgs(
                    name=self.place.s3_secret, namespace=self.namespace
                ),
                string_data={
                    "AWS_ACCESS_KEY_ID": pulumi.Output.secret(s3.access_key),
                    "AWS_SECRET_ACCESS_KEY": pulumi.Output.secret(s3.secret_key),
                },
                opts=inside,
            )
        ]


def create_secret(
    name: str, namespace: pulumi.Input[str], inside: pulumi.ResourceOptions
) -> kubernetes.core.v1.Secret:
    """What Spark's processes, or its clients, prove themselves with. The first run's key stays.

    The chart could make one itself, but then it would render anew at every preview. A key that
    a Command makes is unknown in the first preview, where Pulumi's engine fails to show it as
    JSON (3.260: "attempt to encrypt value", mended by 3.274). `data` rather than stringData: the
    plugin keeps only that, and what is not in the state can't be ignored.
    """
    key = base64.b64encode(secrets.token_urlsafe(32).encode()).decode()
    return kubernetes.core.v1.Secret(
        name,
        metadata={"name": name, "namespace": namespace},
        data={"secret": pulumi.Output.secret(key)},
        opts=pulumi.ResourceOptions.merge(inside, pulumi.ResourceOptions(ignore_changes=["data"])),
    )
