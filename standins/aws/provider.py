"""The provider: its configuration, resources and functions."""

from __future__ import annotations

from typing import Any

from standins.aws import functions
from standins.aws.account import AwsAccount
from standins.aws.addresses import Eip, EipAssociation
from standins.aws.balancers import Listener, LoadBalancer, TargetGroup, TargetGroupAttachment
from standins.aws.efs import FileSystem, MountTarget
from standins.aws.instances import Instance
from standins.aws.keys import KeyPair
from standins.aws.network import InternetGateway, Subnet, Vpc
from standins.aws.routes import Route, RouteTable, RouteTableAssociation
from standins.aws.security import SecurityGroup, SecurityGroupEgressRule, SecurityGroupIngressRule
from standins.base import Call, Failure

# Of `endpoints`, these services count; a stand-in has no business with others.
_SERVICES = ("ec2", "efs", "elbv2", "sts")


class AwsProvider(AwsAccount):
    """Stand-in of pulumi-aws, at the version of the installed SDK."""

    config_types = {
        "accessKey": str,
        "defaultTags": dict,
        "endpoints": list,
        "region": str,
        "secretKey": str,
        "skipCredentialsValidation": bool,
        "skipMetadataApiCheck": bool,
        "skipRegionValidation": bool,
    }
    # What a provider made lies in its region: another region is another set of resources.
    replacing_config = frozenset({"region"})
    handlers = (
        Vpc,
        InternetGateway,
        Subnet,
        RouteTable,
        Route,
        RouteTableAssociation,
        SecurityGroup,
        SecurityGroupIngressRule,
        SecurityGroupEgressRule,
        KeyPair,
        Instance,
        Eip,
        EipAssociation,
        FileSystem,
        MountTarget,
        LoadBalancer,
        TargetGroup,
        TargetGroupAttachment,
        Listener,
    )

    def __init__(self) -> None:
        super().__init__()
        self.functions = functions.of(self)

    def check_config(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        inputs, failures = super().check_config(call)
        config = self.decode_config(inputs)
        for endpoint in _known(config.get("endpoints"), []):
            for service in sorted(set(endpoint) - set(_SERVICES)):
                if endpoint[service] is not None:
                    failures.append(Failure("endpoints", self.refusal(f"endpoint {service}")))
        for name in sorted(set(_known(config.get("defaultTags"), {})) - {"tags"}):
            failures.append(Failure("defaultTags", self.refusal(f"defaultTags.{name}")))
        return inputs, failures


def _known(value: Any, otherwise: Any) -> Any:
    """`value` if it is of the type of `otherwise`; it may be absent, or not known yet."""
    return value if isinstance(value, type(otherwise)) else otherwise
