"""The program's AWS part alone, as `__main__.py` puts it together."""

import pulumi

from components.aws.balancer import ApiBalancer, BalancerArgs
from components.aws.file_system import FileSystemArgs, SharedFileSystem
from components.aws.inventory import write_inventory
from components.aws.network import NetworkArgs, NetworkStack
from components.aws.nodes import KubeNodes, NodesArgs, find_machines
from components.aws.provider import aws_provider
from components.settings import Settings

settings = Settings.load()
name = f"{pulumi.get_project()}-{pulumi.get_stack()}"
has_peers = settings.nodes.control_planes > 1
provider = aws_provider(settings.aws)
on_aws = pulumi.ResourceOptions(providers=[provider])
machines = find_machines(settings, provider)
network = NetworkStack(name, NetworkArgs(settings.network, machines.zone, has_peers), on_aws)
SharedFileSystem(name, FileSystemArgs(network), on_aws)
nodes = KubeNodes(name, NodesArgs(network, machines.by_type, settings), on_aws)
if has_peers:
    balancer = ApiBalancer(name, BalancerArgs(network), on_aws)
    for node in (nodes.control_plane, *nodes.peers):
        balancer.lead_to(node, after=[])
pulumi.export("inventory", write_inventory(name, network, nodes))
