"""The inventory: what the stack made on AWS, as one document, and as the file inventory.json."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_command as command

from components.aws.network import NetworkStack
from components.aws.nodes import KubeNodes

_FILE = "inventory.json"


def write_inventory(
    name: str, network: NetworkStack, nodes: KubeNodes
) -> pulumi.Output[dict[str, Any]]:
    """{VpcId, InternetGatewayId, SubnetId, SecurityGroupId, KeyPairPath, Instances}.

    Instances are [{InstanceId, InstanceIp}], the control plane first. The file is taken away with
    the stack; of several stacks the last has it.
    """
    document = pulumi.Output.from_input(
        {
            "VpcId": network.vpc_id,
            "InternetGatewayId": network.internet_gateway_id,
            "SubnetId": network.subnet_id,
            "SecurityGroupId": network.security_group_id,
            "KeyPairPath": nodes.key_path,
            "Instances": [
                {"InstanceId": node.instance_id, "InstanceIp": node.address} for node in nodes.nodes
            ],
        }
    )
    command.local.Command(
        f"{name}-inventory",
        create=f"cat > {_FILE}",
        # Another stack of this checkout may have written its own since.
        delete=f"if cmp -s - {_FILE}; then rm {_FILE}; fi",
        stdin=document.apply(lambda known: json.dumps(known, indent=2) + "\n"),
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions(parent=nodes),
    )
    return document
