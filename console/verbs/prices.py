"""`make prices`: asks AWS what instances cost in the stack's region, and what changed since.

Of those on demand and of spot ones.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from console import nodes
from console.bill import PRICES
from console.stack import ROOT, ConsoleError, Stack
from console.verb import Verb
from toolchain import paths

#: Where AWS has its price list API, whatever region is asked for.
_AT = "us-east-1"
_WANTED = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
}


def run(options: argparse.Namespace) -> None:
    """Prints what changed, and writes the list; ConsoleError where AWS can't be asked."""
    settings = nodes.settings(Stack(options.stack))
    aws = settings["aws"]
    groups = (settings["nodes"], *settings.get("workers", {}).values())
    own: set[str] = {one["type"] for one in groups if one and one.get("type")}
    if aws.get("endpoint") or not aws.get("region"):
        raise ConsoleError(
            f"stack {options.stack} is not at AWS, whose price list API is asked with credentials"
            " that may call pricing:GetProducts; STACK= names another one"
        )
    known = json.loads(PRICES.read_text())
    types = {one for listed in known for one in listed["usd"]} | own
    client = nodes.aws_client({**aws, "region": _AT}, "pricing")
    asked = {one: usd for one in sorted(types) if (usd := ask(client, aws["region"], one))}
    if not asked:
        raise ConsoleError(f"AWS has no price in {aws['region']} for any of {len(types)} types")
    before = next((one for one in known if one["region"] == aws["region"]), {"usd": {}})
    spot = ask_spot(nodes.aws_client(aws), list(asked), settings["network"].get("zone"))
    told = changes(before["usd"], asked) + changes(before.get("spot", {}), spot, "spot ")
    for line in told or ["nothing changed"]:
        print(f"{aws['region']}: {line}")
    today = datetime.now(UTC).date().isoformat()
    source = "AWS's price list API; spot: EC2's DescribeSpotPriceHistory"
    made = {"region": aws["region"], "date": today, "source": source, "usd": asked, "spot": spot}
    others = [one for one in known if one["region"] != aws["region"]]
    paths.replace(PRICES, json.dumps([*others, made], indent=2) + "\n")
    print(f"{len(asked)} prices of {today}: {PRICES.relative_to(ROOT)}")


def ask(client: Any, region: str, type_: str) -> float | None:
    """USD an hour on demand, by boto3's client of the price list; None where it is not sold."""
    wanted = {**_WANTED, "regionCode": region, "instanceType": type_}
    filters = [
        {"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()
    ]
    with nodes.aws_errors():
        found = client.get_products(ServiceCode="AmazonEC2", Filters=filters)["PriceList"]
    prices = {
        float(part["pricePerUnit"]["USD"])
        for product in map(json.loads, found)
        for term in product["terms"].get("OnDemand", {}).values()
        for part in term["priceDimensions"].values()
        if part["unit"] == "Hrs"
    } - {0.0}
    if len(prices) > 1:
        raise ConsoleError(f"AWS has several prices of {type_} in {region}: {sorted(prices)}")
    return prices.pop() if prices else None


def ask_spot(client: Any, types: Sequence[str], zone: str | None) -> dict[str, float]:
    """USD an hour of spot instances now, by boto3's client of EC2; without those it has none of.

    zone: of the stack; without it, what the dearest zone asks.
    """
    now = datetime.now(UTC)  # what holds since before is told, too
    wanted: dict[str, Any] = {"StartTime": now, "ProductDescriptions": ["Linux/UNIX"]}
    wanted |= {"InstanceTypes": [*types], **({"AvailabilityZone": zone} if zone else {})}
    latest: dict[tuple[str, str], tuple[datetime, float]] = {}
    with nodes.aws_errors():
        for page in client.get_paginator("describe_spot_price_history").paginate(**wanted):
            for one in page["SpotPriceHistory"]:
                told = one["Timestamp"], float(one["SpotPrice"])
                key = one["InstanceType"], one["AvailabilityZone"]
                latest[key] = max(latest.get(key, told), told)
    found: dict[str, float] = {}
    for (type_, _), (_, usd) in sorted(latest.items()):
        found[type_] = max(found.get(type_, usd), usd)
    return found


def changes(before: dict[str, float], now: dict[str, float], what: str = "") -> list[str]:
    """A line for each type whose price is another one, is new, or is gone. what: stands before."""
    lines = []
    for type_ in sorted({*before, *now}):
        old, new = before.get(type_), now.get(type_)
        if old is None:
            lines.append(f"{what}{type_} {new} USD an hour, new in the list")
        elif new is None:
            lines.append(f"{what}{type_} was {old} USD an hour, and is sold no more")
        elif old != new:
            lines.append(f"{what}{type_} {new} USD an hour, was {old} ({new / old - 1:+.1%})")
    return lines


VERB = Verb(
    what="""\
Asks AWS what instances cost in the stack's region, says what changed, and writes the list.

It needs credentials, as the AWS CLI takes them, that may call pricing:GetProducts and
ec2:DescribeSpotPriceHistory.""",
    examples=("--stack dev",),
    run=run,
)
