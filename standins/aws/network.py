"""ec2.Vpc, ec2.InternetGateway, ec2.Subnet."""

from __future__ import annotations

from typing import Any

from standins.aws.resource import AwsResource, from_tag_list
from standins.base import Call


class Vpc(AwsResource):
    """A virtual private cloud."""

    token = "aws:ec2/vpc:Vpc"
    tag_kind = "vpc"
    inputs = frozenset({"cidrBlock", "enableDnsHostnames", "enableDnsSupport", "tags"})
    required = frozenset({"cidrBlock"})
    defaults = {"enableDnsSupport": True, "instanceTenancy": "default"}
    force_new = frozenset({"cidrBlock", "instanceTenancy"})
    outputs = frozenset(
        {
            "arn",
            "defaultNetworkAclId",
            "defaultRouteTableId",
            "defaultSecurityGroupId",
            "dhcpOptionsId",
            "enableDnsHostnames",
            "mainRouteTableId",
            "ownerId",
        }
    )

    def make(self, call: Call) -> str:
        made = self.provider.api.ec2.create_vpc(
            CidrBlock=call.inputs["cidrBlock"],
            InstanceTenancy=call.inputs["instanceTenancy"],
            TagSpecifications=self.tag_specifications(call),
        )
        return made["Vpc"]["VpcId"]

    def settle(self, call: Call, resource_id: str) -> None:
        ec2 = self.provider.api.ec2

        def available() -> bool | None:
            found = ec2.describe_vpcs(VpcIds=[resource_id])["Vpcs"]
            return True if found and found[0]["State"] == "available" else None

        call.wait_for(f"{resource_id} to be available", available, 120.0)
        # Only one attribute fits in a request; hostnames need DNS support to be on.
        support = bool(call.inputs["enableDnsSupport"])
        names = bool(call.inputs.get("enableDnsHostnames"))
        if not names:
            ec2.modify_vpc_attribute(VpcId=resource_id, EnableDnsHostnames={"Value": False})
        ec2.modify_vpc_attribute(VpcId=resource_id, EnableDnsSupport={"Value": support})
        if names:
            ec2.modify_vpc_attribute(VpcId=resource_id, EnableDnsHostnames={"Value": True})

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        ec2 = self.provider.api.ec2
        found = ec2.describe_vpcs(VpcIds=[resource_id])["Vpcs"]
        if not found:
            return None
        vpc = found[0]
        own = {"Name": "vpc-id", "Values": [resource_id]}
        main = {"Name": "association.main", "Values": ["true"]}
        default = {"Name": "default", "Values": ["true"]}
        by_name = {"Name": "group-name", "Values": ["default"]}
        tables = ec2.describe_route_tables(Filters=[own, main])["RouteTables"]
        lists = ec2.describe_network_acls(Filters=[own, default])["NetworkAcls"]
        groups = ec2.describe_security_groups(Filters=[own, by_name])["SecurityGroups"]
        table = tables[0]["RouteTableId"] if tables else None

        def attribute(name: str, key: str) -> bool:
            return ec2.describe_vpc_attribute(VpcId=resource_id, Attribute=name)[key]["Value"]

        return {
            "arn": self.provider.api.arn(f"vpc/{resource_id}", owner=vpc["OwnerId"]),
            "cidrBlock": vpc["CidrBlock"],
            "defaultNetworkAclId": lists[0]["NetworkAclId"] if lists else None,
            "defaultRouteTableId": table,
            "defaultSecurityGroupId": groups[0]["GroupId"] if groups else None,
            "dhcpOptionsId": vpc.get("DhcpOptionsId"),
            "enableDnsHostnames": attribute("enableDnsHostnames", "EnableDnsHostnames"),
            "enableDnsSupport": attribute("enableDnsSupport", "EnableDnsSupport"),
            "instanceTenancy": vpc["InstanceTenancy"],
            "mainRouteTableId": table,
            "ownerId": vpc["OwnerId"],
            "tagsAll": from_tag_list(vpc.get("Tags")),
        }

    def remove(self, call: Call) -> None:
        self.provider.api.ec2.delete_vpc(VpcId=call.id)


class InternetGateway(AwsResource):
    """The way from a VPC to the internet."""

    token = "aws:ec2/internetGateway:InternetGateway"
    tag_kind = "internet-gateway"
    inputs = frozenset({"tags", "vpcId"})
    outputs = frozenset({"arn", "ownerId", "vpcId"})

    def make(self, call: Call) -> str:
        made = self.provider.api.ec2.create_internet_gateway(
            TagSpecifications=self.tag_specifications(call)
        )
        return made["InternetGateway"]["InternetGatewayId"]

    def settle(self, call: Call, resource_id: str) -> None:
        """Attach it where the program wants it, detaching it from another VPC first."""
        ec2 = self.provider.api.ec2
        wanted = call.inputs.get("vpcId")
        attached = self._attached_to(resource_id)
        if attached and attached != wanted:
            ec2.detach_internet_gateway(InternetGatewayId=resource_id, VpcId=attached)
        if wanted and attached != wanted:
            ec2.attach_internet_gateway(InternetGatewayId=resource_id, VpcId=wanted)
            look = lambda: self._attached_to(resource_id) or None  # noqa: E731
            call.wait_for(f"{resource_id} to be attached to {wanted}", look, 120.0)

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        found = self._found(resource_id)
        if found is None:
            return None
        return {
            "arn": self.provider.api.arn(
                f"internet-gateway/{resource_id}", owner=found.get("OwnerId", "")
            ),
            "ownerId": found.get("OwnerId"),
            "vpcId": self._attached_to(resource_id),
            "tagsAll": from_tag_list(found.get("Tags")),
        }

    def remove(self, call: Call) -> None:
        ec2 = self.provider.api.ec2
        attached = self._attached_to(call.id)
        if attached:
            ec2.detach_internet_gateway(InternetGatewayId=call.id, VpcId=attached)
        ec2.delete_internet_gateway(InternetGatewayId=call.id)

    def _found(self, resource_id: str) -> dict[str, Any] | None:
        answer = self.provider.api.ec2.describe_internet_gateways(InternetGatewayIds=[resource_id])
        return next(iter(answer["InternetGateways"]), None)

    def _attached_to(self, resource_id: str) -> str:
        found = self._found(resource_id) or {}
        return next((item["VpcId"] for item in found.get("Attachments", [])), "")


class Subnet(AwsResource):
    """A part of a VPC in one availability zone."""

    token = "aws:ec2/subnet:Subnet"
    tag_kind = "subnet"
    inputs = frozenset({"availabilityZone", "cidrBlock", "mapPublicIpOnLaunch", "tags", "vpcId"})
    required = frozenset({"availabilityZone", "cidrBlock", "vpcId"})
    defaults = {"mapPublicIpOnLaunch": False}
    force_new = frozenset({"availabilityZone", "cidrBlock", "vpcId"})
    outputs = frozenset(
        {
            "arn",
            "availabilityZone",
            "availabilityZoneId",
            "ownerId",
            "privateDnsHostnameTypeOnLaunch",
        }
    )

    def make(self, call: Call) -> str:
        made = self.provider.api.ec2.create_subnet(
            VpcId=call.inputs["vpcId"],
            CidrBlock=call.inputs["cidrBlock"],
            AvailabilityZone=call.inputs["availabilityZone"],
            TagSpecifications=self.tag_specifications(call),
        )
        return made["Subnet"]["SubnetId"]

    def settle(self, call: Call, resource_id: str) -> None:
        def available() -> dict[str, Any] | None:
            found = self._found(resource_id)
            return found if found and found["State"] == "available" else None

        found = call.wait_for(f"{resource_id} to be available", available, 120.0)
        wanted = bool(call.inputs["mapPublicIpOnLaunch"])
        if found["MapPublicIpOnLaunch"] != wanted:
            self.provider.api.ec2.modify_subnet_attribute(
                SubnetId=resource_id, MapPublicIpOnLaunch={"Value": wanted}
            )

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        found = self._found(resource_id)
        if found is None:
            return None
        dns = found.get("PrivateDnsNameOptionsOnLaunch") or {}
        return {
            "arn": found.get("SubnetArn"),
            "availabilityZone": found["AvailabilityZone"],
            "availabilityZoneId": found.get("AvailabilityZoneId"),
            "cidrBlock": found["CidrBlock"],
            "mapPublicIpOnLaunch": found["MapPublicIpOnLaunch"],
            "ownerId": found.get("OwnerId"),
            "privateDnsHostnameTypeOnLaunch": dns.get("HostnameType", "ip-name"),
            "tagsAll": from_tag_list(found.get("Tags")),
            "vpcId": found["VpcId"],
        }

    def remove(self, call: Call) -> None:
        self.provider.api.ec2.delete_subnet(SubnetId=call.id)

    def _found(self, resource_id: str) -> dict[str, Any] | None:
        found = self.provider.api.ec2.describe_subnets(SubnetIds=[resource_id])["Subnets"]
        return next(iter(found), None)
