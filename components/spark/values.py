"""The values of charts/spark by the settings."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import pulumi

from components.cluster.volume import SharedVolume
from components.local_files import LocalFiles, read_jars
from components.node import Node
from components.settings import S3Settings, Settings, SparkSettings
from components.spark.places import CONNECT_SECRET, s3_secret_name, worker_replicas
from submission.nodes import ON_DEMAND_FIRST
from submission.place import SHARED_PATH

CHART = "./charts/spark"  # relative, so that the state is the same for every clone
JARS = f"{SHARED_PATH}/spark/jars"
# Where the jars have Spark's side of it, S3 gets output by Hadoop's magic committer, which copies
# nothing; all other file systems by the classic one. A folder that goes takes its uploads along.
_CLOUD = "org.apache.spark.internal.io.cloud"
_COMMITTER = {
    "spark.sql.sources.commitProtocolClass": f"{_CLOUD}.PathOutputCommitProtocol",
    "spark.sql.parquet.output.committer.class": f"{_CLOUD}.BindingParquetOutputCommitter",
    "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": (
        "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory"
    ),
    "spark.hadoop.fs.s3a.committer.name": "magic",
    "spark.hadoop.fs.s3a.directory.operations.purge.uploads": "true",
}


def spark_values(
    settings: Settings,
    worker_nodes: int | None,
    claim_name: pulumi.Input[str],
    nodes: Sequence[Node] = (),
) -> dict[str, pulumi.Input[object]]:
    """The chart's values; as many workers as there are nodes for them, unless the stack says.

    nodes: those of workers, where they are the stack's own.
    """
    spark = settings.spark
    repository, tag = spark.image.rsplit(":", 1)
    workers = worker_replicas(spark, worker_nodes)
    # Executors fetch an application's s3a:// files by themselves, with the worker's environment;
    # only for data does the driver hand them its keys.
    s3_secret = s3_secret_name(settings.s3)
    return {
        "image": {"repository": repository, "tag": tag},
        "volume": {"claimName": claim_name, "mountPath": SharedVolume.mount_path},
        # One application may use all there is.
        "app": {"coresMax": workers * spark.worker_cores, **app_values(settings, nodes)},
        "worker": {
            "replicas": workers,
            "cores": spark.worker_cores,
            "memoryMiB": spark.worker_memory_mib,
            **({"envFromSecret": s3_secret} if s3_secret else {}),
        },
        "history": {"enabled": spark.history, "retainDays": spark.history_days},
        # Told only where it is on: without it a stack's release stays what it was.
        **({"connect": _connect(spark)} if spark.connect else {}),
    }


def _connect(spark: SparkSettings) -> dict[str, object]:
    return {
        "enabled": True,
        "existingSecret": CONNECT_SECRET,
        "idleMinutes": spark.connect_minutes,
        "affinity": ON_DEMAND_FIRST,
    }


def app_values(settings: Settings, nodes: Sequence[Node]) -> dict[str, object]:
    """The chart's `app`, in any namespace: properties by the settings, and the price of a node.

    Where workers differ, that is the mean one's, and so are its cores: no event log says on which
    node an executor was.
    """
    conf = {**_s3_conf(settings.s3), **_jars_conf(jars_of(settings.spark))}
    prices = {node.plan.price for node in nodes} or {settings.nodes.price}
    if len({node.machine.vcpus for node in nodes}) > 1:
        conf["spark.tinderbox.nodeCores"] = f"{fmean(node.machine.vcpus for node in nodes):g}"
    price = prices.pop() if len(prices) == 1 else None
    if prices and None not in prices:
        price = float(f"{fmean(node.plan.price or 0 for node in nodes):.6g}")
    return {
        **({} if price is None else {"nodePrice": price}),
        **({"conf": conf} if conf else {}),
    }


def jars_of(settings: SparkSettings) -> LocalFiles | None:
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
    path = f"{JARS}/{jars.digest}/{jars.name}/*"
    conf = {"spark.driver.extraClassPath": path, "spark.executor.extraClassPath": path}
    if any(name.startswith("spark-hadoop-cloud_") for name in jars.files):
        conf |= _COMMITTER
    return conf
