"""ClusterAddons: what a kubeadm cluster lacks: a pod network (flannel) and metrics-server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster.cluster import Cluster
from components.cluster.steps import run_step
from components.engine.leftovers import drop_pending
from components.settings import Settings
from submission.sizes import Amount

_FLANNEL = ("flannel", "v0.28.4", "https://flannel-io.github.io/flannel/")
_METRICS_SERVER = (
    "metrics-server",
    "3.13.1",
    "https://kubernetes-sigs.github.io/metrics-server/",
)
# The chart's, and that it looks once a minute whether its rules are there, not every five seconds:
# that starts iptables for each rule.
_FLANNEL_ARGS = ["--ip-masq", "--kube-subnet-mgr", "--iptables-resync=60"]
# What their pods request, by the charts' own values (tests/charts/test_fit.py).
FLANNEL_REQUESTS = Amount(0.1, 50)
METRICS_SERVER_REQUESTS = Amount(0.1, 200)
# Where every pod finds the CA that signs the kubelets' serving certificates.
_CLUSTER_CA = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"


class AddonsOutputs(TypedDict):
    """What ClusterAddons registers."""

    flannel: pulumi.Output[str]
    metricsServer: pulumi.Output[str]


@dataclass
class AddonsArgs:
    """The cluster, and the settings that count here."""

    cluster: Cluster
    settings: Settings


class ClusterAddons(pulumi.ComponentResource):
    """flannel and metrics-server from their own charts, unchanged.

    Outputs: ready, what to wait for before pods that need the network and the nodes.
    """

    ready: list[pulumi.Resource]

    def __init__(
        self, name: str, args: AddonsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:ClusterAddons", name, {}, opts)
        self._args = args
        flannel = self._release(
            _FLANNEL,
            namespace="kube-flannel",
            values={"podCidr": args.settings.cluster.pod_cidr, "flannel": {"args": _FLANNEL_ARGS}},
        )
        metrics_server = self._release(
            _METRICS_SERVER,
            namespace="kube-system",
            values={
                "image": {"tag": "v0.9.0"},
                "defaultArgs": [
                    "--cert-dir=/tmp",
                    "--kubelet-preferred-address-types=InternalIP",
                    "--kubelet-use-node-status-port",
                    "--metric-resolution=15s",
                    # Kubelets prove who they are by certificates of the cluster's CA.
                    f"--kubelet-certificate-authority={_CLUSTER_CA}",
                ],
                # Ready after two looks at the kubelets: the chart asks at 20 s, 30, 40 ...
                "readinessProbe": {"initialDelaySeconds": 15, "periodSeconds": 5},
            },
            depends_on=[flannel],
        )
        self.ready = [flannel, *self._nodes_ready(flannel)]
        outputs: AddonsOutputs = {
            "flannel": flannel.status.status,
            "metricsServer": metrics_server.status.status,
        }
        self.register_outputs(dict(outputs))

    def _nodes_ready(self, flannel: pulumi.Resource) -> list[pulumi.Resource]:
        """Pods that start before the last worker is ready would crowd on the first ones."""
        cluster = self._args.cluster
        if cluster.control_plane is None:
            return []
        others = (*cluster.peers, *cluster.workers)
        names = [node.host_name for node in (cluster.control_plane, *others)]
        return [
            run_step(
                f"{cluster.name}-nodes-ready",
                cluster.control_plane,
                "nodes_ready.sh",
                {
                    "NODES": pulumi.Output.all(*names).apply(
                        lambda known: " ".join(f"node/{name}" for name in known)
                    )
                },
                triggers=[node.instance_id for node in others],
                opts=pulumi.ResourceOptions(parent=self, depends_on=[flannel, *cluster.members]),
            )
        ]

    def _release(
        self,
        chart: tuple[str, str, str],
        namespace: str,
        values: dict[str, pulumi.Input[object]],
        depends_on: list[pulumi.Resource] | None = None,
    ) -> kubernetes.helm.v3.Release:
        name, version, repository = chart
        mirror = self._args.settings.mirror.charts
        return kubernetes.helm.v3.Release(
            name,
            name=name,
            chart=name,
            version=version,
            repository_opts=kubernetes.helm.v3.RepositoryOptsArgs(
                repo=f"{mirror}/{name}" if mirror else repository
            ),
            namespace=namespace,
            create_namespace=True,
            values=values,
            atomic=True,
            timeout=600,
            opts=self._args.cluster.options(parent=self, depends_on=depends_on, mend=drop_pending),
        )
