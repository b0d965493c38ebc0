"""The lookups: what AWS has, asked while the program runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from standins.aws.account import AwsAccount
from standins.aws.api import in_words
from standins.base import Call, StandinError

_Function = Callable[["AwsAccount", dict[str, Any]], dict[str, Any]]


def of(provider: AwsAccount) -> dict[str, Callable[[Call], dict[str, Any]]]:
    """Token -> function, for `provider`."""
    return {token: partial(_call, provider, *known) for token, known in _FUNCTIONS.items()}


def _call(
    provider: AwsAccount, function: _Function, allowed: frozenset[str], call: Call
) -> dict[str, Any]:
    for name in sorted(call.inputs.keys() - allowed):
        if call.inputs[name] is not None:
            raise StandinError(provider.refusal(f"argument {name}"))
    with in_words():
        return {"id": provider.api.region, "region": provider.api.region} | function(
            provider, call.inputs
        )


def _filters(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"Name": f["name"], "Values": f["values"]} for f in arguments.get("filters") or []]


def get_ami(provider: AwsAccount, arguments: dict[str, Any]) -> dict[str, Any]:
    """The newest image (or the only one) that fits owners and filters."""
    request: dict[str, Any] = {"Filters": _filters(arguments)}
    if arguments.get("owners"):
        request["Owners"] = arguments["owners"]
    images = provider.api.ec2.describe_images(**request)["Images"]
    if not images:
        raise StandinError(
            "Your query returned no results: no image fits owners"
            f" {arguments.get('owners') or 'any'} and filters {_shown(arguments)}"
            f" in {provider.api.region}"
        )
    if len(images) > 1 and not arguments.get("mostRecent"):
        raise StandinError(f"{len(images)} images fit; narrow the filters, or set mostRecent")
    image = max(images, key=lambda item: item.get("CreationDate", ""))
    return {**arguments, "id": image["ImageId"], "architecture": image["Architecture"]}


def _shown(arguments: dict[str, Any]) -> str:
    filters = arguments.get("filters") or []
    return "; ".join(f"{f['name']}={','.join(f['values'])}" for f in filters) or "none"


def get_instance_type(provider: AwsAccount, arguments: dict[str, Any]) -> dict[str, Any]:
    """An instance type's size: vCPUs, memory (MiB), architectures."""
    wanted = arguments["instanceType"]
    found = provider.api.ec2.describe_instance_types(InstanceTypes=[wanted])["InstanceTypes"]
    if not found:
        raise StandinError(f"InvalidInstanceType: there is no instance type {wanted}")
    return {
        "defaultVcpus": found[0]["VCpuInfo"]["DefaultVCpus"],
        "id": wanted,
        "instanceType": wanted,
        "memorySize": found[0]["MemoryInfo"]["SizeInMiB"],
        "supportedArchitectures": found[0]["ProcessorInfo"]["SupportedArchitectures"],
    }


def get_instance_type_offerings(provider: AwsAccount, arguments: dict[str, Any]) -> dict[str, Any]:
    """Where types are offered."""
    request: dict[str, Any] = {"Filters": _filters(arguments)}
    if arguments.get("locationType"):
        request["LocationType"] = arguments["locationType"]
    pages = provider.api.ec2.get_paginator("describe_instance_type_offerings").paginate(**request)
    offers = [offer for page in pages for offer in page["InstanceTypeOfferings"]]
    return {**arguments, "locations": [offer["Location"] for offer in offers]}


# Token -> the function and the arguments that it takes.
_FUNCTIONS: dict[str, tuple[_Function, frozenset[str]]] = {
    "aws:ec2/getAmi:getAmi": (
        get_ami,
        frozenset({"filters", "mostRecent", "owners"}),
    ),
    "aws:ec2/getInstanceType:getInstanceType": (get_instance_type, frozenset({"instanceType"})),
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": (
        get_instance_type_offerings,
        frozenset({"filters", "locationType"}),
    ),
}
