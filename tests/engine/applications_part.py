"""The program's applications alone, in a cluster that exists and has Spark's namespace."""

import pulumi
import pulumi_kubernetes as kubernetes

from components.applications import ApplicationsArgs, require_places, run_applications
from components.cluster.cluster import existing_cluster
from components.settings import Settings

settings = Settings.load(require_places)
cluster = existing_cluster("test", settings.cluster.kubeconfig or "")
spark = kubernetes.core.v1.Namespace(
    "spark-namespace", metadata={"name": "spark"}, opts=cluster.options()
)
made = run_applications(ApplicationsArgs(cluster, settings, spark, {}))
pulumi.export("applications", made)
