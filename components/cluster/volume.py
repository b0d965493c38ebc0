"""The shared storage: SharedFileSystem (EFS) below the nodes, SharedVolume (PV and PVC) above them.

Every node has the file system at /srv/shared; a volume is a host path on it, so every pod with the
claim sees the same files, on whichever node it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster.cluster import Cluster
from components.engine.leftovers import free_volume
from components.settings import StorageSettings
from submission.place import SHARED_PATH


class VolumeOutputs(TypedDict):
    """What SharedVolume registers."""

    claimName: pulumi.Output[str]


@dataclass
class VolumeArgs:
    """The cluster, the namespace of the claim, and the size that it asks for.

    folder: the part of the shared file system that it is about; empty for all of it.
    size_gib: other than `storage.sizeGiB`.
    """

    cluster: Cluster
    namespace: pulumi.Input[str]
    settings: StorageSettings
    folder: str = ""
    size_gib: int | None = None


class SharedVolume(pulumi.ComponentResource):
    """A claim on the shared file system, bound by name to a volume of its own.

    In a cluster that exists and has a storage class for it (`storage.storageClass`), the class
    makes the volume; otherwise every node must have the file system at /srv/shared.

    Outputs: claim_name.
    """

    claim_name: pulumi.Output[str]
    mount_path = SHARED_PATH

    def __init__(
        self, name: str, args: VolumeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:SharedVolume", name, {}, opts)
        core = kubernetes.core.v1
        inside = args.cluster.options(parent=self)
        size = {"storage": f"{args.size_gib or args.settings.size_gib}Gi"}
        path = f"{SHARED_PATH}/{args.folder}".rstrip("/")
        storage_class = args.settings.storage_class
        named = claim_name(name, args.settings)
        volume_name: pulumi.Input[str] | None = None
        if storage_class is None:
            volume = core.PersistentVolume(
                f"{name}-volume",
                metadata={"name": named},
                spec=core.PersistentVolumeSpecArgs(
                    capacity=size,
                    access_modes=["ReadWriteMany"],
                    # What is on the volume is the file system's, not the claim's, to keep.
                    persistent_volume_reclaim_policy="Retain",
                    storage_class_name="",
                    host_path=core.HostPathVolumeSourceArgs(path=path, type="Directory"),
                    claim_ref=core.ObjectReferenceArgs(namespace=args.namespace, name=named),
                ),
                opts=inside,
            )
            volume_name = volume.metadata.name
        claim = core.PersistentVolumeClaim(
            f"{name}-claim",
            metadata={"name": named, "namespace": args.namespace},
            spec=core.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteMany"],
                resources=core.VolumeResourceRequirementsArgs(requests=size),
                storage_class_name=storage_class or "",
                volume_name=volume_name,
            ),
            opts=pulumi.ResourceOptions.merge(
                args.cluster.options(parent=self, mend=None if storage_class else free_volume),
                pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="2m")),
            ),
        )
        self.claim_name = claim.metadata.name
        outputs: VolumeOutputs = {"claimName": self.claim_name}
        self.register_outputs(dict(outputs))


def claim_name(volume: str, settings: StorageSettings) -> str:
    """The claim of the SharedVolume of that name.

    By class: a claim that still waits for one would take a volume that is for its name.
    """
    return f"{volume}-{settings.storage_class or 'shared'}"
