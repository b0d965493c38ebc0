"""The program's namespaces and priority classes alone, in a cluster that exists."""

import pulumi

from components.cluster.cluster import existing_cluster
from components.settings import Settings
from components.spark.namespace import NamespaceArgs, SparkNamespace
from components.spark.queues import SparkQueues

settings = Settings.load()
cluster = existing_cluster("test", settings.cluster.kubeconfig or "")
SparkQueues("test", cluster)
made = {
    name: SparkNamespace(name, NamespaceArgs(cluster, settings, [])) for name in settings.namespaces
}
pulumi.export("namespaces", {name: namespace.where() for name, namespace in made.items()})
