"""Tinderbox: from an AWS account, or a bare machine, to a word count by Spark on Kubernetes."""

from pathlib import Path

import pulumi

from components.addons import AddonsArgs, ClusterAddons
from components.cluster import existing_cluster
from components.fit import require_fit
from components.inventory import write_inventory
from components.kubeadm import KubeadmArgs, KubeadmBootstrap
from components.namespaces import NamespaceArgs, SparkNamespace
from components.network import NetworkArgs, NetworkStack
from components.nodes import KubeNodes, NodesArgs, find_machine
from components.opex import OpexArgs, OpexRelease
from components.patience import stretch_limits
from components.provider import aws_provider
from components.queues import SparkQueues
from components.settings import Settings
from components.spark import SparkArgs, SparkRelease
from components.storage import FileSystemArgs, SharedFileSystem
from components.text import read_text
from components.wordcount import WordCountArgs, WordCountJob

stretch_limits()
settings = Settings.load()
text = read_text(settings.word_count)
name = f"{pulumi.get_project()}-{pulumi.get_stack()}"

if settings.cluster.kubeconfig is not None:
    cluster = existing_cluster(name, settings.cluster.kubeconfig)
    network_ready = []
else:
    provider = aws_provider(settings.aws)
    on_aws = pulumi.ResourceOptions(providers=[provider])
    machine = find_machine(settings.nodes, provider)
    require_fit(settings, machine)
    network = NetworkStack(name, NetworkArgs(settings.network, machine.zone), on_aws)
    file_system = SharedFileSystem(name, FileSystemArgs(network), on_aws)
    nodes = KubeNodes(name, NodesArgs(network, machine, settings.nodes), on_aws)
    bootstrap = KubeadmBootstrap(name, KubeadmArgs(nodes, file_system, settings))
    cluster = bootstrap.cluster
    network_ready = ClusterAddons(name, AddonsArgs(cluster, settings)).ready
    pulumi.export("nodes", [node.record() for node in nodes.nodes])
    pulumi.export("inventory", write_inventory(name, network, nodes))

spark = SparkRelease(name, SparkArgs(cluster, settings, depends_on=network_ready))
SparkQueues(name, cluster)
namespaces = {
    namespace: SparkNamespace(namespace, NamespaceArgs(cluster, settings, network_ready))
    for namespace in settings.namespaces
}
word_count = WordCountJob("wordcount", WordCountArgs(cluster, spark, settings.word_count, text))
if settings.opex.engine is not None:
    pulumi.export("opex", OpexRelease(name, OpexArgs(cluster, settings, network_ready)).result)

pulumi.export("kubeconfig", cluster.kubeconfig)
pulumi.export("sparkMasterUrl", spark.master_url)
pulumi.export("spark", spark.where())
if namespaces:
    pulumi.export("namespaces", {key: made.where() for key, made in namespaces.items()})
pulumi.export("wordCount", word_count.result)
pulumi.export("readme", Path("Pulumi.README.md").read_text())  # Pulumi's web console shows it
