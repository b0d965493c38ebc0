"""ec2.Instance."""

from __future__ import annotations

import base64
from typing import Any

from standins.aws.api import error_code
from standins.aws.resource import AwsResource, from_tag_list, to_tag_list
from standins.base import Call, Diff, StandinError, replaced_by

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
    "iops": "Iops",
    "kmsKeyId": "KmsKeyId",
    "throughput": "Throughput",
    "volumeSize": "VolumeSize",
    "volumeType": "VolumeType",
}
_SPOT = {
    "instanceInterruptionBehavior": "InstanceInterruptionBehavior",
    "maxPrice": "MaxPrice",
    "spotInstanceType": "SpotInstanceType",
    "validUntil": "ValidUntil",
}


class Instance(AwsResource):
    """A virtual machine. Created when it runs; deleted when it is terminated."""

    token = "aws:ec2/instance:Instance"
    tag_kind = "instance"
    inputs = frozenset(
        {
            "ami",
            "associatePublicIpAddress",
            "availabilityZone",
            "instanceMarketOptions",
            "instanceType",
            "keyName",
            "metadataOptions",
            "privateIp",
            "rootBlockDevice",
            "sourceDestCheck",
            "subnetId",
            "tags",
            "userData",
            "userDataReplaceOnChange",
            "vpcSecurityGroupIds",
        }
    )
    required = frozenset({"ami", "instanceType"})
    defaults = {"sourceDestCheck": True, "userDataReplaceOnChange": False}
    unordered = frozenset({"vpcSecurityGroupIds"})
    force_new = frozenset(
        {
            "ami",
            "associatePublicIpAddress",
            "availabilityZone",
            "instanceMarketOptions",
            "keyName",
            "privateIp",
            "rootBlockDevice.encrypted",
            "rootBlockDevice.kmsKeyId",
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

    def diff(self, call: Call) -> Diff:
        diff = super().diff(call)
        if call.inputs.get("userDataReplaceOnChange") is True:
            diff.replace |= replaced_by(diff.paths, {"userData"})
        return diff

    def make(self, call: Call) -> str:
        wanted = call.inputs
        request: dict[str, Any] = {
            "ImageId": wanted["ami"],
            "InstanceType": wanted["instanceType"],
            "MinCount": 1,
            "MaxCount": 1,
            "TagSpecifications": self.tag_specifications(call),
            **self._placement(wanted),
        }
        if wanted.get("keyName"):
            request["KeyName"] = wanted["keyName"]
        if wanted.get("userData"):
            request["UserData"] = wanted["userData"]  # boto3 encodes it
        if wanted.get("metadataOptions"):
            request["MetadataOptions"] = _translated(wanted["metadataOptions"], _METADATA)
        if wanted.get("instanceMarketOptions"):
            request["InstanceMarketOptions"] = _market(wanted["instanceMarketOptions"])
        if wanted.get("rootBlockDevice"):
            disk = _translated(wanted["rootBlockDevice"], _DISK)
            device = self._root_device(wanted["ami"])
            request["BlockDeviceMappings"] = [{"DeviceName": device, "Ebs": disk}]
            if self.provider.default_tags:
                tags = to_tag_list(self.provider.default_tags)
                request["TagSpecifications"].append({"ResourceType": "volume", "Tags": tags})
        made = self.provider.api.ec2.run_instances(**request)
        return made["Instances"][0]["InstanceId"]

    def _placement(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Where it goes, and which addresses and groups it gets."""
        placement: dict[str, Any] = {}
        if wanted.get("availabilityZone"):
            placement["Placement"] = {"AvailabilityZone": wanted["availabilityZone"]}
        card: dict[str, Any] = {}
        if wanted.get("subnetId"):
            card["SubnetId"] = wanted["subnetId"]
        if wanted.get("privateIp"):
            card["PrivateIpAddress"] = wanted["privateIp"]
        groups = wanted.get("vpcSecurityGroupIds") or []
        public = wanted.get("associatePublicIpAddress")
        if public is None:
            return {**placement, **card, **({"SecurityGroupIds": groups} if groups else {})}
        # Only a network interface's own request says whether it gets a public address.
        card |= {"DeviceIndex": 0, "AssociatePublicIpAddress": public}
        return {**placement, "NetworkInterfaces": [{**card, "Groups": groups}]}

    def _root_device(self, image: str) -> str:
        images = self.provider.api.ec2.describe_images(ImageIds=[image])["Images"]
        if not images:
            raise StandinError(f"there is no image {image} in {self.provider.api.region}")
        return images[0].get("RootDeviceName") or "/dev/xvda"

    def settle(self, call: Call, resource_id: str) -> None:
        ec2 = self.provider.api.ec2
        found = self._wait_for_state(call, resource_id, "running", _STARTED)
        wanted = call.inputs["sourceDestCheck"]
        if found.get("SourceDestCheck", True) != wanted:
            ec2.modify_instance_attribute(InstanceId=resource_id, SourceDestCheck={"Value": wanted})

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
        ec2 = self.provider.api.ec2
        old, new = call.state, call.inputs
        groups = new.get("vpcSecurityGroupIds")
        if groups and sorted(groups) != sorted(old.get("vpcSecurityGroupIds") or []):
            ec2.modify_instance_attribute(InstanceId=call.id, Groups=groups)
        options = new.get("metadataOptions") or {}
        if any((old.get("metadataOptions") or {}).get(k) != v for k, v in options.items()):
            ec2.modify_instance_metadata_options(
                InstanceId=call.id, **_translated(options, _METADATA)
            )
        self._change_disk(call)
        stopped: dict[str, Any] = {}
        if old.get("instanceType") != new["instanceType"]:
            stopped["InstanceType"] = {"Value": new["instanceType"]}
        if (call.old_inputs.get("userData") or "") != (new.get("userData") or ""):
            stopped["UserData"] = {"Value": (new.get("userData") or "").encode()}
        if stopped:
            self._change_stopped(call, stopped)

    def _change_disk(self, call: Call) -> None:
        old = call.state.get("rootBlockDevice") or {}
        new = call.inputs.get("rootBlockDevice") or {}
        changed = {k: v for k, v in new.items() if v is not None and old.get(k) != v}
        keep = changed.pop("deleteOnTermination", None)
        if keep is not None:
            disk = {"DeviceName": old["deviceName"], "Ebs": {"DeleteOnTermination": keep}}
            self.provider.api.ec2.modify_instance_attribute(
                InstanceId=call.id, BlockDeviceMappings=[disk]
            )
        if changed:
            names = {**_DISK, "volumeSize": "Size"}
            self.provider.api.ec2.modify_volume(
                VolumeId=old["volumeId"], **_translated(changed, names)
            )

    def _change_stopped(self, call: Call, attributes: dict[str, Any]) -> None:
        """Change what EC2 changes only while the instance is stopped, and start it again."""
        ec2 = self.provider.api.ec2
        ec2.stop_instances(InstanceIds=[call.id])
        try:
            self._wait_for_state(call, call.id, "stopped", _STOPPED)
            for name, value in attributes.items():
                self._modify(call.id, name, value)
        finally:
            ec2.start_instances(InstanceIds=[call.id])

    def _modify(self, instance: str, name: str, value: dict[str, Any]) -> None:
        modify = self.provider.api.ec2.modify_instance_attribute
        try:
            modify(InstanceId=instance, **{name: value})
        except Exception as error:
            if error_code(error) != "InvalidUserData.Malformed":
                raise
            # boto3 has encoded it, as EC2 wants; moto wants what it decodes to be encoded again.
            encoded = {"Value": base64.b64encode(value["Value"])}
            modify(InstanceId=instance, **{name: encoded})

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


def _market(options: dict[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {"MarketType": options.get("marketType") or "spot"}
    if options.get("spotOptions"):
        request["SpotOptions"] = _translated(options["spotOptions"], _SPOT)
    return request
