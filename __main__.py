"""Tinderbox: from an AWS account, or a bare machine, to a word count by Spark on Kubernetes."""

from pathlib import Path

import pulumi

from components.applications import ApplicationsArgs, require_places, run_applications
from components.cluster.cluster import existing_cluster
from components.engine.cycles import search_flat
from components.engine.limits import stretch_limits
from components.local_files import read_text
from components.opex import OpexArgs, OpexRelease
from components.settings import Settings
from components.spark.namespace import NamespaceArgs, SparkNamespace
from components.spark.queues import SparkQueues
from components.spark.release import SparkArgs, SparkRelease
from components.wordcount import WordCountArgs, WordCountJob

search_flat()
stretch_limits()
settings = Settings.load(require_places)
text = read_text(settings.word_count)
name = f"{pulumi.get_project()}-{pulumi.get_stack()}"

if settings.cluster.kubeconfig is not None:
    cluster = existing_cluster(name, settings.cluster.kubeconfig)
    network_ready = []
else:
    from components.own_cluster import create_cluster  # loads AWS's large package

    own = create_cluster(name, settings)
    cluster, network_ready = own.cluster, own.ready
    pulumi.export("nodes", own.nodes)
    pulumi.export("inventory", own.inventory)

spark = SparkRelease(name, SparkArgs(cluster, settings, depends_on=network_ready))
SparkQueues(name, cluster)
namespaces = {
    namespace: SparkNamespace(namespace, NamespaceArgs(cluster, settings, network_ready))
    for namespace in settings.namespaces
}
word_count = WordCountJob("wordcount", WordCountArgs(cluster, spark, settings.word_count, text))
applications = run_applications(ApplicationsArgs(cluster, settings, spark, namespaces))
if settings.opex.engine is not None:
    pulumi.export("opex", OpexRelease(name, OpexArgs(cluster, settings, network_ready)).result)

pulumi.export("kubeconfig", cluster.kubeconfig)
pulumi.export("sparkMasterUrl", spark.master_url)
pulumi.export("spark", spark.where())
if namespaces:
    pulumi.export("namespaces", {key: made.where() for key, made in namespaces.items()})
pulumi.export("wordCount", word_count.result)
if applications:
    pulumi.export("applications", applications)
pulumi.export("readme", Path("Pulumi.README.md").read_text())  # Pulumi's web console shows it
