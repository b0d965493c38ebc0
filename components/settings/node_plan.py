"""The nodes that the settings ask for: all that counts nodes or sizes reads this list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from components.settings.aws import NodesSettings
from components.settings.groups import Groups
from submission.nodes import CAPACITY, GROUP, ON_DEMAND, SPOT, keep_off


@dataclass(frozen=True)
class NodePlan:
    """A node as the settings want it.

    name: without the stack's. key: what its settings are below, nodes or workers.NAME.
    price: USD an hour; None where it is not known. labels, taints: of the group's own.
    """

    name: str
    key: str
    type: str
    disk_gib: int
    price: float | None
    spot: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
    is_control_plane: bool = False

    @property
    def takes_any(self) -> bool:
        """True for a worker from which no taint keeps pods off."""
        return not (self.is_control_plane or keep_off(self.taints))

    @property
    def group(self) -> str:
        """The name of its group; empty for a node of `nodes`."""
        return self.key.partition(".")[2]

    @property
    def own_labels(self) -> dict[str, str]:
        """Its group's, with what the stack says of a worker."""
        bought = {CAPACITY: SPOT if self.spot else ON_DEMAND}
        return {**self.labels, **bought, **({GROUP: self.group} if self.group else {})}


def node_plans(settings: Groups) -> tuple[NodePlan, ...]:
    """The control planes, then the workers: those of `nodes`, then group by group."""
    nodes = settings.nodes
    node = NodePlan("", "nodes", nodes.type, nodes.disk_gib, nodes.price)
    first = replace(node, name="control-plane", is_control_plane=True)
    further = range(2, nodes.control_planes + 1)
    plans = [first, *(replace(first, name=f"control-plane-{n}") for n in further)]
    worker = replace(node, spot=nodes.spot, price=_price(nodes, is_spot=nodes.spot))
    workers = range(1, nodes.count - nodes.control_planes + 1)
    plans += [replace(worker, name=f"worker-{n}") for n in workers]
    for name, group in settings.workers.items():
        type_ = group.type or nodes.type
        plans += [
            NodePlan(
                f"{name}-{n}",
                f"workers.{name}",
                type_,
                group.disk_gib or nodes.disk_gib,
                group.price or (_price(nodes, is_spot=group.spot) if type_ == nodes.type else None),
                group.spot,
                group.labels,
                group.taints,
            )
            for n in range(1, group.count + 1)
        ]
    return tuple(plans)


def _price(nodes: NodesSettings, *, is_spot: bool) -> float | None:
    """Of a node of `nodes.type`; that of one on demand is at least the bound of a spot one's."""
    return (nodes.spot_price if is_spot else None) or nodes.price


def taking(plans: Sequence[NodePlan]) -> Sequence[NodePlan]:
    """Those that any pod may come to: workers, or else the control planes."""
    workers = [plan for plan in plans if plan.takes_any]
    return workers or [plan for plan in plans if plan.is_control_plane]
