"""Whether the range of the pods has a part for each node."""

from __future__ import annotations

import ipaddress

from components.settings.errors import PROJECT, SettingsError
from components.settings.groups import Groups as Settings


def require_pod_ranges(settings: Settings) -> None:
    """Every node finds a range for its pods (a /24)."""
    pods, count = settings.cluster.pod_cidr, settings.nodes.count
    most = 2 ** (24 - ipaddress.IPv4Network(pods).prefixlen)
    if count > most:
        raise SettingsError(
            "nodes.count", count, f"at most {most}: {PROJECT}:cluster.podCidr ({pods}) has no more"
        )
