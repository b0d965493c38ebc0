"""Whether what the settings ask for finds room."""

from __future__ import annotations

import ipaddress

from components.settings.errors import PROJECT, SettingsError
from components.settings.groups import Groups as Settings


def _require_room(settings: Settings) -> None:
    """Every node finds a range for its pods (a /24)."""
    pods, count = settings.cluster.pod_cidr, settings.nodes.count
    room = 2 ** (24 - ipaddress.IPv4Network(pods).prefixlen)
    if count > room:
        raise SettingsError(
            "nodes.count", count, f"at most {room}: {PROJECT}:cluster.podCidr ({pods}) has no more"
        )
