"""The stack's own cluster: nodes on EC2 (aws/), made a Kubernetes cluster (cluster/)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

from components.aws.balancer import ApiBalancer, BalancerArgs
from components.aws.file_system import FileSystemArgs, SharedFileSystem
from components.aws.inventory import write_inventory
from components.aws.network import NetworkArgs, NetworkStack
from components.aws.nodes import KubeNodes, NodesArgs, find_machines
from components.aws.provider import aws_provider
from components.cluster.addons import AddonsArgs, ClusterAddons
from components.cluster.cluster import Cluster
from components.cluster.kubeadm import KubeadmArgs, KubeadmBootstrap
from components.fit import require_fit
from components.settings import Settings


@dataclass(frozen=True)
class OwnCluster:
    """ready: what pods have to wait for. nodes, inventory: the stack's outputs of that name."""

    cluster: Cluster
    ready: list[pulumi.Resource]
    nodes: list[dict[str, Any]]
    inventory: pulumi.Output[dict[str, Any]]


def create_cluster(name: str, settings: Settings) -> OwnCluster:
    """From an AWS account to nodes that take pods. Raises SettingsError for what can't fit."""
    has_peers = settings.nodes.control_planes > 1
    provider = aws_provider(settings.aws)
    on_aws = pulumi.ResourceOptions(providers=[provider])
    machines = find_machines(settings, provider)
    require_fit(settings, machines.by_type)
    network = NetworkStack(name, NetworkArgs(settings.network, machines.zone, has_peers), on_aws)
    shared = SharedFileSystem(name, FileSystemArgs(network), on_aws)
    made = KubeNodes(name, NodesArgs(network, machines.by_type, settings), on_aws)
    balancer = ApiBalancer(name, BalancerArgs(network), on_aws) if has_peers else None
    bootstrap = KubeadmBootstrap(
        name,
        KubeadmArgs(
            made.control_plane,
            made.workers,
            shared.address,
            settings,
            made.peers,
            balancer,
            images=[settings.spark.image],
        ),
    )
    addons = ClusterAddons(name, AddonsArgs(bootstrap.cluster, settings))
    return OwnCluster(
        bootstrap.cluster,
        addons.ready,
        nodes=[node.record() for node in made.nodes],
        inventory=write_inventory(name, network, made),
    )
