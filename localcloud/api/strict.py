"""What AWS refuses and moto would take, where something of the program leans on the refusal.

    refusal(the request's parameters) -> Refusal | None

Pure but for looking at what moto holds. The codes and messages are EC2's own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

#: The last part of a parameter's name that holds an IPv4 range, in every action.
_RANGES = ("CidrIp", "CidrIpv4", "CidrBlock", "DestinationCidrBlock")


@dataclass(frozen=True)
class Refusal:
    """An error as EC2 answers it."""

    code: str
    message: str

    @property
    def xml(self) -> bytes:
        """The body of EC2's answer."""
        error = f"<Code>{self.code}</Code><Message>{escape(self.message)}</Message>"
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Response><Errors><Error>{error}</Error></Errors>"
            "<RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>"
        ).encode()


def refusal(request: Mapping[str, str]) -> Refusal | None:
    """How AWS would refuse a request of EC2's query API; None where moto may have it.

    request: {"Action": "ModifyVolume", "Size": "10", ...}
    """
    action = request.get("Action", "")
    checks = {
        "RunInstances": _run,
        "ModifyInstanceAttribute": _modify_instance,
        "ModifyVolume": _modify_volume,
        "StopInstances": _stop,
    }
    return _ranges(request) or (checks[action](request) if action in checks else None)


def _ranges(request: Mapping[str, str]) -> Refusal | None:
    """A range without a mask is none. (With bits below its mask it is one: AWS cuts them off.)"""
    for name, value in request.items():
        kind = name.rpartition(".")[2]
        if kind not in _RANGES:
            continue
        _, slash, length = value.partition("/")
        try:
            ipaddress.IPv4Network(value, strict=False)
            valid = bool(slash) and length.isdecimal()
        except ValueError:
            valid = False
        if not valid:
            return Refusal("InvalidParameterValue", f"CIDR block {value} is malformed")
    return None


def _run(request: Mapping[str, str]) -> Refusal | None:
    zone = request.get("Placement.AvailabilityZone")
    subnet = request.get("SubnetId") or request.get("NetworkInterface.1.SubnetId")
    for backend in _backends():
        for found in (one.get(subnet) for one in backend.subnets.values()):
            zone = found.availability_zone if found else zone
    return _not_offered(request.get("InstanceType"), zone)


def _modify_instance(request: Mapping[str, str]) -> Refusal | None:
    type_ = request.get("InstanceType.Value")
    if request.get("Attribute") == "instanceType":
        type_ = request.get("Value")
    instance = _instance(request.get("InstanceId", ""))
    if type_ is None or instance is None:
        return None
    if not _zones(type_, instance.availability_zone[:-1]):
        return Refusal(
            "InvalidInstanceAttributeValue", f"Invalid value '{type_}' for InstanceType."
        )
    if instance.state != "stopped":
        return Refusal(
            "IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state."
        )
    return _not_offered(type_, instance.availability_zone)


def _modify_volume(request: Mapping[str, str]) -> Refusal | None:
    for backend in _backends():
        volume = backend.volumes.get(request.get("VolumeId", ""))
        if volume is not None and int(request.get("Size", volume.size)) < int(volume.size):
            return Refusal("InvalidParameterValue", "New size cannot be smaller than existing size")
    return None


def _stop(request: Mapping[str, str]) -> Refusal | None:
    ids = [value for name, value in request.items() if name.startswith("InstanceId.")]
    for instance in filter(None, map(_instance, ids)):
        if instance.lifecycle == "spot":  # moto keeps no request's type; the default is one-time
            return Refusal(
                "UnsupportedOperation",
                f"You can't stop the Spot Instance '{instance.id}' because it is associated with a"
                " one-time Spot Instance request. You can only stop Spot Instances associated with"
                " persistent Spot Instance requests.",
            )
    return None


def _not_offered(type_: str | None, zone: str | None) -> Refusal | None:
    """Where a type exists but not in the zone; moto itself refuses one that exists nowhere."""
    if type_ is None or zone is None:
        return None
    zones = _zones(type_, zone[:-1])
    if not zones or zone in zones:
        return None
    return Refusal(
        "Unsupported",
        f"Your requested instance type ({type_}) is not supported in your requested Availability"
        f" Zone ({zone}). Please retry your request by not specifying an Availability Zone or"
        f" choosing {', '.join(sorted(zones))}.",
    )


def _zones(type_: str, region: str) -> set[str]:
    offers = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, [])
    return {offer["Location"] for offer in offers if offer["InstanceType"] == type_}


def _instance(id_: str) -> Any:
    found = (backend.get_instance_by_id(id_) for backend in _backends())
    return next((instance for instance in found if instance is not None), None)


def _backends() -> Iterator[Any]:
    """Those of every account and region: ids are unique."""
    for account in ec2_backends.values():
        yield from account.values()
