"""The program's namespaces and priority classes alone, in a cluster that exists."""

import pulumi

from components.cluster import existing_cluster
from components.namespaces import NamespaceArgs, SparkNamespace
from components.queues import SparkQueues
from components.settings import Settings

settings = Settings.load()
cluster = existing_cluster("test", settings.cluster.kubeconfig or "")
SparkQueues("test", cluster)
made = {
    name: SparkNamespace(name, NamespaceArgs(cluster, settings, [])) for name in settings.namespaces
}
pulumi.export("namespaces", {name: namespace.where() for name, namespace in made.items()})
