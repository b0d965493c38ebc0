"""`make prices`: AWS's price list API, as botocore's own model of it takes and gives it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from console import __main__, nodes
from console.verbs import prices
from toolchain import terminal

OWN = {"big": {"type": "m9.big"}, "same": None}
AWS = {"region": "eu-west-9", "accessKey": "a", "secretKey": "b"}


def product(*usd: str, unit: str = "Hrs") -> str:
    """One of the list, which are JSON as text."""
    parts = {str(at): {"unit": unit, "pricePerUnit": {"USD": one}} for at, one in enumerate(usd)}
    return json.dumps({"terms": {"OnDemand": {"x": {"priceDimensions": parts}}}})


def client_of(service: str) -> Any:
    """A client that asks nobody."""
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    return boto3.client(service, "us-east-1", **keys)


def spot(type_: str, zone: str, usd: str, hour: int) -> dict[str, Any]:
    """One of EC2's history."""
    at = datetime(2026, 11, 26, hour, tzinfo=UTC)
    place = {"InstanceType": type_, "AvailabilityZone": zone, "Timestamp": at}
    return {**place, "SpotPrice": usd, "ProductDescription": "Linux/UNIX"}


HISTORY = [
    spot("t3.medium", "eu-west-9a", "0.0150", 9),
    spot("t3.medium", "eu-west-9a", "0.0160", 8),
    spot("t3.medium", "eu-west-9b", "0.0170", 1),
    spot("t3.small", "eu-west-9a", "0.0070", 9),
]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the verb with the answers to each type in turn; the list is a file of the test's."""
    file = tmp_path / "prices.json"
    old = {"t3.medium": 0.017, "x1.old": 0.5}
    usd = {"t3.medium": 0.05, "t3.small": 0.02, "x1.old": 1.0}
    other = {"region": "us-east-1", "date": "2026-01-01", "source": "s", "usd": {"t3.medium": 0.04}}
    file.write_text(json.dumps([other, {**other, "region": "eu-west-9", "usd": usd, "spot": old}]))
    monkeypatch.setattr(prices, "PRICES", file)
    monkeypatch.setattr(prices, "ROOT", tmp_path)
    monkeypatch.setattr(__main__, "enter", lambda local: None)
    monkeypatch.setattr(terminal, "_prepare", lambda: None)
    given: dict[str, Any] = {"aws": AWS, "nodes": {}, "workers": OWN, "network": {}}
    monkeypatch.setattr(nodes, "settings", lambda stack: given)

    def call(*answers: list[str]) -> tuple[int, Path]:
        client, ec2 = client_of("pricing"), client_of("ec2")
        asked: list[dict[str, Any]] = []
        monkeypatch.setattr(
            nodes, "aws_client", lambda aws, service="ec2": {"pricing": client, "ec2": ec2}[service]
        )
        with Stubber(client) as stub, Stubber(ec2) as history:
            history.add_response("describe_spot_price_history", {"SpotPriceHistory": HISTORY})
            for answer in answers:
                stub.add_response("get_products", {"PriceList": answer})
            client.meta.events.register(
                "provide-client-params.*.GetProducts", lambda params, **_: asked.append(params)
            )
            code = __main__.main(["prices"])
        types = [{f["Field"]: f["Value"] for f in one["Filters"]} for one in asked]
        assert [one["instanceType"] for one in types] == sorted({*usd, "m9.big"})
        assert {(one["regionCode"], one["operatingSystem"]) for one in types} == {
            ("eu-west-9", "Linux")
        }
        return code, file

    return call


def test_what_changed_is_said_and_the_list_is_of_today(ask, capsys) -> None:
    code, file = ask([product("0.3")], [product("0.048", "0.0")], [product("0.02")], [])
    assert code == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:5] == [
        "eu-west-9: m9.big 0.3 USD an hour, new in the list",
        "eu-west-9: t3.medium 0.048 USD an hour, was 0.05 (-4.0%)",
        "eu-west-9: x1.old was 1.0 USD an hour, and is sold no more",
        "eu-west-9: spot t3.small 0.007 USD an hour, new in the list",
        "eu-west-9: spot x1.old was 0.5 USD an hour, and is sold no more",
    ]
    other, made = json.loads(file.read_text())
    assert (other["region"], other["date"]) == ("us-east-1", "2026-01-01")
    assert made["usd"] == {"m9.big": 0.3, "t3.medium": 0.048, "t3.small": 0.02}
    # The dearest zone's that holds now.
    assert made["spot"] == {"t3.medium": 0.017, "t3.small": 0.007}
    assert "price list API; spot: EC2's" in made["source"] and made["date"] > "2026-01-01"


def test_nothing_that_changed_is_said_too() -> None:
    assert prices.changes({"a": 1.0}, {"a": 1.0}) == []


def test_an_answer_of_two_prices_is_none() -> None:
    with Stubber(client_of("pricing")) as stub:
        stub.add_response("get_products", {"PriceList": [product("0.3"), product("0.4")]})
        with pytest.raises(prices.ConsoleError, match="several prices of m9.big"):
            prices.ask(stub.client, "eu-west-9", "m9.big")
    reserved = [json.dumps({"terms": {}}), product("9", unit="Quantity")]
    with Stubber(client_of("pricing")) as stub:
        stub.add_response("get_products", {"PriceList": reserved})
        assert prices.ask(stub.client, "eu-west-9", "m9.big") is None


def test_the_local_cloud_has_no_prices(monkeypatch, capsys) -> None:
    local = {"aws": {"region": "x", "endpoint": "http://127.0.0.1:1"}, "nodes": {}}
    monkeypatch.setattr(nodes, "settings", lambda stack: local)
    monkeypatch.setattr(__main__, "enter", lambda local: None)
    monkeypatch.setattr(terminal, "_prepare", lambda: None)
    assert __main__.main(["prices"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("prices: stack local is not at AWS")


def test_spot_prices_are_those_of_the_stacks_zone_now() -> None:
    asked: list[dict[str, Any]] = []
    client = client_of("ec2")
    client.meta.events.register(
        "provide-client-params.*.DescribeSpotPriceHistory", lambda params, **_: asked.append(params)
    )
    with Stubber(client) as stub:
        page = {"SpotPriceHistory": HISTORY[:1], "NextToken": "more"}
        stub.add_response("describe_spot_price_history", page)
        stub.add_response("describe_spot_price_history", {"SpotPriceHistory": HISTORY[1:2]})
        found = prices.ask_spot(client, ["t3.medium"], "eu-west-9a")
    assert found == {"t3.medium": 0.015}
    assert asked[0]["AvailabilityZone"] == "eu-west-9a"
    assert asked[0]["ProductDescriptions"] == ["Linux/UNIX"]
    assert asked[0]["InstanceTypes"] == ["t3.medium"]
