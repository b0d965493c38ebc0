"""OpexRelease: what the namespaces use and cost (charts/opex), in a namespace of its own.

Nothing depends on it: where it fails, the rest of the stack stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any, TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.charts import describe_chart
from components.cluster.cluster import Cluster
from components.cluster.volume import SharedVolume, VolumeArgs
from components.engine.leftovers import drop_pending
from components.settings import Settings
from components.settings.node_plan import node_plans

# The chart names its objects after the release.
_RELEASE = "opex"
_FOLDER = "opex"  # storage.sh makes it
_SIZE_GIB = 2
# As kube-resource-report has it; what it shows of an hour is the month's price divided by it.
HOURS_PER_MONTH = 24 * 30.4375


class OpexOutputs(TypedDict):
    """What OpexRelease registers."""

    result: pulumi.Output[dict[str, Any]]


@dataclass
class OpexArgs:
    """The cluster, the settings that count here, and what pods have to wait for."""

    cluster: Cluster
    settings: Settings
    depends_on: list[pulumi.Resource]


class OpexRelease(pulumi.ComponentResource):
    """The engine that `opex.engine` names; ready once it answers and lists the nodes.

    Outputs: result, {engine, url, command, namespace, service, hourlyRate}: url is the engine's
    page inside the cluster; command forwards a port to it and prints the address; hourlyRate is
    that of all nodes in USD, or None.
    """

    result: pulumi.Output[dict[str, Any]]

    def __init__(
        self, name: str, args: OpexArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:OpexRelease", name, {}, opts)
        settings = args.settings
        namespace = kubernetes.core.v1.Namespace(
            "opex-namespace",
            metadata={
                "name": "opex",
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
            opts=args.cluster.options(parent=self),
        )
        volume = SharedVolume(
            "opex",
            VolumeArgs(
                cluster=args.cluster,
                namespace=namespace.metadata.name,
                settings=settings.storage,
                folder=_FOLDER,
                size_gib=_SIZE_GIB,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        release = kubernetes.helm.v3.Release(
            "opex",
            name=_RELEASE,
            chart=settings.opex.chart,
            description=describe_chart(settings.opex.chart),
            namespace=namespace.metadata.name,
            values=opex_values(settings, volume.claim_name),
            atomic=True,
            timeout=600,
            opts=args.cluster.options(parent=self, depends_on=args.depends_on, mend=drop_pending),
        )
        self.result = pulumi.Output.all(release.status.name, namespace.metadata.name).apply(
            lambda known: {
                "engine": settings.opex.engine,
                "url": f"http://{known[0]}.{known[1]}.svc",
                "command": f"make opex-forward STACK={pulumi.get_stack()}",
                "namespace": known[1],
                "service": known[0],
                "hourlyRate": hourly_rate(settings),
            }
        )
        outputs: OpexOutputs = {"result": self.result}
        self.register_outputs(dict(outputs))


def hourly_rate(settings: Settings) -> float | None:
    """USD an hour for all nodes; None where no price is set."""
    prices = [plan.price for plan in node_plans(settings) if plan.price is not None]
    is_known = len(prices) == len(node_plans(settings))
    return float(f"{sum(prices):.6g}") if is_known else None


def opex_values(
    settings: Settings, claim_name: pulumi.Input[str]
) -> dict[str, pulumi.Input[object]]:
    """The chart's values."""
    opex = settings.opex
    values: dict[str, pulumi.Input[object]] = {
        "engine": opex.engine,
        "volume": {"claimName": claim_name},
    }
    if opex.image is not None:
        values["image"] = opex.image
    rate = hourly_rate(settings)
    if opex.engine == "kube-resource-report":
        values["prices"] = _prices(settings)
    else:
        values["costModel"] = opex.cost_model
        if rate is not None:
            values["hourlyRate"] = rate
    return values


def _prices(settings: Settings) -> list[dict[str, object]]:
    """What a node costs a month, by its labels of region and instance type.

    Of nodes of one type that have several prices, the mean.
    """
    region = settings.aws.region or "unknown"
    by_kind: dict[tuple[str, str], list[float]] = {}
    for plan in node_plans(settings):
        if plan.price is not None:
            by_kind.setdefault((region, plan.type), []).append(plan.price)
    if settings.cluster.kubeconfig is not None and settings.nodes.price is not None:
        # Not the stack's own nodes: kube-resource-report calls a label that is missing "unknown".
        by_kind["unknown", "unknown"] = [settings.nodes.price]
    return [
        {
            "region": of_region,
            "instanceType": type_,
            "monthly": float(f"{fmean(prices) * HOURS_PER_MONTH:.6g}"),
        }
        for (of_region, type_), prices in sorted(by_kind.items())
    ]
