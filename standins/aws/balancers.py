"""lb.LoadBalancer, TargetGroup, TargetGroupAttachment, Listener: of network load balancers."""

from __future__ import annotations

from typing import Any

from standins.aws.api import error_code, is_gone
from standins.aws.resource import AwsResource, from_tag_list, to_tag_list
from standins.base import Call, Failure, unique_name

# What AWS takes.
_NAME_LENGTH = 32
_TERMINATES, _DELAY, _PRESERVES = (
    "deregistration_delay.connection_termination.enabled",
    "deregistration_delay.timeout_seconds",
    "preserve_client_ip.enabled",
)


class _Tagged(AwsResource):
    """What elbv2 tags by its ARN, which is the id."""

    tag_kind = "elbv2"

    def _tags(self, arn: str) -> dict[str, str]:
        found = self.provider.api.elbv2.describe_tags(ResourceArns=[arn])["TagDescriptions"]
        return from_tag_list(found[0]["Tags"]) if found else {}

    def _made_with(self, call: Call) -> dict[str, Any]:
        tags = to_tag_list(call.inputs.get("tagsAll") or {})
        return {"Tags": tags} if tags else {}

    def tag(self, call: Call, tags: dict[str, str]) -> None:
        self.provider.api.elbv2.add_tags(ResourceArns=[call.id], Tags=to_tag_list(tags))

    def untag(self, call: Call, keys: list[str]) -> None:
        self.provider.api.elbv2.remove_tags(ResourceArns=[call.id], TagKeys=keys)


class _Named(_Tagged):
    """What has a name of its own, made from a prefix."""

    def check(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        inputs, failures = super().check(call)
        prefix = inputs.get("namePrefix")
        if isinstance(prefix, str) and len(prefix) > 6:
            failures.append(Failure("namePrefix", "cannot be longer than 6 characters"))
        return inputs, failures

    def _name(self, call: Call) -> str:
        """As AWS's provider makes it: the prefix, and what is nobody else's."""
        unique = unique_name(call, digits=26).rpartition("-")[2]
        return f"{call.inputs['namePrefix']}{unique}"[:_NAME_LENGTH]


class LoadBalancer(_Named):
    """A network load balancer in subnets, with or without an address of the program's own."""

    token = "aws:lb/loadBalancer:LoadBalancer"
    inputs = frozenset(
        {"internal", "loadBalancerType", "namePrefix", "securityGroups", "subnetMappings", "tags"}
    )
    required = frozenset({"loadBalancerType", "namePrefix", "subnetMappings"})
    defaults = {"internal": False, "enableDeletionProtection": False, "ipAddressType": "ipv4"}
    force_new = frozenset({"internal", "loadBalancerType", "namePrefix", "subnetMappings"})
    unordered = frozenset({"securityGroups"})
    outputs = frozenset(
        {"arn", "arnSuffix", "dnsName", "name", "securityGroups", "subnets", "vpcId", "zoneId"}
    )

    def make(self, call: Call) -> str:
        wanted = call.inputs
        made = self.provider.api.elbv2.create_load_balancer(
            Name=self._name(call),
            Type=wanted["loadBalancerType"],
            Scheme="internal" if wanted["internal"] else "internet-facing",
            IpAddressType=wanted["ipAddressType"],
            SubnetMappings=[
                {
                    "SubnetId": one["subnetId"],
                    **({"AllocationId": one["allocationId"]} if "allocationId" in one else {}),
                }
                for one in wanted["subnetMappings"]
            ],
            SecurityGroups=wanted.get("securityGroups") or [],
            **self._made_with(call),
        )
        return made["LoadBalancers"][0]["LoadBalancerArn"]

    def settle(self, call: Call, resource_id: str) -> None:
        def active() -> bool | None:
            found = self._found(resource_id)
            return True if found and found["State"]["Code"] == "active" else None

        call.wait_for(f"{resource_id} to be active", active, 600.0)

    def change(self, call: Call) -> None:
        groups = call.inputs.get("securityGroups") or []
        if groups != call.state.get("securityGroups"):
            self.provider.api.elbv2.set_security_groups(
                LoadBalancerArn=call.id, SecurityGroups=groups
            )

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        found = self._found(resource_id)
        if found is None:
            return None
        return {
            "arn": resource_id,
            "arnSuffix": resource_id.partition(":loadbalancer/")[2],
            "dnsName": found["DNSName"],
            "internal": found["Scheme"] == "internal",
            "ipAddressType": found.get("IpAddressType", "ipv4"),
            "loadBalancerType": found["Type"],
            "name": found["LoadBalancerName"],
            "securityGroups": found.get("SecurityGroups") or [],
            "subnets": [one["SubnetId"] for one in found["AvailabilityZones"]],
            "tagsAll": self._tags(resource_id),
            "vpcId": found["VpcId"],
            "zoneId": found.get("CanonicalHostedZoneId") or "",
        }

    def remove(self, call: Call) -> None:
        self.provider.api.elbv2.delete_load_balancer(LoadBalancerArn=call.id)

    def delete(self, call: Call) -> None:
        super().delete(call)
        gone = lambda: True if self._found(call.id) is None else None  # noqa: E731
        call.wait_for(f"{call.id} to be gone", gone, 600.0)

    def _found(self, arn: str) -> dict[str, Any] | None:
        try:
            answer = self.provider.api.elbv2.describe_load_balancers(LoadBalancerArns=[arn])
        except Exception as error:
            if is_gone(error):
                return None
            raise
        return next(iter(answer["LoadBalancers"]), None)


class TargetGroup(_Named):
    """Instances, and how it is seen that one of them is well."""

    token = "aws:lb/targetGroup:TargetGroup"
    inputs = frozenset(
        {
            "connectionTermination",
            "deregistrationDelay",
            "healthCheck",
            "namePrefix",
            "port",
            "preserveClientIp",
            "protocol",
            "tags",
            "targetType",
            "vpcId",
        }
    )
    required = frozenset({"healthCheck", "namePrefix", "port", "protocol", "vpcId"})
    defaults = {"deregistrationDelay": 300, "targetType": "instance"}
    force_new = frozenset({"namePrefix", "port", "protocol", "targetType", "vpcId"})
    outputs = frozenset({"arn", "arnSuffix", "ipAddressType", "loadBalancerArns", "name"})

    def make(self, call: Call) -> str:
        wanted = call.inputs
        made = self.provider.api.elbv2.create_target_group(
            Name=self._name(call),
            Port=int(wanted["port"]),
            Protocol=wanted["protocol"],
            TargetType=wanted["targetType"],
            VpcId=wanted["vpcId"],
            **_health_check(wanted["healthCheck"]),
            **self._made_with(call),
        )
        arn = made["TargetGroups"][0]["TargetGroupArn"]
        self._set_attributes(arn, wanted)
        return arn

    def _set_attributes(self, arn: str, wanted: dict[str, Any]) -> None:
        given = {
            _DELAY: str(int(wanted["deregistrationDelay"])),
            _TERMINATES: str(bool(wanted.get("connectionTermination"))).lower(),
        }
        if "preserveClientIp" in wanted:
            given[_PRESERVES] = wanted["preserveClientIp"]
        self.provider.api.elbv2.modify_target_group_attributes(
            TargetGroupArn=arn, Attributes=to_tag_list(given)
        )

    def change(self, call: Call) -> None:
        checked = _health_check(call.inputs["healthCheck"])
        self.provider.api.elbv2.modify_target_group(TargetGroupArn=call.id, **checked)
        self._set_attributes(call.id, call.inputs)

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        elbv2 = self.provider.api.elbv2
        try:
            answer = elbv2.describe_target_groups(TargetGroupArns=[resource_id])
        except Exception as error:
            if is_gone(error):
                return None
            raise
        found = answer["TargetGroups"][0]
        told = elbv2.describe_target_group_attributes(TargetGroupArn=resource_id)["Attributes"]
        attributes = {one["Key"]: one["Value"] for one in told}
        return {
            "arn": resource_id,
            "arnSuffix": resource_id.rpartition(":")[2],
            "connectionTermination": attributes.get(_TERMINATES) == "true",
            "deregistrationDelay": int(attributes[_DELAY]),
            "healthCheck": {
                "enabled": found["HealthCheckEnabled"],
                "healthyThreshold": found["HealthyThresholdCount"],
                "interval": found["HealthCheckIntervalSeconds"],
                "matcher": (found.get("Matcher") or {}).get("HttpCode", ""),
                "path": found.get("HealthCheckPath", ""),
                "port": found["HealthCheckPort"],
                "protocol": found["HealthCheckProtocol"],
                "timeout": found["HealthCheckTimeoutSeconds"],
                "unhealthyThreshold": found["UnhealthyThresholdCount"],
            },
            "ipAddressType": found.get("IpAddressType", "ipv4"),
            "loadBalancerArns": found.get("LoadBalancerArns", []),
            "name": found["TargetGroupName"],
            "port": found["Port"],
            "preserveClientIp": attributes.get(_PRESERVES, ""),
            "protocol": found["Protocol"],
            "tagsAll": self._tags(resource_id),
            "targetType": found["TargetType"],
            "vpcId": found["VpcId"],
        }

    def remove(self, call: Call) -> None:
        self.provider.api.elbv2.delete_target_group(TargetGroupArn=call.id)


def _health_check(wanted: dict[str, Any]) -> dict[str, Any]:
    """As AWS's API takes it."""
    names = {
        "protocol": "HealthCheckProtocol",
        "path": "HealthCheckPath",
        "port": "HealthCheckPort",
        "interval": "HealthCheckIntervalSeconds",
        "timeout": "HealthCheckTimeoutSeconds",
        "healthyThreshold": "HealthyThresholdCount",
        "unhealthyThreshold": "UnhealthyThresholdCount",
    }
    return {
        names[key]: int(value) if isinstance(value, float) else value
        for key, value in wanted.items()
    }


class TargetGroupAttachment(AwsResource):
    """One instance of a target group."""

    token = "aws:lb/targetGroupAttachment:TargetGroupAttachment"
    inputs = frozenset({"port", "targetGroupArn", "targetId"})
    required = frozenset({"targetGroupArn", "targetId"})
    force_new = inputs

    def make(self, call: Call) -> str:
        self.provider.api.elbv2.register_targets(
            TargetGroupArn=call.inputs["targetGroupArn"], Targets=[_target(call.inputs)]
        )
        unique = unique_name(call, digits=26).rpartition("-")[2]
        return f"{call.inputs['targetGroupArn']}-{unique}"

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        known = call.inputs or call.state
        found = self.provider.api.elbv2.describe_target_health(
            TargetGroupArn=known["targetGroupArn"], Targets=[_target(known)]
        )["TargetHealthDescriptions"]
        # One that is not there is told of as well, and so is one that has ended.
        gone = ("Target.NotRegistered", "Target.DeregistrationInProgress")
        if not found or found[0]["TargetHealth"].get("Reason") in gone:
            return None
        return {name: known[name] for name in self.inputs if name in known}

    def remove(self, call: Call) -> None:
        try:
            self.provider.api.elbv2.deregister_targets(
                TargetGroupArn=call.state["targetGroupArn"], Targets=[_target(call.state)]
            )
        except Exception as error:
            if error_code(error) != "InvalidTarget":  # it has ended, or is none any more
                raise


def _target(known: dict[str, Any]) -> dict[str, Any]:
    return {
        "Id": known["targetId"],
        **({"Port": int(known["port"])} if known.get("port") is not None else {}),
    }


class Listener(_Tagged):
    """A port of a load balancer, and the target group that it leads to."""

    token = "aws:lb/listener:Listener"
    inputs = frozenset({"defaultActions", "loadBalancerArn", "port", "protocol", "tags"})
    required = frozenset({"defaultActions", "loadBalancerArn", "port", "protocol"})
    force_new = frozenset({"loadBalancerArn"})
    outputs = frozenset({"arn"})

    def make(self, call: Call) -> str:
        made = self.provider.api.elbv2.create_listener(
            LoadBalancerArn=call.inputs["loadBalancerArn"],
            **_listens(call.inputs),
            **self._made_with(call),
        )
        return made["Listeners"][0]["ListenerArn"]

    def change(self, call: Call) -> None:
        self.provider.api.elbv2.modify_listener(ListenerArn=call.id, **_listens(call.inputs))

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        found = self.provider.api.elbv2.describe_listeners(ListenerArns=[resource_id])["Listeners"]
        if not found:
            return None
        return {
            "arn": resource_id,
            "defaultActions": [
                {"type": one["Type"], "targetGroupArn": one["TargetGroupArn"]}
                for one in found[0]["DefaultActions"]
            ],
            "loadBalancerArn": found[0]["LoadBalancerArn"],
            "port": found[0]["Port"],
            "protocol": found[0]["Protocol"],
            "tagsAll": self._tags(resource_id),
        }

    def remove(self, call: Call) -> None:
        self.provider.api.elbv2.delete_listener(ListenerArn=call.id)


def _listens(wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        "Port": int(wanted["port"]),
        "Protocol": wanted["protocol"],
        "DefaultActions": [
            {"Type": one["type"], "TargetGroupArn": one["targetGroupArn"]}
            for one in wanted["defaultActions"]
        ],
    }
