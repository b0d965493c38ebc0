"""SparkRelease: a standalone Spark cluster (charts/spark) in a namespace of its own."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import secrets
from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.access import AccessArgs, SparkAccess
from components.charts import describe_chart
from components.cluster import Cluster
from components.leftovers import drop_pending
from components.nodes import Machine
from components.settings import S3Settings, Settings, SettingsError, SparkSettings
from components.storage import SharedVolume, VolumeArgs, claim_name
from components.text import LocalFiles, read_jars
from components.upload import upload
from submission.place import SHARED_PATH, Place

CHART = "./charts/spark"  # relative, so that the state is the same for every clone
# The chart names its objects after the release: spark-master, spark-worker, spark-defaults.
_RELEASE = "spark"
_NAMESPACE = "spark"
_JARS = f"{SHARED_PATH}/spark/jars"
# Kubernetes itself refuses what is privileged beside the user's jobs.
POD_SECURITY = {
    "pod-security.kubernetes.io/enforce": "baseline",
    "pod-security.kubernetes.io/warn": "restricted",
}
# What the chart adds to a worker's memory: what executors need beside their heap, and its own.
_BESIDE_MIB = 512 + 384


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
            metadata={"name": _NAMESPACE, "labels": POD_SECURITY},
            opts=inside,
        )
        self.namespace = namespace.metadata.name
        volume = SharedVolume(
            _RELEASE,
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
        auth = create_auth_secret(self.place, self.namespace, inside)
        before = [*args.depends_on, *self._bring_jars(settings, args.cluster)]
        before += self._create_s3_secret(s3, inside)
        release = kubernetes.helm.v3.Release(
            "spark",
            name=_RELEASE,
            chart=CHART,
            description=describe_chart(CHART),
            namespace=self.namespace,
            values={
                **spark_values(args.settings, args.cluster.worker_count, volume.claim_name),
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
        jars, node = _jars(settings), cluster.control_plane
        if jars is None or node is None:
            return []
        return [upload("spark-jars", jars, f"{_JARS}/{jars.digest}", cluster, node, self)]

    def _create_s3_secret(
        self, s3: S3Settings, inside: pulumi.ResourceOptions
    ) -> list[pulumi.Resource]:
        """The keys, under the names that the AWS SDK looks for in the environment."""
        if s3.access_key is None or s3.secret_key is None:
            return []
        return [
            kubernetes.core.v1.Secret(
                "spark-s3",
                metadata={"name": self.place.s3_secret, "namespace": self.namespace},
                string_data={
                    "AWS_ACCESS_KEY_ID": pulumi.Output.secret(s3.access_key),
                    "AWS_SECRET_ACCESS_KEY": pulumi.Output.secret(s3.secret_key),
                },
                opts=inside,
            )
        ]


def create_auth_secret(
    place: Place, namespace: pulumi.Input[str], inside: pulumi.ResourceOptions
) -> kubernetes.core.v1.Secret:
    """What Spark's processes in a place prove themselves with. The first run's key stays.

    The chart could make one itself, but then it would render anew at every preview. A key that
    a Command makes is unknown in the first preview, where Pulumi's engine fails to show it as
    JSON (3.250: "attempt to encrypt value"). `data` rather than stringData: the official plugin
    keeps only that, and what is not in the state can't be ignored.
    """
    key = base64.b64encode(secrets.token_urlsafe(32).encode()).decode()
    return kubernetes.core.v1.Secret(
        place.auth_secret,
        metadata={"name": place.auth_secret, "namespace": namespace},
        data={"secret": pulumi.Output.secret(key)},
        opts=pulumi.ResourceOptions.merge(inside, pulumi.ResourceOptions(ignore_changes=["data"])),
    )


def require_worker_fits(settings: SparkSettings, machine: Machine) -> None:
    """Raises SettingsError for workers that no node can hold."""
    most = machine.memory_mib - _BESIDE_MIB
    if settings.worker_memory_mib > most:
        raise SettingsError(
            "spark.workerMemoryMiB",
            settings.worker_memory_mib,
            f"at most {most}: a {machine.instance_type} has {machine.memory_mib} MiB,"
            f" and a worker needs {_BESIDE_MIB} beside",
        )


def spark_place(settings: Settings, worker_nodes: int | None = None) -> Place:
    """The namespace of SparkRelease; the names in it are the stack's own, so all are known before.

    Plain text, since manifests are; who uses them waits for the SparkRelease.
    """
    return Place(
        namespace=_NAMESPACE,
        image=settings.spark.image,
        master_url=f"spark://{_RELEASE}-master.{_NAMESPACE}.svc:7077",
        claim=claim_name(_RELEASE, settings.storage),
        auth_secret=f"{_RELEASE}-auth",
        defaults_config=f"{_RELEASE}-defaults",
        native_config=f"{_RELEASE}-native",
        usage_config=f"{_RELEASE}-usage",
        service_account=_RELEASE,
        workers=_workers(settings.spark, worker_nodes),
        worker_cores=settings.spark.worker_cores,
        worker_memory_mib=settings.spark.worker_memory_mib,
        s3_secret=_s3_secret(settings.s3),
    )


def spark_values(
    settings: Settings, worker_nodes: int | None, claim_name: pulumi.Input[str]
) -> dict[str, pulumi.Input[object]]:
    """The chart's values; as many workers as there are nodes for them, unless the stack says."""
    spark = settings.spark
    repository, tag = spark.image.rsplit(":", 1)
    workers = _workers(spark, worker_nodes)
    # Executors fetch an application's s3a:// files by themselves, with the worker's environment;
    # only for data does the driver hand them its keys.
    s3_secret = _s3_secret(settings.s3)
    return {
        "image": {"repository": repository, "tag": tag},
        "volume": {"claimName": claim_name, "mountPath": SharedVolume.mount_path},
        # One application may use all there is.
        "app": {"coresMax": workers * spark.worker_cores, **app_values(settings)},
        "worker": {
            "replicas": workers,
            "cores": spark.worker_cores,
            "memoryMiB": spark.worker_memory_mib,
            **({"envFromSecret": s3_secret} if s3_secret else {}),
        },
        "history": {"enabled": spark.history, "retainDays": spark.history_days},
    }


def _workers(settings: SparkSettings, worker_nodes: int | None) -> int:
    return settings.workers or worker_nodes or 2


def _s3_secret(s3: S3Settings) -> str | None:
    """The name of the Secret with the keys. Other keys make another one, for which pods restart."""
    if s3.access_key is None or s3.secret_key is None:
        return None
    digest = hashlib.sha256(f"{s3.access_key}\0{s3.secret_key}".encode()).hexdigest()
    return f"{_RELEASE}-s3-{digest[:8]}"


def app_values(settings: Settings) -> dict[str, object]:
    """The chart's `app`, in any namespace: properties by the settings, and the price of a node."""
    conf = {**_s3_conf(settings.s3), **_jars_conf(_jars(settings.spark))}
    price = settings.nodes.price
    return {
        **({} if price is None else {"nodePrice": price}),
        **({"conf": conf} if conf else {}),
    }


def _jars(settings: SparkSettings) -> LocalFiles | None:
    return None if settings.jars is None else read_jars(settings.jars)


def _s3_conf(s3: S3Settings) -> dict[str, str]:
    """What applications must know of the object store. The keys are in their environment."""
    if not s3.is_set or s3.region is None:
        return {}
    conf = {"spark.hadoop.fs.s3a.endpoint.region": s3.region}
    if s3.endpoint is not None:
        conf["spark.hadoop.fs.s3a.endpoint"] = s3.endpoint
        # No other store than AWS's own can be counted on to have a host name for each bucket.
        conf["spark.hadoop.fs.s3a.path.style.access"] = "true"
    return conf


def _jars_conf(jars: LocalFiles | None) -> dict[str, str]:
    """Java itself reads `*` as: all jars in the folder."""
    if jars is None:
        return {}
    path = f"{_JARS}/{jars.digest}/{jars.name}/*"
    return {"spark.driver.extraClassPath": path, "spark.executor.extraClassPath": path}
