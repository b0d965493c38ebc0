"""SharedFileSystem: EFS for the nodes, which mount it at /srv/shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.aws.network import NetworkStack


class FileSystemOutputs(TypedDict):
    """What SharedFileSystem registers."""

    fileSystemId: pulumi.Output[str]
    dnsName: pulumi.Output[str]
    address: pulumi.Output[str]


@dataclass
class FileSystemArgs:
    """The network that the nodes are in."""

    network: NetworkStack


class SharedFileSystem(pulumi.ComponentResource):
    """An encrypted EFS file system that the nodes of one subnet can mount.

    Outputs: address (IPv4, known once it can be mounted: its name is known to the VPC's resolver up
    to 90 s later).
    """

    address: pulumi.Output[str]

    def __init__(
        self, name: str, args: FileSystemArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:SharedFileSystem", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        file_system = aws.efs.FileSystem(
            f"{name}-file-system", encrypted=True, tags={"Name": f"{name}-shared"}, opts=child
        )
        target = aws.efs.MountTarget(
            f"{name}-mount-target",
            file_system_id=file_system.id,
            subnet_id=args.network.subnet_id,
            security_groups=[args.network.security_group_id],
            # AWS takes no second one in a subnet.
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(delete_before_replace=True)
            ),
        )
        self.address = target.ip_address
        outputs: FileSystemOutputs = {
            "fileSystemId": file_system.id,
            "dnsName": file_system.dns_name,
            "address": self.address,
        }
        self.register_outputs(dict(outputs))
