"""ec2.RouteTable, ec2.Route, ec2.RouteTableAssociation."""

from __future__ import annotations

import zlib
from typing import Any

from standins.aws.account import AwsAccount
from standins.aws.resource import AwsResource, from_tag_list
from standins.base import Call, StandinError


def _table(provider: AwsAccount, table_id: str) -> dict[str, Any] | None:
    answer = provider.api.ec2.describe_route_tables(RouteTableIds=[table_id])
    return next(iter(answer["RouteTables"]), None)


class RouteTable(AwsResource):
    """A table of routes; the routes in it are resources of their own."""

    token = "aws:ec2/routeTable:RouteTable"
    tag_kind = "route-table"
    inputs = frozenset({"tags", "vpcId"})
    required = frozenset({"vpcId"})
    force_new = frozenset({"vpcId"})
    outputs = frozenset({"arn", "ownerId"})

    def make(self, call: Call) -> str:
        made = self.provider.api.ec2.create_route_table(
            VpcId=call.inputs["vpcId"], TagSpecifications=self.tag_specifications(call)
        )
        return made["RouteTable"]["RouteTableId"]

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        found = _table(self.provider, resource_id)
        if found is None:
            return None
        owner = found.get("OwnerId", "")
        return {
            "arn": self.provider.api.arn(f"route-table/{resource_id}", owner=owner),
            "ownerId": owner,
            "tagsAll": from_tag_list(found.get("Tags")),
            "vpcId": found["VpcId"],
        }

    def remove(self, call: Call) -> None:
        self.provider.api.ec2.delete_route_table(RouteTableId=call.id)


class Route(AwsResource):
    """One route: where packets to `destinationCidrBlock` go."""

    token = "aws:ec2/route:Route"
    inputs = frozenset({"destinationCidrBlock", "gatewayId", "routeTableId"})
    required = frozenset({"destinationCidrBlock", "gatewayId", "routeTableId"})
    force_new = frozenset({"destinationCidrBlock", "routeTableId"})
    outputs = frozenset({"instanceId", "instanceOwnerId", "networkInterfaceId", "origin", "state"})

    def make(self, call: Call) -> str:
        self.provider.api.ec2.create_route(
            **_route(call.inputs), GatewayId=call.inputs["gatewayId"]
        )
        # The id that the official plugin gives it: a route has none of its own.
        destination = zlib.crc32(call.inputs["destinationCidrBlock"].encode())
        return f"r-{call.inputs['routeTableId']}{destination}"

    def change(self, call: Call) -> None:
        self.provider.api.ec2.replace_route(
            **_route(call.inputs), GatewayId=call.inputs["gatewayId"]
        )

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        wanted = call.inputs or call.state
        table = _table(self.provider, wanted["routeTableId"]) or {}
        for route in table.get("Routes", []):
            if route.get("DestinationCidrBlock") == wanted["destinationCidrBlock"]:
                return {
                    "destinationCidrBlock": route["DestinationCidrBlock"],
                    "gatewayId": route.get("GatewayId", ""),
                    "instanceId": route.get("InstanceId", ""),
                    "instanceOwnerId": route.get("InstanceOwnerId", ""),
                    "networkInterfaceId": route.get("NetworkInterfaceId", ""),
                    "origin": route.get("Origin"),
                    "routeTableId": wanted["routeTableId"],
                    "state": route.get("State"),
                }
        return None

    def remove(self, call: Call) -> None:
        self.provider.api.ec2.delete_route(**_route(call.state))


def _route(properties: dict[str, Any]) -> dict[str, str]:
    return {
        "RouteTableId": properties["routeTableId"],
        "DestinationCidrBlock": properties["destinationCidrBlock"],
    }


class RouteTableAssociation(AwsResource):
    """Which route table a subnet uses."""

    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    inputs = frozenset({"routeTableId", "subnetId"})
    required = frozenset({"routeTableId", "subnetId"})
    force_new = frozenset({"subnetId"})

    def make(self, call: Call) -> str:
        made = self.provider.api.ec2.associate_route_table(
            RouteTableId=call.inputs["routeTableId"], SubnetId=call.inputs["subnetId"]
        )
        return made["AssociationId"]

    def change(self, call: Call) -> None:
        current = self._current(call.inputs["subnetId"])
        if current is None:
            raise StandinError(f"subnet {call.inputs['subnetId']} has lost its route table")
        if current["RouteTableId"] != call.inputs["routeTableId"]:
            self.provider.api.ec2.replace_route_table_association(
                AssociationId=current["RouteTableAssociationId"],
                RouteTableId=call.inputs["routeTableId"],
            )

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        current = self._current((call.inputs or call.state)["subnetId"])
        if current is None:
            return None
        return {"routeTableId": current["RouteTableId"], "subnetId": current["SubnetId"]}

    def remove(self, call: Call) -> None:
        current = self._current(call.state["subnetId"])
        if current is not None:
            association = current["RouteTableAssociationId"]
            self.provider.api.ec2.disassociate_route_table(AssociationId=association)

    def _current(self, subnet: str) -> dict[str, Any] | None:
        """The subnet's association; its id changes with the table, so it is looked up."""
        answer = self.provider.api.ec2.describe_route_tables(
            Filters=[{"Name": "association.subnet-id", "Values": [subnet]}]
        )
        for table in answer["RouteTables"]:
            for association in table["Associations"]:
                if association.get("SubnetId") == subnet:
                    return association
        return None
