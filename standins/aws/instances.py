"""ec2.Instance."""

from __future__ import annotations

from typing import Any

from standins.aws.resource import AwsResource, from_tag_list, to_tag_list
from standins.base import Call, StandinError

_STARTED = 600.0
_STOPPED = 600.0

# Program's name -> EC2's, in nested objects.
_METADATA = {
    "httpEndpoint": "HttpEndpoint",
    "httpProtocolIpv6": "HttpProtocolIpv6",
    "httpPutResponseHopLimit": "HttpPutResponseHopLimit",
    "httpTokens": "HttpTokens",
    "instanceMetadataTags": "InstanceMetadataTags",
}
_DISK = {
    "deleteOnTermination": "DeleteOnTermination",
    "encrypted": "Encrypted",
    "volumeSize": "VolumeSize",
    "volumeType": "VolumeType",
}
_MARKET = {"marketType": "MarketType"}


class Instance(AwsResource):
    """A virtual machine. Created when it runs; deleted when it is terminated."""

    token = "aws:ec2/instance:Instance"
    tag_kind = "instance"
    inputs = frozenset(
        {
            "ami",
            "instanceMarketOptions",
            "instanceType",
            "keyName",
            "metadataOptions",
            "rootBlockDevice",
            "subnetId",
            "tags",
            "userData",
            "vpcSecurityGroupIds",
        }
    )
    required = inputs - {"instanceMarketOptions", "tags"}
    # Of the official plugin's, for the state's sake.
    defaults = {"sourceDestCheck": True, "userDataReplaceOnChange": False}
    unordered = frozenset({"vpcSecurityGroupIds"})
    force_new = frozenset(
        {
            "ami",
            "instanceMarketOptions",
            "keyName",
            "rootBlockDevice.encrypted",
            "subnetId",
        }
    )
    outputs = frozenset(
        {
            "arn",
            "associatePublicIpAddress",
            "availabilityZone",
            "instanceLifecycle",
            "instanceState",
            "keyName",
            "metadataOptions",
            "primaryNetworkInterfaceId",
            "privateDns",
            "privateIp",
            "publicDns",
            "publicIp",
            "rootBlockDevice",
            "spotInstanceRequestId",
            "subnetId",
            "tenancy",
            "vpcSecurityGroupIds",
        }
    )

    def make(self, call: Call) -> str:
        wanted = call.inputs
        disk = _translated(wanted["rootBlockDevice"], _DISK)
        device = self._root_device(wanted["ami"])
        request: dict[str, Any] = {
            "ImageId": wanted["ami"],
            "InstanceType": wanted["instanceType"],
            "MinCount": 1,
            "MaxCount": 1,
            "SubnetId": wanted["subnetId"],
            "SecurityGroupIds": wanted["vpcSecurityGroupIds"],
            "KeyName": wanted["keyName"],
            "UserData": wanted["userData"],  # boto3 encodes it
            "MetadataOptions": _translated(wanted["metadataOptions"], _METADATA),
            "BlockDeviceMappings": [{"DeviceName": device, "Ebs": disk}],
            "TagSpecifications": self.tag_specifications(call),
        }
        if wanted.get("instanceMarketOptions"):
            market = _translated(wanted["instanceMarketOptions"], _MARKET)
            request["InstanceMarketOptions"] = market
        if self.provider.default_tags:
            tags = to_tag_list(self.provider.default_tags)
            request["TagSpecifications"].append({"ResourceType": "volume", "Tags": tags})
        made = self.provider.api.ec2.run_instances(**request)
        return made["Instances"][0]["InstanceId"]

    def _root_device(self, image: str) -> str:
        images = self.provider.api.ec2.describe_images(ImageIds=[image])["Images"]
        if not images:
            raise StandinError(f"there is no image {image} in {self.provider.api.region}")
        return images[0].get("RootDeviceName") or "/dev/xvda"

    def settle(self, call: Call, resource_id: str) -> None:
        self._wait_for_state(call, resource_id, "running", _STARTED)

    def _wait_for_state(
        self, call: Call, resource_id: str, state: str, limit: float
    ) -> dict[str, Any]:
        """The instance once it is in `state`; raises StandinError where it never will be."""

        def look() -> dict[str, Any] | None:
            found = self._found(resource_id)
            if found is None and state == "terminated":
                return {}
            now = found["State"]["Name"] if found else "pending"
            if now == "terminated" and state != "terminated":
                reason = (found or {}).get("StateReason", {}).get("Message") or "no reason given"
                raise StandinError(f"{resource_id} was terminated: {reason}")
            call.status(f"{resource_id} is {now}")
            return found if now == state else None

        return call.wait_for(f"{resource_id} to be {state}", look, limit)

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        found = self._found(resource_id)
        if found is None or found["State"]["Name"] == "terminated":
            return None
        cards = found.get("NetworkInterfaces") or []
        primary = next((c for c in cards if c["Attachment"]["DeviceIndex"] == 0), {})
        metadata = found.get("MetadataOptions") or {}
        owner = primary.get("OwnerId") or ""
        return {
            "ami": found["ImageId"],
            "arn": self.provider.api.arn(f"instance/{resource_id}", owner=owner),
            "associatePublicIpAddress": bool(found.get("PublicIpAddress")),
            "availabilityZone": found["Placement"]["AvailabilityZone"],
            "instanceLifecycle": found.get("InstanceLifecycle") or "",
            "instanceState": found["State"]["Name"],
            "instanceType": found["InstanceType"],
            "keyName": found.get("KeyName") or "",
            "metadataOptions": {
                name: metadata[key] for name, key in _METADATA.items() if key in metadata
            },
            "primaryNetworkInterfaceId": primary.get("NetworkInterfaceId") or "",
            "privateDns": found.get("PrivateDnsName") or "",
            "privateIp": found.get("PrivateIpAddress") or "",
            "publicDns": found.get("PublicDnsName") or "",
            "publicIp": found.get("PublicIpAddress") or "",
            "rootBlockDevice": self._root_disk(found),
            "sourceDestCheck": found.get("SourceDestCheck", True),
            "spotInstanceRequestId": found.get("SpotInstanceRequestId") or "",
            "subnetId": found.get("SubnetId") or "",
            "tagsAll": from_tag_list(found.get("Tags")),
            "tenancy": found["Placement"].get("Tenancy") or "default",
            "vpcSecurityGroupIds": [g["GroupId"] for g in found.get("SecurityGroups") or []],
        }

    def _root_disk(self, found: dict[str, Any]) -> dict[str, Any] | None:
        """The root volume, as the program writes `rootBlockDevice`, with its id and name."""
        for mapping in found.get("BlockDeviceMappings") or []:
            if mapping["DeviceName"] != found.get("RootDeviceName"):
                continue
            volume_id = mapping["Ebs"]["VolumeId"]
            volume = self.provider.api.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
            tags = from_tag_list(volume.get("Tags"))
            return {
                "deleteOnTermination": mapping["Ebs"].get("DeleteOnTermination"),
                "deviceName": mapping["DeviceName"],
                "encrypted": volume.get("Encrypted"),
                "iops": volume.get("Iops"),
                "kmsKeyId": volume.get("KmsKeyId") or "",
                "tagsAll": tags,
                "throughput": volume.get("Throughput"),
                "volumeId": volume_id,
                "volumeSize": volume["Size"],
                "volumeType": volume["VolumeType"],
            }
        return None

    def change(self, call: Call) -> None:
        """Another type, other groups, a larger disk. The rest makes it anew, or is kept."""
        old, new = call.old_inputs, call.inputs
        in_place = {"tags", "instanceType", "vpcSecurityGroupIds", "rootBlockDevice"}
        for name in sorted(self.inputs - in_place):
            if old.get(name) != new.get(name):
                raise StandinError(self.provider.refusal(f"another {name} of an instance"))
        if old["instanceType"] != new["instanceType"]:
            self._change_type(call, new["instanceType"])
        was, disk = call.state["rootBlockDevice"], new["rootBlockDevice"]
        if changed := {key: value for key, value in disk.items() if was.get(key) != value}:
            names = {"volumeSize": "Size"}
            self.provider.api.ec2.modify_volume(
                VolumeId=was["volumeId"], **_translated(changed, names)
            )
        if sorted(new["vpcSecurityGroupIds"]) != sorted(call.state["vpcSecurityGroupIds"]):
            self.provider.api.ec2.modify_instance_attribute(
                InstanceId=call.id, Groups=new["vpcSecurityGroupIds"]
            )

    def _change_type(self, call: Call, wanted: str) -> None:
        """EC2 changes the type of a stopped instance only."""
        ec2 = self.provider.api.ec2
        ec2.stop_instances(InstanceIds=[call.id])
        self._wait_for_state(call, call.id, "stopped", _STOPPED)
        ec2.modify_instance_attribute(InstanceId=call.id, InstanceType={"Value": wanted})
        ec2.start_instances(InstanceIds=[call.id])

    def remove(self, call: Call) -> None:
        self.provider.api.ec2.terminate_instances(InstanceIds=[call.id])
        self._wait_for_state(call, call.id, "terminated", _STOPPED)

    def _found(self, resource_id: str) -> dict[str, Any] | None:
        answer = self.provider.api.ec2.describe_instances(InstanceIds=[resource_id])
        found = [i for r in answer["Reservations"] for i in r["Instances"]]
        return next(iter(found), None)


def _translated(properties: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """`properties` under EC2's names."""
    unknown = sorted(properties.keys() - names.keys())
    if unknown:
        raise StandinError(f"stand-in of pulumi-aws: no such option here: {', '.join(unknown)}")
    return {names[k]: v for k, v in properties.items() if v is not None}
