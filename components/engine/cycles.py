"""Pulumi's search for cycles among dependencies, made to keep up with many nodes.

Nodes are upgraded one after the other, three steps each, so dependencies form a chain. Pulumi's SDK
walks it with a generator within a generator for each link: time by the cube of the nodes, and
Python's limit of recursion at some 330 of them. The same answer takes a list.
"""

from __future__ import annotations

import pulumi
from pulumi.runtime import resource_cycle_breaker as breaker


def search_flat() -> None:
    """Puts `is_reachable` in the place of the SDK's, for all resources that come after."""
    breaker._reachable = is_reachable  # ty: ignore[invalid-assignment]


def is_reachable(from_resource: pulumi.Resource, to_resource: pulumi.Resource) -> bool:
    """Whether the one depends on the other, directly or not."""
    seen, left = {from_resource}, [from_resource]
    while left:
        one = left.pop()
        if one is to_resource:
            return True
        new = breaker._deps(one) - seen
        seen |= new
        left.extend(new)
    return False
