"""KubeadmBootstrap: makes a Kubernetes cluster of the nodes, by kubeadm.

    every node, side by side        control plane      each worker
    ready ┬ packages ─ containerd ─ init ─ keeper, approver
          └ disk     └ storage ───┘   └ upgrade ─ invite (there, too) ─ join ─ member (there, too)

Of upgrades upgrade.py tells. Nothing sleeps: each step waits for what it needs, with a limit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import pulumi
import pulumi_command as command

from components.cluster.backup import BACKUP, create_backup_key, keep, program
from components.cluster.cluster import Cluster, kubernetes_provider
from components.cluster.steps import read_script, run_step, same_trigger, value_of
from components.cluster.upgrade import Upgrade, UpgradeArgs
from components.engine.fixed import fixed
from components.node import Node
from components.settings import Settings
from components.settings.node_plan import taking
from submission.nodes import taint
from submission.sizes import Amount

# Where the packages come from, unless the stack names a mirror (which has the same paths).
_KUBERNETES_PACKAGES = "https://pkgs.k8s.io"
_DOCKER_PACKAGES = "https://download.docker.com"

# A name rather than an address, so that more control planes can stand behind it one day.
_ENDPOINT_NAME = "control-plane.tinderbox.internal"

# What kubeadm's own pods request: API server, controller manager, scheduler and etcd on the control
# plane, and CoreDNS.
STATIC_PODS_REQUEST = Amount(0.65, 100)
COREDNS_REQUESTS, COREDNS_PODS = Amount(0.1, 70), 2

# A worker that is replaced waits until those before it have left.
_TO_LEAVE_MINUTES = 60


class _Prepared(NamedTuple):
    """The steps after which a node is ready for kubeadm."""

    containerd: command.remote.Command
    storage: command.remote.Command


class KubeadmOutputs(TypedDict):
    """What KubeadmBootstrap registers."""

    kubeconfig: pulumi.Output[str]
    clusterIdentifier: pulumi.Output[str]


@dataclass
class KubeadmArgs:
    """The nodes, what they mount at /srv/shared (an NFS server's name), and the settings."""

    control_plane: Node
    workers: Sequence[Node]
    file_system: pulumi.Input[str]
    settings: Settings


class KubeadmBootstrap(pulumi.ComponentResource):
    """A cluster of the nodes.

    Outputs: cluster (its kubeconfig is a secret; the server in it is the public address).
    """

    cluster: Cluster

    def __init__(
        self, name: str, args: KubeadmArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:KubeadmBootstrap", name, {}, opts)
        self._args = args
        control_plane = args.control_plane
        self._as_made = fixed(
            f"{name}-cluster",
            {
                "cluster.podCidr": value_of("POD_CIDR"),
                "cluster.serviceCidr": value_of("SERVICE_CIDR"),
            },
        )

        mirror = args.settings.mirror
        self._repositories: dict[str, pulumi.Input[object]] = {
            "KUBERNETES_PACKAGES": mirror.packages or _KUBERNETES_PACKAGES,
            "DOCKER_PACKAGES": mirror.packages or _DOCKER_PACKAGES,
        }
        upgrade = Upgrade(
            UpgradeArgs(control_plane, args.settings.cluster, self._repositories, self._after)
        )
        ready = self._ready(control_plane)
        release = upgrade.release(ready)
        prepared = {control_plane.name: self._prepare(control_plane, ready, release)}
        for worker in args.workers:
            prepared[worker.name] = self._prepare(worker, self._ready(worker), release)
        self._backup_key = create_backup_key(name, pulumi.ResourceOptions(parent=self))
        init = self._init(control_plane, after=prepared[control_plane.name])
        keeper = keep(control_plane, self._backup_key, args.settings.cluster, self._after([init]))
        self._approve_serving_certificates(control_plane, after=[init])
        upgraded = upgrade.control_plane(release, after=[keeper])  # it makes a snapshot
        members = [
            self._join(worker, after_init=upgraded, after=prepared[worker.name])
            for worker in args.workers
        ]
        kubeconfig = self._read_kubeconfig(control_plane, after=[upgraded])
        self.cluster = Cluster(
            name=name,
            kubeconfig=kubeconfig,
            provider=kubernetes_provider(name, kubeconfig, control_plane.instance_id),
            control_plane=control_plane,
            storage_ready=(prepared[control_plane.name].storage,),
            workers=tuple(args.workers),
            members=tuple(upgrade.workers(args.workers, upgraded, members)),
        )
        outputs: KubeadmOutputs = {
            "kubeconfig": kubeconfig,
            "clusterIdentifier": control_plane.instance_id,
        }
        self.register_outputs(dict(outputs))

    def _after(self, resources: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=list(resources))

    def _ready(self, node: Node) -> command.remote.Command:
        return run_step(f"{node.name}-ready", node, "ready.sh", opts=self._after([]))

    def _prepare(self, node: Node, ready: pulumi.Resource, release: pulumi.Input[str]) -> _Prepared:
        """All that a node needs before kubeadm."""
        run_step(
            f"{node.name}-disk",
            node,
            "disk.sh",
            {"DISK_GIB": node.plan.disk_gib},
            opts=self._after([ready]),
        )
        packages = run_step(
            f"{node.name}-packages",
            node,
            ["release_lib.sh", "packages.sh"],
            {"RELEASE": release, **self._repositories},
            opts=self._after([ready]),
        )
        containerd = run_step(
            f"{node.name}-containerd",
            node,
            "containerd.sh",
            {"MIRROR_REGISTRY": self._args.settings.mirror.registry or ""},
            opts=self._after([packages]),
        )
        storage = run_step(
            f"{node.name}-storage",
            node,
            "storage.sh",
            {"FILE_SYSTEM": self._args.file_system},
            opts=self._after([packages]),  # it may have to install something, too
        )
        return _Prepared(containerd, storage)

    def _identity(self, node: Node) -> dict[str, pulumi.Input[object]]:
        """What kubeadm is told of a node."""
        return {
            "ENDPOINT_NAME": _ENDPOINT_NAME,
            "NODE_NAME": node.host_name,
            "NODE_IP": node.private_ip,
        }

    def _labels(self, node: Node) -> pulumi.Output[str]:
        """What a cloud controller would set, if there were one."""
        labels = {
            "node.kubernetes.io/instance-type": node.machine.instance_type,
            "topology.kubernetes.io/region": self._args.settings.aws.region or "",
        }
        if node.plan.group:  # `kubectl get nodes` shows it
            labels[f"node-role.kubernetes.io/{node.plan.group}"] = ""
        return pulumi.Output.concat(_pairs(labels, " "), " topology.kubernetes.io/zone=", node.zone)

    def _init(self, node: Node, after: Sequence[pulumi.Resource]) -> command.remote.Command:
        plans = [one.plan for one in (node, *self._args.workers)]
        return run_step(
            f"{node.name}-init",
            node,
            ["kubelet_lib.sh", BACKUP, "init.sh"],
            {
                **self._identity(node),
                "BACKUP_KEY": self._backup_key,
                "CERTIFICATE_DAYS": self._args.settings.cluster.certificate_days,
                "NODE_LABELS": self._labels(node),
                "POD_CIDR": self._args.settings.cluster.pod_cidr,
                "SERVICE_CIDR": self._args.settings.cluster.service_cidr,
                "PUBLIC_IP": node.address,
                "TAKES_WORK": str(node.plan in taking(plans)).lower(),
            },
            opts=pulumi.ResourceOptions.merge(self._as_made, self._after(after)),
        )

    def _approve_serving_certificates(
        self, node: Node, after: Sequence[pulumi.Resource]
    ) -> command.remote.Command:
        return run_step(
            f"{node.name}-approver",
            node,
            "approver.sh",
            {
                "APPROVER": read_script("approve-serving-certificates.sh"),
                "NODE_NAME": node.host_name,
                "NODE_IP": node.private_ip,
            },
            opts=self._after(after),
        )

    def _join(
        self,
        worker: Node,
        after_init: command.remote.Command,
        after: Sequence[pulumi.Resource],
    ) -> command.remote.Command:
        """The worker joins with a token of its own; leaves, drained, when it is taken away."""
        control_plane = self._args.control_plane
        # Within Kubernetes the worker goes with the cluster; draining it would only take time.
        with_cluster = pulumi.ResourceOptions(deleted_with=control_plane.instance)
        invitation = run_step(
            f"{worker.name}-invite",
            control_plane,
            ["cluster_lib.sh", "invite.sh"],
            {"WORKER": worker.host_name, "WORKER_IP": worker.private_ip},
            triggers=[worker.instance_id],
            secret_output=True,
            opts=self._after([after_init]),
        )
        token = pulumi.Output.secret(invitation.stdout)
        join = run_step(
            f"{worker.name}-join",
            worker,
            ["kubelet_lib.sh", "join.sh"],
            {
                **self._identity(worker),
                "ENDPOINT_IP": control_plane.private_ip,
                "CONTROL_PLANE": control_plane.instance_id,
                "JOIN": token,
                # From its first moment: what comes later may be after the first pods.
                "LABELS": _pairs(worker.plan.own_labels, ","),
                "TAINTS": json.dumps([taint(text) for text in worker.plan.taints]),
            },
            triggers=[control_plane.instance_id],
            # Another control plane may be the same cluster: the script sees it.
            opts=pulumi.ResourceOptions.merge(self._after(after), same_trigger(1)),
        )
        if worker.plan.spot:
            run_step(
                f"{worker.name}-notice",
                worker,
                "notice.sh",
                {"NOTICE": program("spot-notice.sh"), "NODE_NAME": worker.host_name},
                opts=self._after([join]),
            )
        return run_step(
            f"{worker.name}-member",
            control_plane,
            ["cluster_lib.sh", "drain_lib.sh", "member.sh"],
            {
                "WORKER": worker.host_name,
                "INSTANCE": worker.instance_id,
                "JOIN": token,
                "NODE_LABELS": self._labels(worker),
                "LABELS": _pairs(worker.plan.own_labels, " "),
                "TAINTS": " ".join(worker.plan.taints),
            },
            undoes=True,
            undo_minutes=_TO_LEAVE_MINUTES,
            triggers=[worker.instance_id],
            # With another control plane nobody leaves: its undoing would drain the worker there.
            opts=pulumi.ResourceOptions.merge(
                self._after([join]), pulumi.ResourceOptions.merge(with_cluster, same_trigger(0))
            ),
        )

    def _read_kubeconfig(self, node: Node, after: Sequence[pulumi.Resource]) -> pulumi.Output[str]:
        """The operator's, with the public address; the name in it is known only inside."""
        read = run_step(
            f"{node.name}-kubeconfig",
            node,
            "kubeconfig.sh",
            {
                "ENDPOINT_NAME": _ENDPOINT_NAME,
                "PUBLIC_IP": node.address,
                "OPERATOR": self._args.settings.cluster.operator,
            },
            secret_output=True,
            opts=self._after(after),
        )
        return pulumi.Output.secret(read.stdout)


def _pairs(labels: Mapping[str, str], between: str) -> str:
    return between.join(f"{key}={value}" for key, value in labels.items())
