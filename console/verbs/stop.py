"""`make stop`: the stack's nodes are stopped, and cost nothing until `make start`.

What stays: disks, the Elastic IP and the shared file system, with all that is on them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

from console import nodes
from console.bill import own_price
from console.nodes import Instance
from console.stack import Stack
from console.verb import Verb

# USD, of eu-central-1, as in the README's table and docs/ha.md (a test compares them).
DISK_GIB_MONTH, ADDRESS_HOUR, EFS_GIB_MONTH, HOURS_A_MONTH = 0.0952, 0.005, 0.36, 730
BALANCER_HOUR = 0.027


def run(options: argparse.Namespace) -> None:
    """Stops all of them. Raises ConsoleError where there are none."""
    stack = Stack(options.stack)
    stack.require_own()
    began = time.monotonic()
    mine = nodes.instances(stack)
    settings = nodes.settings(stack)
    client = nodes.aws_client(settings["aws"])
    known = nodes.states(client, stack)
    running = [one for one in mine if one.id in known and not nodes.is_stopped(known[one.id])]
    spot = [one for one in running if one.spot]
    on_demand = [one for one in running if not one.spot]
    with nodes.aws_errors():
        if spot:
            client.terminate_instances(InstanceIds=[one.id for one in spot])
        if on_demand:
            client.stop_instances(InstanceIds=[one.id for one in on_demand])
    nodes.wait_until(client, stack, spot, lambda found: found is None, "is let go (spot)")
    to_stop = [one for one in mine if one.id in known and one not in spot]
    nodes.wait_until(
        client,
        stack,
        to_stop,
        lambda found: found is None or found["State"]["Name"] == "stopped",
        "is stopped",
    )
    print(f"\nStack {stack.name} is stopped ({time.monotonic() - began:.0f} s).")
    print(costs(mine, to_stop, settings))
    print(f"`make start STACK={stack.name}` starts it again.")


def costs(mine: Sequence[Instance], kept: Sequence[Instance], settings: Mapping[str, Any]) -> str:
    """What an hour cost with all nodes, and costs with those that are kept, stopped."""
    prices = [_price(settings, one) for one in mine]
    per_gib = DISK_GIB_MONTH / HOURS_A_MONTH
    disks, disks_now = (sum(one.disk_gib for one in some) * per_gib for some in (mine, kept))
    file_system = EFS_GIB_MONTH / HOURS_A_MONTH
    # Before several control planes are two, of which one has the Elastic IP.
    has_peers = settings["nodes"].get("controlPlanes", 1) > 1
    balancers = 2 * BALANCER_HOUR if has_peers else 0
    now = disks_now + ADDRESS_HOUR + file_system + balancers
    before = disks + ADDRESS_HOUR * (len(mine) + has_peers) + file_system + balancers
    before += sum(price or 0 for price in prices)
    of_balancers = f" the load balancers {balancers:.4f}," if balancers else ""
    unknown = "" if all(prices) else ", without nodes of no price (nodes.price is not set)"
    return (
        f"An hour costs {now:.4f} USD now, and cost {before:.4f}{unknown}. What goes on: disks"
        f" {disks_now:.4f}, the Elastic IP {ADDRESS_HOUR:.4f},{of_balancers} the shared file system"
        f" {file_system:.4f} for each GiB on it (one is counted; list prices of eu-central-1)."
    )


def _price(settings: Mapping[str, Any], one: Instance) -> float | None:
    """Of a spot one of no price of its own, its upper bound."""
    own = own_price(settings, one.role, one.type, is_spot=one.spot)
    return own_price(settings, one.role, one.type) if own is None else own


VERB = Verb(
    what="Stops the stack's nodes, and says what an hour costs then. Disks and addresses stay.",
    examples=("", "--stack dev"),
    run=run,
)
