"""efs.FileSystem, efs.MountTarget."""

from __future__ import annotations

from typing import Any

from standins.aws.api import is_gone
from standins.aws.resource import AwsResource, from_tag_list, to_tag_list
from standins.base import Call, Failure, unique_name


class FileSystem(AwsResource):
    """An NFS file system that grows with what lies on it."""

    token = "aws:efs/fileSystem:FileSystem"
    tag_kind = "file-system"
    inputs = frozenset({"encrypted", "tags"})
    defaults = {"throughputMode": "bursting"}
    force_new = frozenset({"creationToken", "encrypted"})
    outputs = frozenset(
        {
            "arn",
            "creationToken",
            "dnsName",
            "encrypted",
            "kmsKeyId",
            "name",
            "numberOfMountTargets",
            "ownerId",
            "performanceMode",
            "sizeInBytes",
        }
    )

    def check(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        inputs, failures = super().check(call)
        kept = call.old_inputs.get("creationToken")
        # With the same token a create that was repeated finds its own file system.
        inputs["creationToken"] = kept or unique_name(call)
        return inputs, failures

    def make(self, call: Call) -> str:
        wanted = call.inputs
        made = self.provider.api.efs.create_file_system(
            CreationToken=wanted["creationToken"],
            ThroughputMode=wanted["throughputMode"],
            Encrypted=bool(wanted.get("encrypted")),
            Tags=to_tag_list(wanted.get("tagsAll") or {}),
        )
        return made["FileSystemId"]

    def settle(self, call: Call, resource_id: str) -> None:
        def available() -> bool | None:
            found = self._found(resource_id)
            return True if found and found["LifeCycleState"] == "available" else None

        call.wait_for(f"{resource_id} to be available", available, 600.0)

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        found = self._found(resource_id)
        if found is None:
            return None
        size = found.get("SizeInBytes") or {}
        tags = from_tag_list(found.get("Tags"))
        return {
            "arn": found.get("FileSystemArn"),
            "creationToken": found["CreationToken"],
            "dnsName": f"{resource_id}.efs.{self.provider.api.region}.amazonaws.com",
            "encrypted": bool(found.get("Encrypted")),
            "kmsKeyId": found.get("KmsKeyId") or "",
            "name": tags.get("Name", ""),
            "numberOfMountTargets": found.get("NumberOfMountTargets", 0),
            "ownerId": found.get("OwnerId"),
            "performanceMode": found.get("PerformanceMode"),
            "sizeInBytes": [
                {
                    "value": size.get("Value", 0),
                    "valueInIa": size.get("ValueInIA", 0),
                    "valueInStandard": size.get("ValueInStandard", 0),
                }
            ],
            "tagsAll": tags,
            "throughputMode": found.get("ThroughputMode"),
        }

    def remove(self, call: Call) -> None:
        self.provider.api.efs.delete_file_system(FileSystemId=call.id)

    def delete(self, call: Call) -> None:
        super().delete(call)
        gone = lambda: True if self._found(call.id) is None else None  # noqa: E731
        call.wait_for(f"{call.id} to be gone", gone, 600.0)

    def tag(self, call: Call, tags: dict[str, str]) -> None:
        self.provider.api.efs.tag_resource(ResourceId=call.id, Tags=to_tag_list(tags))

    def untag(self, call: Call, keys: list[str]) -> None:
        self.provider.api.efs.untag_resource(ResourceId=call.id, TagKeys=keys)

    def _found(self, resource_id: str) -> dict[str, Any] | None:
        try:
            answer = self.provider.api.efs.describe_file_systems(FileSystemId=resource_id)
        except Exception as error:
            if is_gone(error):
                return None
            raise
        return next(iter(answer["FileSystems"]), None)


class MountTarget(AwsResource):
    """A file system's address in one subnet."""

    token = "aws:efs/mountTarget:MountTarget"
    inputs = frozenset({"fileSystemId", "securityGroups", "subnetId"})
    required = inputs
    force_new = frozenset({"fileSystemId", "subnetId"})
    unordered = frozenset({"securityGroups"})
    outputs = frozenset(
        {
            "availabilityZoneId",
            "availabilityZoneName",
            "dnsName",
            "fileSystemArn",
            "ipAddress",
            "mountTargetDnsName",
            "networkInterfaceId",
            "ownerId",
            "securityGroups",
        }
    )

    def make(self, call: Call) -> str:
        made = self.provider.api.efs.create_mount_target(
            FileSystemId=call.inputs["fileSystemId"],
            SubnetId=call.inputs["subnetId"],
            SecurityGroups=call.inputs["securityGroups"],
        )
        return made["MountTargetId"]

    def settle(self, call: Call, resource_id: str) -> None:
        def available() -> bool | None:
            found = self._found(resource_id)
            return True if found and found["LifeCycleState"] == "available" else None

        call.wait_for(f"{resource_id} to be available", available, 1800.0)

    def change(self, call: Call) -> None:
        groups = call.inputs["securityGroups"]
        if groups != call.state.get("securityGroups"):
            self.provider.api.efs.modify_mount_target_security_groups(
                MountTargetId=call.id, SecurityGroups=groups
            )

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        found = self._found(resource_id)
        if found is None:
            return None
        api = self.provider.api
        groups = api.efs.describe_mount_target_security_groups(MountTargetId=resource_id)
        file_system = found["FileSystemId"]
        dns = f"{file_system}.efs.{api.region}.amazonaws.com"
        zone, owner = found.get("AvailabilityZoneName") or "", found.get("OwnerId") or ""
        return {
            "availabilityZoneId": found.get("AvailabilityZoneId"),
            "availabilityZoneName": zone,
            "dnsName": dns,
            "fileSystemArn": api.arn(f"file-system/{file_system}", "elasticfilesystem", owner),
            "fileSystemId": file_system,
            "ipAddress": found.get("IpAddress"),
            "mountTargetDnsName": f"{zone}.{dns}",
            "networkInterfaceId": found.get("NetworkInterfaceId"),
            "ownerId": owner,
            "securityGroups": groups["SecurityGroups"],
            "subnetId": found["SubnetId"],
        }

    def remove(self, call: Call) -> None:
        self.provider.api.efs.delete_mount_target(MountTargetId=call.id)

    def delete(self, call: Call) -> None:
        super().delete(call)
        gone = lambda: True if self._found(call.id) is None else None  # noqa: E731
        call.wait_for(f"{call.id} to be gone", gone, 600.0)

    def _found(self, resource_id: str) -> dict[str, Any] | None:
        try:
            answer = self.provider.api.efs.describe_mount_targets(MountTargetId=resource_id)
        except Exception as error:
            if is_gone(error):
                return None
            raise
        return next(iter(answer["MountTargets"]), None)
