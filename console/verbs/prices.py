"""`make prices`: asks AWS what instances cost in the stack's region, and what changed since."""

from __future__ import annotations

import argparse
import json
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
    for line in changes(before["usd"], asked) or ["nothing changed"]:
        print(f"{aws['region']}: {line}")
    today = datetime.now(UTC).date().isoformat()
    made = {"region": aws["region"], "date": today, "source": "AWS's price list API", "usd": asked}
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


def changes(before: dict[str, float], now: dict[str, float]) -> list[str]:
    """A line for each type whose price is another one, is new, or is gone."""
    lines = []
    for type_ in sorted({*before, *now}):
        old, new = before.get(type_), now.get(type_)
        if old is None:
            lines.append(f"{type_} {new} USD an hour, new in the list")
        elif new is None:
            lines.append(f"{type_} was {old} USD an hour, and is sold no more")
        elif old != new:
            lines.append(f"{type_} {new} USD an hour, was {old} ({new / old - 1:+.1%})")
    return lines


VERB = Verb(
    what="""\
Asks AWS what instances cost in the stack's region, says what changed, and writes the list.

It needs credentials, as the AWS CLI takes them, that may call pricing:GetProducts.""",
    examples=("--stack dev",),
    run=run,
)
