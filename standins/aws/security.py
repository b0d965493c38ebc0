"""ec2.SecurityGroup, vpc.SecurityGroupIngressRule, vpc.SecurityGroupEgressRule."""

from __future__ import annotations

from typing import Any, ClassVar

from standins.aws.api import is_gone
from standins.aws.resource import AwsResource, from_tag_list
from standins.base import Call, Failure


class SecurityGroup(AwsResource):
    """A group without rules: what it lets through are resources of their own."""

    token = "aws:ec2/securityGroup:SecurityGroup"
    tag_kind = "security-group"
    auto_name = "name"
    inputs = frozenset({"description", "tags", "vpcId"})
    required = frozenset({"description", "vpcId"})
    force_new = frozenset({"description", "name", "vpcId"})
    outputs = frozenset({"arn", "ownerId", "vpcId"})

    def make(self, call: Call) -> str:
        made = self.provider.api.ec2.create_security_group(
            GroupName=call.inputs["name"],
            Description=call.inputs["description"],
            VpcId=call.inputs["vpcId"],
            TagSpecifications=self.tag_specifications(call),
        )
        return made["GroupId"]

    def settle(self, call: Call, resource_id: str) -> None:
        """Take away the rule that AWS gives each new group: all may go out."""
        if call.state.get("arn"):
            return  # an update of a whole group: what is there now was made by the program's rules
        ec2 = self.provider.api.ec2
        group = call.wait_for(f"AWS to show {resource_id}", lambda: self._found(resource_id), 60.0)
        if group.get("IpPermissionsEgress"):
            ec2.revoke_security_group_egress(
                GroupId=resource_id, IpPermissions=group["IpPermissionsEgress"]
            )

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        group = self._found(resource_id)
        if group is None:
            return None
        owner = group["OwnerId"]
        return {
            "arn": self.provider.api.arn(f"security-group/{resource_id}", owner=owner),
            "description": group["Description"],
            "name": group["GroupName"],
            "ownerId": owner,
            "tagsAll": from_tag_list(group.get("Tags")),
            "vpcId": group.get("VpcId"),
        }

    def remove(self, call: Call) -> None:
        self.provider.api.ec2.delete_security_group(GroupId=call.id)

    def _found(self, resource_id: str) -> dict[str, Any] | None:
        try:
            answer = self.provider.api.ec2.describe_security_groups(GroupIds=[resource_id])
        except Exception as error:
            if is_gone(error):
                return None
            raise
        return next(iter(answer["SecurityGroups"]), None)


class _Rule(AwsResource):
    """One rule: one protocol, one range of ports, one source or destination."""

    tag_kind = "security-group-rule"
    egress: ClassVar[bool]
    inputs = frozenset(
        {
            "cidrIpv4",
            "description",
            "fromPort",
            "ipProtocol",
            "referencedSecurityGroupId",
            "securityGroupId",
            "tags",
            "toPort",
        }
    )
    required = frozenset({"ipProtocol", "securityGroupId"})
    force_new = frozenset({"securityGroupId"})
    outputs = frozenset({"arn", "securityGroupRuleId"})

    def check(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        inputs, failures = super().check(call)
        peers = ("cidrIpv4", "referencedSecurityGroupId")
        given = [name for name in peers if inputs.get(name) is not None]
        if len(given) != 1:
            failures.append(
                Failure(given[-1] if given else peers[0], f"give one of {', '.join(peers)}")
            )
        return inputs, failures

    def make(self, call: Call) -> str:
        ec2 = self.provider.api.ec2
        authorize = (
            ec2.authorize_security_group_egress
            if self.egress
            else ec2.authorize_security_group_ingress
        )
        made = authorize(
            GroupId=call.inputs["securityGroupId"],
            IpPermissions=[_permission(call.inputs)],
            TagSpecifications=self.tag_specifications(call),
        )
        return made["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def change(self, call: Call) -> None:
        names = self.inputs - {"tags"}
        if all(call.state.get(name) == call.inputs.get(name) for name in names):
            return
        rule = {"SecurityGroupRuleId": call.id, "SecurityGroupRule": _rule(call.inputs)}
        self.provider.api.ec2.modify_security_group_rules(
            GroupId=call.inputs["securityGroupId"], SecurityGroupRules=[rule]
        )

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        answer = self.provider.api.ec2.describe_security_group_rules(
            SecurityGroupRuleIds=[resource_id]
        )
        if not answer["SecurityGroupRules"]:
            return None
        rule = answer["SecurityGroupRules"][0]
        peer = rule.get("ReferencedGroupInfo") or {}
        everything = rule["IpProtocol"] == "-1"
        known = call.inputs or call.state
        return {
            "arn": self.provider.api.arn(f"security-group-rule/{resource_id}"),
            "cidrIpv4": rule.get("CidrIpv4"),
            # moto tells none for rules with a group as peer: then what was set is taken to hold.
            "description": rule.get("Description", known.get("description")),
            # For all protocols AWS says -1 where the program says nothing.
            "fromPort": None if everything else rule.get("FromPort"),
            "ipProtocol": rule["IpProtocol"],
            "referencedSecurityGroupId": peer.get("GroupId"),
            "securityGroupId": rule["GroupId"],
            "securityGroupRuleId": resource_id,
            "tagsAll": from_tag_list(rule.get("Tags")),
            "toPort": None if everything else rule.get("ToPort"),
        }

    def remove(self, call: Call) -> None:
        ec2 = self.provider.api.ec2
        revoke = (
            ec2.revoke_security_group_egress if self.egress else ec2.revoke_security_group_ingress
        )
        revoke(GroupId=call.state["securityGroupId"], SecurityGroupRuleIds=[call.id])


class SecurityGroupIngressRule(_Rule):
    """What may come in."""

    token = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    egress = False


class SecurityGroupEgressRule(_Rule):
    """What may go out."""

    token = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    egress = True


def _ports(inputs: dict[str, Any]) -> dict[str, int]:
    ports = {"FromPort": inputs.get("fromPort"), "ToPort": inputs.get("toPort")}
    return {name: port for name, port in ports.items() if port is not None}


def _permission(inputs: dict[str, Any]) -> dict[str, Any]:
    """The rule as the Authorize requests take it."""
    about = {"Description": inputs["description"]} if inputs.get("description") else {}
    permission = {"IpProtocol": inputs["ipProtocol"], **_ports(inputs)}
    if inputs.get("cidrIpv4") is not None:
        permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **about}]
    else:
        group = inputs["referencedSecurityGroupId"]
        permission["UserIdGroupPairs"] = [{"GroupId": group, **about}]
    return permission


def _rule(inputs: dict[str, Any]) -> dict[str, Any]:
    """The rule as ModifySecurityGroupRules takes it."""
    names = {
        "cidrIpv4": "CidrIpv4",
        "description": "Description",
        "referencedSecurityGroupId": "ReferencedGroupId",
    }
    given = {key: inputs[name] for name, key in names.items() if inputs.get(name) is not None}
    return {"IpProtocol": inputs["ipProtocol"], **_ports(inputs), **given}
