"""Cluster: what the parts inside Kubernetes need of it, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.engine.leftovers import Mend, hooks
from components.node import Node
from components.settings.kubeconfig import current
from components.settings.node_plan import taking


@dataclass(frozen=True)
class Cluster:
    """A cluster to put things into.

    control_plane: the node, where the stack made the cluster; None for one that exists. peers: the
    control planes besides.
    storage_ready: what to wait for before /srv/shared on the control plane is used.
    workers, members: the worker nodes, and what to wait for until they have joined.
    """

    name: str
    kubeconfig: pulumi.Output[str]
    provider: kubernetes.Provider
    control_plane: Node | None = None
    storage_ready: tuple[pulumi.Resource, ...] = ()
    workers: tuple[Node, ...] = ()
    members: tuple[pulumi.Resource, ...] = ()
    peers: tuple[Node, ...] = ()

    @property
    def worker_count(self) -> int | None:
        """How many nodes take any pod; None where that is not the stack's to say."""
        if self.control_plane is None:
            return None
        nodes = (self.control_plane, *self.peers, *self.workers)
        return len(taking([node.plan for node in nodes]))

    def options(
        self,
        parent: pulumi.Resource | None = None,
        depends_on: list[pulumi.Resource] | None = None,
        mend: Mend | None = None,
    ) -> pulumi.ResourceOptions:
        """For all that is inside: it goes with the control plane.

        So a cluster that no longer answers can't hold up a destroy. mend: what is to be put right
        before the resource is created or updated (leftovers.py).
        """
        return pulumi.ResourceOptions(
            parent=parent,
            provider=self.provider,
            depends_on=depends_on,
            deleted_with=self.control_plane.instance if self.control_plane else None,
            hooks=None if mend is None else hooks(self.kubeconfig, mend),
        )


def kubernetes_provider(
    name: str, kubeconfig: pulumi.Input[str], identifier: pulumi.Input[str] | None = None
) -> kubernetes.Provider:
    """The provider of all that is inside a cluster.

    identifier: of the stack's own cluster; it stays what it was at the beginning, since a cluster
    outlives its control plane (backup.py), and so nothing inside is made anew. None: the provider
    itself compares server and CA of the clusters.
    """
    own = identifier is not None
    return kubernetes.Provider(
        f"{name}-kubernetes",
        kubeconfig=kubeconfig,
        cluster_identifier=identifier,
        # A refresh while the control plane is lost leaves what is inside in the state.
        skip_update_unreachable=True if own else None,
        opts=pulumi.ResourceOptions(ignore_changes=["clusterIdentifier"] if own else None),
    )


def existing_cluster(name: str, kubeconfig: str) -> Cluster:
    """The cluster of the kubeconfig's current context; nothing of AWS is made for it."""
    content = pulumi.Output.secret(current(kubeconfig))
    return Cluster(name, content, kubernetes_provider(name, content))
