"""What nodes say of themselves: labels, and taints that keep pods off."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from submission.errors import ApplicationError
from submission.names import EFFECTS, require_label

DOMAIN = "tinderbox.internal"
GROUP = f"{DOMAIN}/group"
"""The label with the name of a node's group of workers; those of `nodes` have none."""
CAPACITY, SPOT, ON_DEMAND = f"{DOMAIN}/capacity-type", "spot", "on-demand"
"""The label that says how a worker is bought, and its values."""
KEEPS_OFF = ("NoSchedule", "NoExecute")
"""Effects of taints that no pod comes to a node against; another one only advises."""

# A node that has just come has it for a moment when it is Ready; one that is lost has others, too.
_COMING = "node.kubernetes.io/not-ready"

# Kubelets may not register with others of Kubernetes' own, and the rest is the stack's to set.
_TAKEN = ("kubernetes.io", "k8s.io", DOMAIN)

ON_DEMAND_FIRST: Mapping[str, Any] = {
    "nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "preference": {
                    "matchExpressions": [{"key": CAPACITY, "operator": "NotIn", "values": [SPOT]}]
                },
            }
        ]
    }
}
"""The affinity of drivers, whose loss ends an application. One that was required would leave them
pending where all nodes are spot, or those on demand are full."""


def require_node_label(name: str, value: str) -> None:
    """Raises ApplicationError for a label that no node can be given."""
    require_label("label", name, value)
    _require_free(name)


def _require_free(name: str) -> None:
    domain, slash, _ = name.rpartition("/")
    if slash and any(domain == one or domain.endswith(f".{one}") for one in _TAKEN):
        raise ApplicationError(f"{name} is not free: names of {domain} are set by others")


def taint(text: str) -> dict[str, str]:
    """Of a taint as kubectl writes it, KEY[=VALUE]:EFFECT. Raises ApplicationError."""
    found = re.fullmatch(r"([^=:\s]+)(?:=([^=:\s]*))?:([A-Za-z]+)", text)
    if found is None:
        raise ApplicationError(f"{text} is no taint: write KEY[=VALUE]:EFFECT")
    key, value, effect = found.groups("")
    require_label("taint", key, value)
    _require_free(key)
    if effect not in EFFECTS:
        raise ApplicationError(f"the effect of {text} must be one of {', '.join(EFFECTS)}")
    return {"key": key, "value": value, "effect": effect}


def keep_off(taints: Iterable[str]) -> list[str]:
    """Those that keep pods off, but for what tolerates them."""
    return [text for text in taints if taint(text)["effect"] in KEEPS_OFF]


def is_tolerated(text: str, tolerations: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a pod with these tolerations may come to a node with the taint."""
    wanted = taint(text)
    return any(
        one.get("key") in (None, wanted["key"])
        and one.get("effect") in (None, wanted["effect"])
        and (one.get("operator") == "Exists" or one.get("value", "") == wanted["value"])
        for one in tolerations
    )


def may_come(taints: Iterable[tuple[str, str]], tolerations: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a node that lives may take a pod. taints: (key, effect) of each that is on it.

    Which toleration is for which taint of a key, the scheduler knows best.
    """
    tolerated = {_COMING, *(one.get("key") for one in tolerations)}
    kept_off = {key for key, effect in taints if effect in KEEPS_OFF}
    return None in tolerated or kept_off <= tolerated
