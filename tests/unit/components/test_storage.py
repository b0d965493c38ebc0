"""The shared storage: the file system below the nodes, the claim above them."""

from __future__ import annotations

from tests.unit.plan import EXISTING, planned

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
VOLUME = "kubernetes:core/v1:PersistentVolume"


def test_the_file_system_is_encrypted():
    (file_system,) = planned().of("aws:efs/fileSystem:FileSystem")
    assert file_system.inputs["encrypted"] is True
    assert "lifecyclePolicies" not in file_system.inputs


def test_nodes_reach_it_in_their_own_subnet():
    (target,) = planned().of("aws:efs/mountTarget:MountTarget")
    assert target.inputs["fileSystemId"] == "tinderbox-test-file-system-id"
    assert target.inputs["subnetId"] == "tinderbox-test-subnet-id"
    assert target.inputs["securityGroups"] == ["tinderbox-test-nodes-id"]


def test_every_node_mounts_it_by_its_address_once_it_can_be_mounted():
    """The name is known to the VPC's resolver up to 90 s after the mount target is there."""
    plan = planned()
    for node in ("control-plane", "worker-1", "worker-2"):
        script = plan.one(f"{node}-storage").inputs["stdin"]
        assert "export FILE_SYSTEM=10.42.0.9\n" in script
        assert "mount-target" in plan.waits_for(f"{node}-storage")


def test_volume_and_claim_are_bound_to_each_other_by_name():
    plan = planned({"storage": {"sizeGiB": 7}})
    (volume,), (claim,) = plan.of(VOLUME), plan.of(CLAIM)
    reference = volume.inputs["spec"]["claimRef"]
    name = {key: claim.inputs["metadata"][key] for key in ("name", "namespace")}
    assert reference == name == {"name": "spark-shared", "namespace": "spark"}
    assert claim.inputs["spec"]["volumeName"] == volume.inputs["metadata"]["name"]
    assert volume.inputs["spec"]["capacity"] == {"storage": "7Gi"}
    assert claim.inputs["spec"]["resources"]["requests"] == {"storage": "7Gi"}
    # Of no class, so that no default class puts its own volume there.
    assert volume.inputs["spec"]["storageClassName"] == ""
    assert claim.inputs["spec"]["storageClassName"] == ""


def test_the_volume_is_the_nodes_folder_and_pods_on_all_nodes_may_write():
    (volume,), (claim,) = planned().of(VOLUME), planned().of(CLAIM)
    assert volume.inputs["spec"]["hostPath"] == {"path": "/srv/shared", "type": "Directory"}
    assert volume.inputs["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim.inputs["spec"]["accessModes"] == ["ReadWriteMany"]


def test_what_is_on_the_volume_outlives_the_claim():
    (volume,) = planned().of(VOLUME)
    assert volume.inputs["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


def test_a_class_makes_the_volume_of_a_cluster_that_exists():
    plan = planned({**EXISTING, "storage": {"storageClass": "efs", "sizeGiB": 20}})
    assert not plan.of(VOLUME)
    (claim,) = plan.of(CLAIM)
    assert claim.inputs["spec"]["storageClassName"] == "efs"
    # While it waits for its class it must not take what is made for a claim without one.
    assert claim.inputs["metadata"]["name"] == "spark-efs"
    assert "volumeName" not in claim.inputs["spec"]
    assert claim.inputs["spec"]["resources"]["requests"] == {"storage": "20Gi"}


def test_without_a_class_it_has_the_folder_on_its_nodes():
    (volume,) = planned(EXISTING).of(VOLUME)
    assert volume.inputs["spec"]["hostPath"]["path"] == "/srv/shared"
