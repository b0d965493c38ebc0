"""The lookups: what AWS has, asked while the program runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from standins.aws.account import AwsAccount
from standins.aws.api import in_words
from standins.aws.resource import from_tag_list
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
    """The newest image (or the only one) that fits owners, filters and name."""
    request: dict[str, Any] = {"Filters": _filters(arguments)}
    if arguments.get("owners"):
        request["Owners"] = arguments["owners"]
    if arguments.get("includeDeprecated"):
        request["IncludeDeprecated"] = True
    images = provider.api.ec2.describe_images(**request)["Images"]
    if arguments.get("nameRegex"):
        pattern = re.compile(arguments["nameRegex"])
        images = [image for image in images if pattern.search(image.get("Name", ""))]
    if not images:
        raise StandinError(
            f"no image fits owners {arguments.get('owners') or 'any'} and "
            f"filters {_shown(arguments)} in {provider.api.region}"
        )
    if len(images) > 1 and not arguments.get("mostRecent"):
        raise StandinError(f"{len(images)} images fit; narrow the filters, or set mostRecent")
    image = max(images, key=lambda item: item.get("CreationDate", ""))
    return {**arguments, **_image(provider, image)}


def _shown(arguments: dict[str, Any]) -> str:
    filters = arguments.get("filters") or []
    return "; ".join(f"{f['name']}={','.join(f['values'])}" for f in filters) or "none"


def _image(provider: AwsAccount, image: dict[str, Any]) -> dict[str, Any]:
    mappings = image.get("BlockDeviceMappings") or []
    root = next((m for m in mappings if m.get("DeviceName") == image.get("RootDeviceName")), {})
    return {
        "architecture": image.get("Architecture"),
        "arn": provider.api.arn(f"image/{image['ImageId']}", owner=image.get("OwnerId") or "-"),
        "blockDeviceMappings": [
            {
                "deviceName": mapping.get("DeviceName", ""),
                "ebs": {
                    _camel(name): str(value).lower() if isinstance(value, bool) else str(value)
                    for name, value in (mapping.get("Ebs") or {}).items()
                },
                "noDevice": mapping.get("NoDevice", ""),
                "virtualName": mapping.get("VirtualName", ""),
            }
            for mapping in mappings
        ],
        "bootMode": image.get("BootMode") or "",
        "creationDate": image.get("CreationDate") or "",
        "description": image.get("Description") or "",
        "enaSupport": bool(image.get("EnaSupport")),
        "hypervisor": image.get("Hypervisor") or "",
        "id": image["ImageId"],
        "imageId": image["ImageId"],
        "imageLocation": image.get("ImageLocation") or "",
        "imageType": image.get("ImageType") or "",
        "name": image.get("Name") or "",
        "ownerId": image.get("OwnerId") or "",
        "public": bool(image.get("Public")),
        "rootDeviceName": image.get("RootDeviceName") or "",
        "rootDeviceType": image.get("RootDeviceType") or "",
        "rootSnapshotId": (root.get("Ebs") or {}).get("SnapshotId") or "",
        "state": image.get("State") or "",
        "tags": from_tag_list(image.get("Tags")),
        "virtualizationType": image.get("VirtualizationType") or "",
    }


def _camel(name: str) -> str:
    """VolumeSize -> volume_size, the official plugin's names in an image's `ebs`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def get_instance_type(provider: AwsAccount, arguments: dict[str, Any]) -> dict[str, Any]:
    """An instance type's size: vCPUs, memory (MiB), architectures."""
    wanted = arguments["instanceType"]
    found = provider.api.ec2.describe_instance_types(InstanceTypes=[wanted])["InstanceTypes"]
    if not found:
        raise StandinError(f"InvalidInstanceType: there is no instance type {wanted}")
    kind = found[0]
    cpu, memory = kind.get("VCpuInfo") or {}, kind.get("MemoryInfo") or {}
    processor = kind.get("ProcessorInfo") or {}
    network = kind.get("NetworkInfo") or {}
    return {
        "bareMetal": bool(kind.get("BareMetal")),
        "burstablePerformanceSupported": bool(kind.get("BurstablePerformanceSupported")),
        "currentGeneration": bool(kind.get("CurrentGeneration")),
        "defaultCores": cpu.get("DefaultCores"),
        "defaultThreadsPerCore": cpu.get("DefaultThreadsPerCore"),
        "defaultVcpus": cpu.get("DefaultVCpus"),
        "freeTierEligible": bool(kind.get("FreeTierEligible")),
        "hypervisor": kind.get("Hypervisor") or "",
        "id": wanted,
        "instanceStorageSupported": bool(kind.get("InstanceStorageSupported")),
        "instanceType": wanted,
        "memorySize": memory.get("SizeInMiB"),
        "networkPerformance": network.get("NetworkPerformance") or "",
        "supportedArchitectures": processor.get("SupportedArchitectures") or [],
        "supportedUsagesClasses": kind.get("SupportedUsageClasses") or [],
        "supportedVirtualizationTypes": kind.get("SupportedVirtualizationTypes") or [],
        "sustainedClockSpeed": processor.get("SustainedClockSpeedInGhz"),
    }


def get_instance_type_offerings(provider: AwsAccount, arguments: dict[str, Any]) -> dict[str, Any]:
    """Which types are offered where; the three lists belong together, item by item."""
    request: dict[str, Any] = {"Filters": _filters(arguments)}
    if arguments.get("locationType"):
        request["LocationType"] = arguments["locationType"]
    pages = provider.api.ec2.get_paginator("describe_instance_type_offerings").paginate(**request)
    offers = [offer for page in pages for offer in page["InstanceTypeOfferings"]]
    return {
        **arguments,
        "instanceTypes": [offer["InstanceType"] for offer in offers],
        "locationTypes": [offer["LocationType"] for offer in offers],
        "locations": [offer["Location"] for offer in offers],
    }


def get_availability_zones(provider: AwsAccount, arguments: dict[str, Any]) -> dict[str, Any]:
    """The region's zones, sorted by name."""
    request: dict[str, Any] = {"Filters": _filters(arguments)}
    if arguments.get("state"):
        request["Filters"].append({"Name": "state", "Values": [arguments["state"]]})
    if arguments.get("allAvailabilityZones"):
        request["AllAvailabilityZones"] = True
    zones = provider.api.ec2.describe_availability_zones(**request)["AvailabilityZones"]
    excluded = {*(arguments.get("excludeNames") or []), *(arguments.get("excludeZoneIds") or [])}
    zones = sorted(
        (z for z in zones if not excluded & {z["ZoneName"], z.get("ZoneId")}),
        key=lambda zone: zone["ZoneName"],
    )
    return {
        **arguments,
        "groupNames": sorted({zone.get("GroupName") or provider.api.region for zone in zones}),
        "names": [zone["ZoneName"] for zone in zones],
        "zoneIds": [zone.get("ZoneId") or "" for zone in zones],
    }


def get_caller_identity(provider: AwsAccount, arguments: dict[str, Any]) -> dict[str, Any]:
    """Whose credentials these are."""
    found = provider.api.sts.get_caller_identity()
    return {
        "accountId": found["Account"],
        "arn": found["Arn"],
        "id": found["Account"],
        "userId": found["UserId"],
    }


# Token -> the function and the arguments that it takes.
_FUNCTIONS: dict[str, tuple[_Function, frozenset[str]]] = {
    "aws:ec2/getAmi:getAmi": (
        get_ami,
        frozenset({"filters", "includeDeprecated", "mostRecent", "nameRegex", "owners"}),
    ),
    "aws:ec2/getInstanceType:getInstanceType": (get_instance_type, frozenset({"instanceType"})),
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": (
        get_instance_type_offerings,
        frozenset({"filters", "locationType"}),
    ),
    "aws:index/getAvailabilityZones:getAvailabilityZones": (
        get_availability_zones,
        frozenset({"allAvailabilityZones", "excludeNames", "excludeZoneIds", "filters", "state"}),
    ),
    "aws:index/getCallerIdentity:getCallerIdentity": (get_caller_identity, frozenset()),
}
