"""What carries a stack's tag at AWS and is not in its state: found, and taken away after asking.

An update that is killed may have asked AWS for something that Pulumi never heard of.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore import xform_name

from console import nodes
from console.nodes import aws_errors
from console.stack import ConsoleError, Stack
from console.tables import table
from console.verb import agree
from console.waiting import Wait
from patience import factor

_TAG = "tinderbox:stack"
#: What the program makes, in the order in which AWS lets go of it: {what EC2 lists: its id there}.
KINDS = {
    "LoadBalancers": "LoadBalancerArn",
    "TargetGroups": "TargetGroupArn",
    "Instances": "InstanceId",
    "Volumes": "VolumeId",
    "Addresses": "AllocationId",
    "FileSystems": "FileSystemId",
    "KeyPairs": "KeyPairId",
    "SecurityGroupRules": "SecurityGroupRuleId",
    "SecurityGroups": "GroupId",
    "Subnets": "SubnetId",
    "RouteTables": "RouteTableId",
    "InternetGateways": "InternetGatewayId",
    "Vpcs": "VpcId",
}
# How long AWS may take until one of them is gone, in seconds.
_LIMIT = 600


@dataclass(frozen=True)
class Leftover:
    """kind: one of KINDS. id: AWS's. name: its tag's, or "". found: all that AWS says of it."""

    kind: str
    id: str
    name: str
    found: Mapping[str, Any]


class Account:
    """What AWS has of one stack. All raise ConsoleError, in one line."""

    def __init__(self, aws: dict[str, Any], stack: Stack) -> None:
        services = ("ec2", "efs", "elbv2")
        self._ec2, self._efs, self._elb = (nodes.aws_client(aws, service) for service in services)
        self.stack = stack

    def leftovers(self, known: Collection[str]) -> list[Leftover]:
        """All with the stack's tag whose id is not known, in the order in which they can go."""
        made = []
        with aws_errors():
            for kind, key in KINDS.items():
                for found in self._list(kind):
                    tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
                    if tags.get(_TAG) == self.stack.short_name and found[key] not in known:
                        made.append(Leftover(kind, found[key], tags.get("Name", ""), found))
        return made

    def _list(self, kind: str) -> list[dict[str, Any]]:
        if kind == "Instances":  # those that are terminated are listed for an hour
            return list(nodes.states(self._ec2, self.stack).values())
        if kind in ("LoadBalancers", "TargetGroups"):
            made = _all(self._elb, f"describe_{xform_name(kind)}", kind)
            return [{**one, "Tags": self._tags(one[KINDS[kind]])} for one in made]
        if kind == "FileSystems":
            return _all(self._efs, "describe_file_systems", kind)
        filters = [{"Name": f"tag:{_TAG}", "Values": [self.stack.short_name]}]
        if kind == "Volumes":  # one that is used goes with its instance
            filters.append({"Name": "status", "Values": ["available"]})
        return _all(self._ec2, f"describe_{xform_name(kind)}", kind, Filters=filters)

    def _tags(self, arn: str) -> list[dict[str, str]]:
        return self._elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]

    def remove(self, leftovers: Sequence[Leftover]) -> None:
        """Takes them away, and prints a line for each. One that does not go stops no other."""
        kept = 0
        for one in leftovers:
            try:
                with aws_errors():
                    self._remove(one)
            except ConsoleError as error:
                kept += 1
                print(f"{one.id} stays: {error}", flush=True)
            else:
                print(f"{one.id} is gone", flush=True)
        if kept:
            raise ConsoleError(f"{kept} of {len(leftovers)} stay; see above")

    def _remove(self, one: Leftover) -> None:
        ec2 = self._ec2
        match one.kind:
            case "LoadBalancers":  # its listeners go with it
                self._elb.delete_load_balancer(LoadBalancerArn=one.id)
            case "TargetGroups":
                self._elb.delete_target_group(TargetGroupArn=one.id)
            case "Instances":
                ec2.terminate_instances(InstanceIds=[one.id])
                _until(lambda: one.id not in nodes.states(ec2, self.stack), f"{one.id} to end")
            case "Addresses":
                ec2.release_address(AllocationId=one.id)
            case "FileSystems":
                remove_mount_targets(self._efs, one.id)
                self._efs.delete_file_system(FileSystemId=one.id)
            case "KeyPairs":
                ec2.delete_key_pair(KeyName=one.found["KeyName"])
            case "SecurityGroupRules":
                way = "egress" if one.found["IsEgress"] else "ingress"
                revoke = getattr(ec2, f"revoke_security_group_{way}")
                revoke(GroupId=one.found["GroupId"], SecurityGroupRuleIds=[one.id])
            case "RouteTables":
                for link in one.found["Associations"]:
                    ec2.disassociate_route_table(AssociationId=link["RouteTableAssociationId"])
                ec2.delete_route_table(RouteTableId=one.id)
            case "InternetGateways":
                for link in one.found["Attachments"]:
                    ec2.detach_internet_gateway(InternetGatewayId=one.id, VpcId=link["VpcId"])
                ec2.delete_internet_gateway(InternetGatewayId=one.id)
            case kind:
                delete = f"delete_{xform_name(kind.removesuffix('s'))}"
                getattr(ec2, delete)(**{KINDS[kind]: one.id})


def remove_mount_targets(efs: Any, file_system: str, subnet: str | None = None) -> None:
    """Takes them away, of one subnet or all, and waits until they are gone."""

    def targets() -> list[dict[str, Any]]:
        found = _all(efs, "describe_mount_targets", "MountTargets", FileSystemId=file_system)
        return [one for one in found if subnet in (None, one["SubnetId"])]

    for target in targets():
        if target["LifeCycleState"] != "deleting":
            efs.delete_mount_target(MountTargetId=target["MountTargetId"])
    _until(lambda: not targets(), f"the mount targets of {file_system} to go")


def _all(client: Any, call: str, key: str, **arguments: Any) -> list[dict[str, Any]]:
    """All pages of a call."""
    if not client.can_paginate(call):
        return getattr(client, call)(**arguments)[key]
    return [one for page in client.get_paginator(call).paginate(**arguments) for one in page[key]]


def known_ids(resources: Sequence[dict[str, Any]]) -> set[str]:
    """AWS's ids of all that a state has. A key pair's id there is its name."""
    of_aws = [one for one in resources if one["type"].startswith("aws:") and "id" in one]
    keys = {one.get("outputs", {}).get("keyPairId", "") for one in of_aws}
    return {one["id"] for one in of_aws} | keys


def _until(is_so: Callable[[], bool], what: str) -> None:
    wait = Wait(what, _LIMIT * factor())
    while not is_so():
        if wait.is_over():
            raise ConsoleError(f"not within {_LIMIT * factor()} s")
        wait.tell()
        time.sleep(1)


def agreed(account: Account, resources: Sequence[dict[str, Any]], *, yes: bool) -> list[Leftover]:
    """What is left over, shown, and agreed to unless `yes`. resources: all that the state has."""
    found = account.leftovers(known_ids(resources))
    if found:
        rows = [(one.kind, one.id, one.name) for one in found]
        print(f"{table(('Kind', 'Id', 'Name'), rows)}\n")
        print(
            f"All of it carries {_TAG}={account.stack.short_name} and is not in the state of this"
        )
        print(
            "backend: it goes, unless another backend has such a stack, or an update is going on."
        )
        sys.stdout.flush()
        if not yes:
            agree("Take it away?", f"make sweep STACK={account.stack.name} YES=1")
    return found
