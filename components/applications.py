"""The applications of the settings: each in its place, as the word count is in its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.cluster.cluster import Cluster
from components.settings import Settings
from components.settings.groups import Groups
from components.settings.node_plan import node_plans, taking
from components.spark.job import SparkApplicationArgs, SparkApplicationJob, require_place
from components.spark.places import namespace_place, spark_place
from submission.manifests import Schedule
from submission.place import Place


@dataclass
class ApplicationsArgs:
    """The cluster, all settings, and where applications can run."""

    cluster: Cluster
    settings: Settings
    spark: pulumi.Resource
    namespaces: Mapping[str, pulumi.Resource]


def place_of(settings: Groups, name: str, workers: int | None = None) -> Place:
    """Where the application of that name runs."""
    namespace = settings.applications[name].namespace
    if namespace is None:
        return spark_place(settings, workers)
    return namespace_place(settings, namespace, workers)


def require_places(settings: Groups, name: str) -> None:
    """Raises ApplicationError where the application can't run, whatever nodes there are."""
    own = settings.cluster.kubeconfig is None
    workers = len(taking(node_plans(settings))) if own else None
    application = settings.applications[name].application(name)
    require_place(application, place_of(settings, name, workers))


def run_applications(args: ApplicationsArgs) -> dict[str, pulumi.Output[dict[str, Any]]]:
    """Runs them, or has them run; what became of each (see components/spark/job.py)."""
    told = {}
    for name, settings in args.settings.applications.items():
        here = settings.namespace
        made = SparkApplicationJob(
            name,
            SparkApplicationArgs(
                cluster=args.cluster,
                place=place_of(args.settings, name, args.cluster.worker_count),
                application=settings.application(name),
                depends_on=[args.spark if here is None else args.namespaces[here]],
                schedule=None
                if settings.schedule is None
                else Schedule(settings.schedule, settings.time_zone, settings.keep),
            ),
        )
        told[name] = made.told()
    return told
