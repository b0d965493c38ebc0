"""SparkAccess: a service account for drivers, and the least that it has to be allowed.

In the namespace only. A driver makes, watches and ends its executors' pods; spark-submit in cluster
mode makes the driver's pod and what belongs to it. Nothing here reads Secrets; but whoever may make
pods may mount any Secret of the namespace, which is why users are kept apart by namespaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster.cluster import Cluster

# Spark applies what it makes by server-side apply: create and patch.
_MADE_AND_ENDED = ("get", "list", "watch", "create", "patch", "delete", "deletecollection")

RULES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    # Executors; in cluster mode the driver, too.
    ("", ("pods",), _MADE_AND_ENDED),
    # What cluster mode shows of its driver.
    ("", ("pods/log",), ("get",)),
    # The configuration of executors and driver; the driver's name for its executors.
    ("", ("configmaps", "services"), _MADE_AND_ENDED),
    # A driver that ends asks for claims of its executors, to remove them.
    ("", ("persistentvolumeclaims",), ("list", "deletecollection")),
    # From 4.2 on Spark makes one for each application in cluster mode.
    ("networking.k8s.io", ("networkpolicies",), _MADE_AND_ENDED),
)
"""(API group, resources, verbs) each."""


@dataclass
class AccessArgs:
    """The cluster, and the namespace where drivers run."""

    cluster: Cluster
    namespace: pulumi.Input[str]


class SparkAccess(pulumi.ComponentResource):
    """A service account with a Role and their binding; all three have the account's name.

    name: of the account, too.
    """

    def __init__(
        self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:SparkAccess", name, {}, opts)
        inside = args.cluster.options(parent=self)
        rbac = kubernetes.rbac.v1
        metadata = kubernetes.meta.v1.ObjectMetaArgs(name=name, namespace=args.namespace)
        # Its pods get its token, also those that others than this program make (spark-submit from
        # outside, an operator): only drivers have this account.
        kubernetes.core.v1.ServiceAccount(f"{name}-account", metadata=metadata, opts=inside)
        rbac.Role(
            f"{name}-role",
            metadata=metadata,
            rules=[
                rbac.PolicyRuleArgs(api_groups=[group], resources=[*resources], verbs=[*verbs])
                for group, resources, verbs in RULES
            ],
            opts=inside,
        )
        rbac.RoleBinding(
            f"{name}-role-binding",
            metadata=metadata,
            role_ref=rbac.RoleRefArgs(
                api_group="rbac.authorization.k8s.io", kind="Role", name=name
            ),
            subjects=[rbac.SubjectArgs(kind="ServiceAccount", name=name, namespace=args.namespace)],
            opts=inside,
        )
        self.register_outputs({})
