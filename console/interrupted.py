"""What an update that was killed left, put right before the next one; Ctrl-C leaves nothing of it.

Pulumi writes down what it is about to do. Of what it was making when it was killed it can't know
whether it is there, so a next update would make it once more, or be told that it exists already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from console import leftovers, nodes
from console.stack import Stack

Inputs = Mapping[str, Any]


def settle(stack: Stack) -> None:
    """Takes away what AWS may have made unheard of, and what Pulumi wrote down of it.

    On AWS it asks before. Raises ConsoleError where it must not, or something stays.
    """
    state = stack.state()
    resources = state["deployment"].get("resources", [])
    pending = state["deployment"].pop("pending_operations", None) or []
    if not pending:
        return
    names = ", ".join(sorted({one["resource"]["urn"].rpartition("::")[2] for one in pending}))
    print(f"state: an update was killed while it was at {names}", flush=True)
    made = [one["resource"] for one in pending if one["type"] == "creating"]
    if not any(one["type"].startswith("aws:") for one in made):
        stack.import_state(state)
        return
    aws = nodes.settings(stack)["aws"]
    account = leftovers.Account(aws, stack)
    found = leftovers.agreed(account, resources, yes=stack.is_local)
    # Before anything goes: it fails where an update is going on, whose operations these would be.
    stack.import_state(state)
    account.remove(found)
    for one in made:
        if one["type"] in _LINKS:
            with nodes.aws_errors():
                _LINKS[one["type"]](aws, one["inputs"])


def _mount_target(aws: Inputs, inputs: Inputs) -> None:
    leftovers.remove_mount_targets(
        nodes.aws_client(aws, "efs"), inputs["fileSystemId"], inputs["subnetId"]
    )


def _route(aws: Inputs, inputs: Inputs) -> None:
    ec2, table = nodes.aws_client(aws), inputs["routeTableId"]
    to = inputs["destinationCidrBlock"]
    found = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    if any(one.get("DestinationCidrBlock") == to for one in found):
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock=to)


def _association(aws: Inputs, inputs: Inputs) -> None:
    ec2 = nodes.aws_client(aws)
    wanted = [{"Name": "association.subnet-id", "Values": [inputs["subnetId"]]}]
    for table in ec2.describe_route_tables(Filters=wanted)["RouteTables"]:
        for link in table["Associations"]:
            if link.get("SubnetId") == inputs["subnetId"]:
                ec2.disassociate_route_table(AssociationId=link["RouteTableAssociationId"])


#: What has no tag by which a sweep could find it: how it goes.
_LINKS: Mapping[str, Callable[[Inputs, Inputs], None]] = {
    "aws:efs/mountTarget:MountTarget": _mount_target,
    "aws:ec2/route:Route": _route,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _association,
}
