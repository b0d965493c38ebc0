"""Where applications run: the place of SparkRelease, and of each namespace of the settings."""

from __future__ import annotations

import dataclasses
import hashlib

import pulumi

from components.cluster.volume import claim_name
from components.settings import NamespaceSettings, S3Settings, SparkSettings
from components.settings.groups import Groups
from submission.place import Place
from submission.quota import CPU, MEMORY, PODS

# The chart names its objects after the release: spark-master, spark-worker, spark-defaults.
RELEASE = "spark"
NAMESPACE = "spark"
CONNECT_SECRET = f"{RELEASE}-connect"
"""With the token that clients of Spark Connect show, as `secret`."""


def spark_place(settings: Groups, worker_nodes: int | None = None) -> Place:
    """The namespace of SparkRelease; the names in it are the stack's own, so all are known before.

    Plain text, since manifests are; who uses them waits for the SparkRelease.
    """
    return Place(
        namespace=NAMESPACE,
        image=settings.spark.image,
        master_url=f"spark://{RELEASE}-master.{NAMESPACE}.svc:7077",
        claim=claim_name(RELEASE, settings.storage),
        auth_secret=f"{RELEASE}-auth",
        defaults_config=f"{RELEASE}-defaults",
        native_config=f"{RELEASE}-native",
        usage_config=f"{RELEASE}-usage",
        service_account=RELEASE,
        workers=worker_replicas(settings.spark, worker_nodes),
        worker_cores=settings.spark.worker_cores,
        worker_memory_mib=settings.spark.worker_memory_mib,
        s3_secret=s3_secret_name(settings.s3),
    )


def namespace_place(settings: Groups, name: str, workers: int | None = None) -> Place:
    """Where an application runs that is to run in that namespace. Raises RunError."""
    if name not in settings.namespaces:
        known = ", ".join(sorted(settings.namespaces)) or "none"
        raise pulumi.RunError(f"there is no namespace {name!r} in the settings; known: {known}")
    return dataclasses.replace(
        spark_place(settings, workers),
        namespace=name,
        claim=claim_name(name, settings.storage),
        auth_secret=f"{name}-auth",
        native_config=f"{name}-native",
        usage_config=f"{name}-usage",
        service_account=name,
        quota=hard_limits(settings.namespaces[name]),
        s3_secret=None,  # keys are each application's own there
    )


def hard_limits(quota: NamespaceSettings) -> dict[str, str]:
    """What the ResourceQuota counts."""
    return {
        CPU: f"{quota.cpu:g}",
        MEMORY: f"{quota.memory_mib}Mi",
        PODS: str(quota.pods),
    }


def worker_replicas(settings: SparkSettings, worker_nodes: int | None) -> int:
    return settings.workers or worker_nodes or 2


def s3_secret_name(s3: S3Settings) -> str | None:
    """The name of the Secret with the keys. Other keys make another one, for which pods restart."""
    if s3.access_key is None or s3.secret_key is None:
        return None
    digest = hashlib.sha256(f"{s3.access_key}\0{s3.secret_key}".encode()).hexdigest()
    return f"{RELEASE}-s3-{digest[:8]}"
