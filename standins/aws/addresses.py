"""ec2.Eip, ec2.EipAssociation."""

from __future__ import annotations

from typing import Any

from standins.aws.api import error_code
from standins.aws.resource import AwsResource, from_tag_list
from standins.base import Call, StandinError


class Eip(AwsResource):
    """A public address that stays until it is released."""

    token = "aws:ec2/eip:Eip"
    tag_kind = "elastic-ip"
    inputs = frozenset({"domain", "tags"})
    defaults = {"domain": "vpc"}
    force_new = frozenset({"domain"})
    outputs = frozenset(
        {
            "allocationId",
            "arn",
            "associationId",
            "instance",
            "networkBorderGroup",
            "networkInterface",
            "privateDns",
            "privateIp",
            "publicDns",
            "publicIp",
            "publicIpv4Pool",
        }
    )

    def make(self, call: Call) -> str:
        made = self.provider.api.ec2.allocate_address(
            Domain=call.inputs["domain"], TagSpecifications=self.tag_specifications(call)
        )
        return made["AllocationId"]

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        found = self.provider.api.ec2.describe_addresses(AllocationIds=[resource_id])["Addresses"]
        if not found:
            return None
        address = found[0]
        private = address.get("PrivateIpAddress") or ""
        region = self.provider.api.region
        return {
            "allocationId": resource_id,
            "arn": self.provider.api.arn(f"elastic-ip/{resource_id}"),
            "associationId": address.get("AssociationId") or "",
            "domain": address["Domain"],
            "instance": address.get("InstanceId") or "",
            "networkBorderGroup": address.get("NetworkBorderGroup") or region,
            "networkInterface": address.get("NetworkInterfaceId") or "",
            "privateDns": _private_dns(private, region) if private else "",
            "privateIp": private,
            "publicDns": _public_dns(address["PublicIp"], region),
            "publicIp": address["PublicIp"],
            "publicIpv4Pool": address.get("PublicIpv4Pool") or "",
            "tagsAll": from_tag_list(address.get("Tags")),
        }

    def remove(self, call: Call) -> None:
        self.provider.api.ec2.release_address(AllocationId=call.id)


def _public_dns(address: str, region: str) -> str:
    domain = "compute-1" if region == "us-east-1" else f"{region}.compute"
    return f"ec2-{address.replace('.', '-')}.{domain}.amazonaws.com"


def _private_dns(address: str, region: str) -> str:
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{address.replace('.', '-')}.{domain}"


class EipAssociation(AwsResource):
    """Which instance an Eip leads to."""

    token = "aws:ec2/eipAssociation:EipAssociation"
    inputs = frozenset({"allocationId", "instanceId"})
    required = inputs
    force_new = inputs
    outputs = frozenset({"networkInterfaceId", "privateIpAddress", "publicIp"})

    def make(self, call: Call) -> str:
        # In a VPC an address moves over by itself; saying so also suits other endpoints.
        def associate() -> str | None:
            try:
                return self.provider.api.ec2.associate_address(
                    AllocationId=call.inputs["allocationId"],
                    InstanceId=call.inputs["instanceId"],
                    AllowReassociation=True,
                )["AssociationId"]
            except Exception as error:
                # An instance that is still starting takes no address yet.
                if error_code(error) in ("InvalidInstanceID", "IncorrectInstanceState"):
                    return None
                raise

        what = f"{call.inputs['instanceId']} to take {call.inputs['allocationId']}"
        return call.wait_for(what, associate, 120.0)

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        found = self.provider.api.ec2.describe_addresses(
            Filters=[{"Name": "association-id", "Values": [resource_id]}]
        )["Addresses"]
        if not found:
            return None
        address = found[0]
        return {
            "allocationId": address["AllocationId"],
            "instanceId": address.get("InstanceId") or "",
            "networkInterfaceId": address.get("NetworkInterfaceId") or "",
            "privateIpAddress": address.get("PrivateIpAddress") or "",
            "publicIp": address["PublicIp"],
        }

    def change(self, call: Call) -> None:
        raise StandinError("an association can't be changed, only replaced")

    def remove(self, call: Call) -> None:
        self.provider.api.ec2.disassociate_address(AssociationId=call.id)
