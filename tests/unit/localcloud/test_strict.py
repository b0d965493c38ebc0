"""What AWS refuses and moto takes: the local cloud refuses it, in EC2's own words."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from moto import mock_aws

from tests.aws_api import IMAGE
from tests.unit.localcloud.test_api import NOTICES, Moto, api, request

__all__ = ["api"]  # the fixture

REGION = "eu-central-1"
LOCALLY_MISSING = "c3.large"  # offered in eu-central-1a and b, not in c


def strict() -> Any:
    """The module; it brings moto's models, whose import takes a second of each test process."""
    return importlib.import_module("localcloud.api.strict")


def refusal(asked: Mapping[str, str]) -> Any:
    return strict().refusal(asked)


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    # moto's own images are thousands, which each of its backends would read and list.
    monkeypatch.setenv("MOTO_AMIS_PATH", "")
    monkeypatch.setattr("moto.ec2.models.amis.AMIS", [dict(IMAGE)])
    with mock_aws():
        yield boto3.client("ec2", region_name=REGION)


def launch(ec2: Any, zone: str = "a", **more: Any) -> str:
    subnets = ec2.describe_subnets(
        Filters=[{"Name": "availability-zone", "Values": [REGION + zone]}]
    )["Subnets"]
    made = ec2.run_instances(
        ImageId=ec2.describe_images()["Images"][0]["ImageId"],
        InstanceType="t3.medium",
        SubnetId=subnets[0]["SubnetId"],
        MinCount=1,
        MaxCount=1,
        **more,
    )
    return made["Instances"][0]["InstanceId"]


@pytest.mark.parametrize(
    "value", ["203.0.113.5", "203.0.113.5/255.255.255.255", "203.0.113.5/33", "all", "", "1.2.3/8"]
)
@pytest.mark.parametrize(
    "name",
    ["IpPermissions.1.IpRanges.1.CidrIp", "CidrBlock", "DestinationCidrBlock",
     "SecurityGroupRule.1.SecurityGroupRule.CidrIpv4"],
)  # fmt: skip
def test_a_range_needs_a_mask_wherever_it_stands(name: str, value: str) -> None:
    refused = refusal({"Action": "Any", name: value})
    assert refused == strict().Refusal("InvalidParameterValue", f"CIDR block {value} is malformed")


def test_a_range_with_bits_below_its_mask_is_one_as_on_aws() -> None:
    assert refusal({"Action": "CreateVpc", "CidrBlock": "10.42.0.5/16"}) is None


def test_a_volume_grows_and_does_not_shrink(ec2: Any) -> None:
    id_ = ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=20)["VolumeId"]
    smaller = {"Action": "ModifyVolume", "VolumeId": id_, "Size": "19"}
    assert refusal(smaller) == strict().Refusal(
        "InvalidParameterValue", "New size cannot be smaller than existing size"
    )
    assert refusal({**smaller, "Size": "20"}) is None
    assert refusal({**smaller, "Size": "30"}) is None
    assert refusal({"Action": "ModifyVolume", "VolumeId": id_, "VolumeType": "gp3"}) is None


def test_a_type_changes_only_on_a_stopped_instance(ec2: Any) -> None:
    id_ = launch(ec2)
    change = {"Action": "ModifyInstanceAttribute", "InstanceId": id_}
    change["InstanceType.Value"] = "t3.large"
    refused = refusal(change)
    assert refused is not None and refused.code == "IncorrectInstanceState"
    ec2.stop_instances(InstanceIds=[id_])
    assert refusal(change) is None


def test_a_type_that_is_none_is_refused_at_once(ec2: Any) -> None:
    change = {"Action": "ModifyInstanceAttribute", "InstanceId": launch(ec2)}
    change |= {"Attribute": "instanceType", "Value": "t3.enormous"}
    refused = refusal(change)
    assert refused == strict().Refusal(
        "InvalidInstanceAttributeValue", "Invalid value 't3.enormous' for InstanceType."
    )


def test_a_zone_that_lacks_a_type_refuses_it_at_the_start_and_at_a_change(ec2: Any) -> None:
    subnet = ec2.describe_subnets(
        Filters=[{"Name": "availability-zone", "Values": [f"{REGION}c"]}]
    )["Subnets"][0]["SubnetId"]
    run = {"Action": "RunInstances", "InstanceType": LOCALLY_MISSING, "SubnetId": subnet}
    refused = refusal(run)
    assert refused is not None and refused.code == "Unsupported"
    assert f"({REGION}c)" in refused.message and f"{REGION}a, {REGION}b" in refused.message
    assert refusal({**run, "InstanceType": "t3.medium"}) is None
    id_ = launch(ec2, "c")
    ec2.stop_instances(InstanceIds=[id_])
    change = {"Action": "ModifyInstanceAttribute", "InstanceId": id_}
    refused = refusal({**change, "InstanceType.Value": LOCALLY_MISSING})
    assert refused is not None and refused.code == "Unsupported"


def test_a_one_time_spot_instance_does_not_stop(ec2: Any) -> None:
    spot = launch(ec2, InstanceMarketOptions={"MarketType": "spot"})
    own = launch(ec2)
    refused = refusal({"Action": "StopInstances", "InstanceId.1": own, "InstanceId.2": spot})
    assert refused is not None
    assert refused.code == "UnsupportedOperation" and spot in refused.message
    assert refusal({"Action": "StopInstances", "InstanceId.1": own}) is None


def test_what_is_refused_never_reaches_moto_and_is_answered_as_ec2_does(api) -> None:
    moto, changes = Moto(), api.Changes("")
    body = urlencode({"Action": "CreateVpc", "CidrBlock": "<10>"}).encode()
    status, answer = request(api.Api(moto, changes, NOTICES), body)
    assert status == "400 Bad Request"
    assert b"<Code>InvalidParameterValue</Code>" in answer and b"&lt;10&gt;" in answer
    assert moto.bodies == [] and changes.wait(-1)["changes"] == 0


def test_boto3_reads_the_refusal(ec2: Any) -> None:
    """The answer as a client of AWS's takes it apart."""
    from botocore.parsers import create_parser

    shape = ec2.meta.service_model.operation_model("CreateVpc").output_shape
    answer = {"body": strict().Refusal("Code", "a & b").xml, "headers": {}, "status_code": 400}
    assert create_parser("ec2").parse(answer, shape)["Error"] == {
        "Code": "Code",
        "Message": "a & b",
    }


@pytest.fixture
def adapted(api, ec2: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """moto with what api.py puts into it; taken back afterwards."""
    places = {
        api.elastic_network_interfaces: ("random_public_ip", "generate_dns_from_ip"),
        api.elastic_network_interfaces.NetworkInterface: ("start", "stop"),
        api.elastic_ip_addresses: ("random_ip",),
        api.ec2.EC2Backend: ("reboot_instances", "stop_instances"),
    }
    for place, attributes in places.items():
        for name in attributes:
            monkeypatch.setattr(place, name, getattr(place, name))
    changes = api.Changes("")
    api.adapt(changes)
    return changes


def public_address(ec2: Any, id_: str) -> str | None:
    found = ec2.describe_instances(InstanceIds=[id_])["Reservations"][0]["Instances"][0]
    return found.get("PublicIpAddress")


def test_an_elastic_address_outlives_stop_and_start_another_does_not(adapted, ec2: Any) -> None:
    elastic, plain = launch(ec2), launch(ec2)
    address = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(InstanceId=elastic, AllocationId=address["AllocationId"])
    before = public_address(ec2, plain)
    ec2.stop_instances(InstanceIds=[elastic, plain])
    assert public_address(ec2, elastic) == address["PublicIp"]
    assert public_address(ec2, plain) is None
    ec2.start_instances(InstanceIds=[elastic, plain])
    assert public_address(ec2, elastic) == address["PublicIp"]
    assert public_address(ec2, plain) not in (None, before, address["PublicIp"])
    ec2.disassociate_address(PublicIp=address["PublicIp"])
    assert public_address(ec2, elastic) not in (None, address["PublicIp"])


def test_a_stop_counts_as_a_boot_that_is_due(adapted, ec2: Any) -> None:
    id_ = launch(ec2)
    ec2.stop_instances(InstanceIds=[id_])
    ec2.start_instances(InstanceIds=[id_])
    ec2.reboot_instances(InstanceIds=[id_])
    adapted.add()
    assert adapted.wait(0)["reboots"] == {id_: 2}
