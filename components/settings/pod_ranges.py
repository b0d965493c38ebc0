"""Whether each node finds an address, and a part of the range of the pods."""

from __future__ import annotations

import ipaddress

from components.settings.errors import PROJECT, SettingsError
from components.settings.groups import Groups as Settings
from components.settings.node_plan import node_plans

# The smallest network that is taken has addresses for so many.
_MOST = 250


def require_pod_ranges(settings: Settings) -> None:
    """Every node finds an address, and a range for its pods (a /24)."""
    pods, plans = settings.cluster.pod_cidr, node_plans(settings)
    has = 2 ** (24 - ipaddress.IPv4Network(pods).prefixlen)
    most = min(has, _MOST)
    if len(plans) <= most:
        return
    key = plans[most].key  # of the first node for which there is none
    count, room = (sum(plan.key == key for plan in some) for some in (plans, plans[:most]))
    why = f"{PROJECT}:cluster.podCidr ({pods})" if has < _MOST else "the network"
    raise SettingsError(f"{key}.count", count, f"at most {room}: {why} has no more")
