"""KubeadmBootstrap: makes a Kubernetes cluster of the nodes, by kubeadm.

    every node, side by side        control plane      each worker
    ready ┬ packages ─ containerd ─ init ─ keeper, approver
          └ disk     └ storage ───┘   └ upgrade ─ invite (there, too) ─ join ─ member (there, too)

Of upgrades upgrade.py tells. Nothing sleeps: each step waits for what it needs, with a limit.

Of several control planes the first is what the one is. The others come after it, one by one; each
has the same steps, of which `init` finds a cluster that lives and joins it:

    first: upgrade ─ balancer, balanced ─ member (on the first) ─ second: init ─ keeper ─ …
                                        … ─ admit (on the first) ┬ balancer
                                                                 └ third: member ─ …

Another number of them on a cluster that stands is the same: what all call the API by is a name, and
what the name leads to are these steps' values. Of fewer, Pulumi deletes last: by then all have
turned to where the API is to be, and each `member` that goes lets its node go, the last one first.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import pulumi
import pulumi_command as command

from components.cluster.backup import BACKUP, create_backup_key, keep, program
from components.cluster.cluster import Cluster, kubernetes_provider
from components.cluster.steps import read_script, run_step, same_trigger, value_of
from components.cluster.upgrade import Upgrade, UpgradeArgs
from components.engine.fixed import fixed, told
from components.node import Balancer, Node
from components.settings import Settings
from components.settings.node_plan import taking
from submission.nodes import taint
from submission.sizes import Amount

# Where the packages come from, unless the stack names a mirror (which has the same paths).
_KUBERNETES_PACKAGES = "https://pkgs.k8s.io"
_DOCKER_PACKAGES = "https://download.docker.com"

# A name rather than an address: what it leads to depends on who asks, and on how many there are.
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
    """The nodes, what they mount at /srv/shared (an NFS server's address), and the settings.

    peers: control planes besides the first. balancer: what stands before them all; None before one.
    images: what pods on workers will ask for, pulled as soon as there is something to pull with.
    """

    control_plane: Node
    workers: Sequence[Node]
    file_system: pulumi.Input[str]
    settings: Settings
    peers: Sequence[Node] = ()
    balancer: Balancer | None = None
    images: Sequence[str] = ()


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
        wanted = 1 + len(args.peers)
        self._counted = told(
            f"{name}-control-planes", _control_planes, wanted, lambda was: _becomes(was, wanted)
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
        for other in (*args.peers, *args.workers):
            prepared[other.name] = self._prepare(other, self._ready(other), release)
        if args.images:
            for worker in args.workers:
                self._pull(worker, after=[prepared[worker.name].containerd])
        self._backup_key = create_backup_key(name, pulumi.ResourceOptions(parent=self))
        init = self._init(control_plane, after=prepared[control_plane.name], opts=self._counted)
        keeper = self._keep(control_plane, init)
        self._approve_serving_certificates(control_plane, after=[init])
        upgraded = upgrade.control_plane(release, after=[keeper])  # it makes a snapshot
        answers: list[pulumi.Resource] = [upgraded]
        if args.balancer is not None:
            answers += args.balancer.lead_to(control_plane, answers)
            answers.append(self._wait_for_balancer(control_plane, args.balancer, answers))
        peers: list[pulumi.Resource] = []
        for peer in args.peers:
            before = [*answers, *prepared[peer.name], *peers[-1:]]
            peers.append(self._join_peer(peer, after=before))
        members = [
            self._join(worker, after_init=answers, after=prepared[worker.name])
            for worker in args.workers
        ]
        kubeconfig = self._read_kubeconfig(control_plane, after=answers)
        self.cluster = Cluster(
            name=name,
            kubeconfig=kubeconfig,
            provider=kubernetes_provider(name, kubeconfig, control_plane.instance_id),
            control_plane=control_plane,
            storage_ready=(prepared[control_plane.name].storage,),
            workers=tuple(args.workers),
            members=tuple(
                upgrade.others([*args.peers, *args.workers], upgraded, [*peers, *members])
            ),
            peers=tuple(args.peers),
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

    def _pull(self, node: Node, after: Sequence[pulumi.Resource]) -> None:
        """Nothing waits for it."""
        images = " ".join(self._args.images)
        run_step(
            f"{node.name}-images", node, "images.sh", {"IMAGES": images}, opts=self._after(after)
        )

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

    def _known_peers(self) -> dict[str, pulumi.Input[object]]:
        """For steps that have to know all control planes; nothing where there is one."""
        if self._args.balancer is None:
            return {}
        known = [
            pulumi.Output.concat(node.host_name, "=", node.private_ip)
            for node in (self._args.control_plane, *self._args.peers)
        ]
        return {"CONTROL_PLANES": pulumi.Output.all(*known).apply(" ".join)}

    def _public(self, node: Node) -> pulumi.Output[str]:
        """Where the operator reaches the API."""
        return node.address if self._args.balancer is None else self._args.balancer.address

    def _init(
        self,
        node: Node,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> command.remote.Command:
        args = self._args
        plans = [one.plan for one in (args.control_plane, *args.peers, *args.workers)]
        return run_step(
            f"{node.name}-init",
            node,
            ["kubelet_lib.sh", BACKUP, "etcd_lib.sh", "peers_lib.sh", "init.sh"],
            {
                **self._identity(node),
                "BACKUP_KEY": self._backup_key,
                "CERTIFICATE_DAYS": self._args.settings.cluster.certificate_days,
                "NODE_LABELS": self._labels(node),
                "POD_CIDR": self._args.settings.cluster.pod_cidr,
                "SERVICE_CIDR": self._args.settings.cluster.service_cidr,
                "PUBLIC_IP": self._public(node),
                "TAKES_WORK": str(node.plan in taking(plans)).lower(),
                **self._known_peers(),
            },
            opts=functools.reduce(
                pulumi.ResourceOptions.merge, (self._as_made, self._after(after), opts)
            ),
        )

    def _wait_for_balancer(
        self, node: Node, balancer: Balancer, after: Sequence[pulumi.Resource]
    ) -> command.remote.Command:
        """Workers of a cluster that stands turn to it: by then it has to lead to the first one."""
        return run_step(
            f"{node.name}-balanced",
            node,
            "balanced.sh",
            {"ENDPOINT_NAME": _ENDPOINT_NAME, "BALANCER": balancer.inside},
            opts=self._after(after),
        )

    def _keep(self, node: Node, init: pulumi.Resource) -> command.remote.Command:
        settings, has_peers = self._args.settings.cluster, self._args.balancer is not None
        return keep(node, self._backup_key, settings, self._after([init]), has_peers=has_peers)

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
                **self._known_peers(),
            },
            opts=self._after(after),
        )

    def _join_peer(self, peer: Node, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Another control plane joins; leaves, as a member of etcd too, when it is taken away."""
        args = self._args
        assert args.balancer is not None, "there is one before several control planes"
        known = {"PEER": peer.host_name, "PEER_IP": peer.private_ip, "INSTANCE": peer.instance_id}
        # Before it joins: whatever comes in between, what lets it go is there.
        member = run_step(
            f"{peer.name}-member",
            args.control_plane,
            ["drain_lib.sh", BACKUP, "etcd_lib.sh", "peer.sh"],
            known,
            undoes=True,
            triggers=[peer.instance_id],
            opts=pulumi.ResourceOptions.merge(
                self._after(after),
                pulumi.ResourceOptions.merge(
                    pulumi.ResourceOptions(deleted_with=args.control_plane.instance),
                    same_trigger(0),
                ),
            ),
        )
        keeper = self._keep(peer, self._init(peer, [*after, member]))
        admitted = run_step(
            f"{peer.name}-admit",
            args.control_plane,
            [BACKUP, "etcd_lib.sh", "admit.sh"],
            known,
            triggers=[peer.instance_id],
            opts=pulumi.ResourceOptions.merge(self._after([keeper]), same_trigger(0)),
        )
        # Before it leaves nobody is led there any more.
        args.balancer.lead_to(peer, after=[admitted])
        return admitted

    def _join(
        self,
        worker: Node,
        after_init: Sequence[pulumi.Resource],
        after: Sequence[pulumi.Resource],
    ) -> command.remote.Command:
        """The worker joins with a token of its own; leaves, drained, when it is taken away."""
        control_plane, balancer = self._args.control_plane, self._args.balancer
        # Within Kubernetes the worker goes with the cluster; draining it would only take time.
        with_cluster = pulumi.ResourceOptions(deleted_with=control_plane.instance)
        invitation = run_step(
            f"{worker.name}-invite",
            control_plane,
            ["cluster_lib.sh", "invite.sh"],
            {"WORKER": worker.host_name, "WORKER_IP": worker.private_ip},
            triggers=[worker.instance_id],
            secret_output=True,
            opts=self._after(after_init),
        )
        token = pulumi.Output.secret(invitation.stdout)
        join = run_step(
            f"{worker.name}-join",
            worker,
            ["kubelet_lib.sh", "join.sh"],
            {
                **self._identity(worker),
                "ENDPOINT_IP": control_plane.private_ip if balancer is None else balancer.inside,
                "CONTROL_PLANE": control_plane.instance_id if balancer is None else balancer.inside,
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
                "PUBLIC_IP": self._public(node),
                "OPERATOR": self._args.settings.cluster.operator,
            },
            secret_output=True,
            opts=self._after(after),
        )
        return pulumi.Output.secret(read.stdout)


def _pairs(labels: Mapping[str, str], between: str) -> str:
    return between.join(f"{key}={value}" for key, value in labels.items())


def _becomes(was: int, wanted: int) -> str:
    """What another number of control planes means."""
    how = "more join, one by one"
    if was > wanted:
        how = "the others leave, one by one, when nobody asks them any more"
    says = f"nodes.controlPlanes: {was} becomes {wanted}; {how}"
    if 1 in (was, wanted):
        says += "; the API's address for operators is another one then, and so is the kubeconfig"
    return says


def _control_planes(inputs: Mapping[str, Any]) -> int | None:
    """How many the step of the first one was told of."""
    if not isinstance(inputs.get("stdin"), str):
        return None
    told = value_of("CONTROL_PLANES")(inputs)
    return 1 if told is None else len(str(told).split())
