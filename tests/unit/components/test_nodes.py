"""KubeNodes: the machines, the key that opens them, and the types that can't be a node."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.aws.nodes import check_instance_type
from components.settings import SettingsError
from tests.unit.plan import T3_MEDIUM, Plan, plan, planned

INSTANCE = "aws:ec2/instance:Instance"


@pytest.mark.parametrize("count", [1, 3, 10])
def test_as_many_instances_as_nodes(count):
    made = planned({"nodes": {"count": count}})
    names = [instance.name for instance in made.of(INSTANCE)]
    workers = [f"tinderbox-test-worker-{number}" for number in range(1, count)]
    assert sorted(names) == sorted(["tinderbox-test-control-plane", *workers])


@pytest.mark.parametrize("count", [1, 3, 10])
def test_one_elastic_address_and_it_is_the_control_planes(count):
    made = planned({"nodes": {"count": count}})
    (address,) = made.of("aws:ec2/eip:Eip")
    (association,) = made.of("aws:ec2/eipAssociation:EipAssociation")
    assert association.inputs["allocationId"] == f"{address.name}-id"
    assert association.inputs["instanceId"] == "tinderbox-test-control-plane-id"


def test_the_outputs_tell_every_node():
    nodes = planned().exported["nodes"]
    assert [(node["name"], node["role"]) for node in nodes] == [
        ("tinderbox-test-control-plane", "control plane"),
        ("tinderbox-test-worker-1", "worker"),
        ("tinderbox-test-worker-2", "worker"),
    ]
    assert nodes[0] == {
        "name": "tinderbox-test-control-plane",
        "role": "control plane",
        "instanceId": "tinderbox-test-control-plane-id",
        "hostName": "tinderbox-test-control-plane.compute.internal",
        "privateIp": "10.42.0.7",
        "publicIp": "198.18.1.1",  # the Elastic IP, not the one of the first boot
    }
    assert nodes[1]["publicIp"] == "198.18.1.7"


def test_every_node_is_as_the_settings_say():
    made = planned({"nodes": {"type": "m7i.large", "diskGiB": 33}})
    for instance in made.of(INSTANCE):
        assert instance.inputs["instanceType"] == "m7i.large"
        assert instance.inputs["rootBlockDevice"]["volumeSize"] == 33
        assert instance.inputs["ami"] == "ami-1"


def test_every_root_volume_is_encrypted_and_goes_with_its_node():
    for instance in planned({"nodes": {"count": 10}}).of(INSTANCE):
        disk = instance.inputs["rootBlockDevice"]
        assert disk["encrypted"] is True
        assert disk["deleteOnTermination"] is True
        assert disk["volumeType"] == "gp3"


def test_metadata_needs_a_token_and_does_not_reach_pods():
    for instance in planned({"nodes": {"count": 10}}).of(INSTANCE):
        assert instance.inputs["metadataOptions"] == {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        }


def test_every_node_is_in_the_subnet_and_its_groups_with_the_key():
    for instance in planned().of(INSTANCE):
        assert instance.inputs["subnetId"] == "tinderbox-test-subnet-id"
        groups = ["tinderbox-test-nodes-id"]
        if instance.name == "tinderbox-test-control-plane":
            groups.append("tinderbox-test-control-plane-group-id")
        assert instance.inputs["vpcSecurityGroupIds"] == groups
        assert "associatePublicIpAddress" not in instance.inputs  # the subnet sees to it


def test_a_newer_image_comes_to_workers_that_are_asked_to_have_it():
    assert planned().options_of("worker-1").ignore_changes == {"ami", "userData"}
    for image in ("newest", "ami-0123456789abcdef0"):
        made = planned({"nodes": {"image": image}})
        assert made.options_of("worker-1").ignore_changes == {"userData"}
        found = "ami-1" if image == "newest" else image
        assert made.one("worker-1").inputs["ami"] == found
    # The cluster is on the control plane: nothing makes that anew.
    for settings in ({}, {"image": "newest"}, {"spot": True}):
        options = planned({"nodes": settings}).options_of("control-plane")
        assert options.ignore_changes == {"ami", "userData", "instanceMarketOptions"}
        assert not options.replaced_for and not options.replacement_trigger


def test_of_the_control_plane_s_image_the_preview_tells(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    instance = (INSTANCE, "tinderbox-test-control-plane")
    chosen = {"nodes": {"image": "ami-0123456789abcdef0"}}
    plan(chosen)
    assert said == []
    plan(chosen, recorder=Plan(stays={instance: {"ami": "ami-1"}}))
    assert said == [
        "the control plane keeps its image ami-1; workers get ami-0123456789abcdef0",
    ]
    plan({}, recorder=Plan(stays={instance: {"ami": "ami-0"}}))
    assert len(said) == 1


def test_spot_workers_can_not_be_stopped_and_are_replaced():
    for spot, bought in ((True, "spot"), (False, "on demand")):
        options = planned({"nodes": {"spot": spot}}).options_of("worker-1")
        assert "instanceMarketOptions" not in options.ignore_changes
        assert options.replacement_trigger == bought
        assert options.replaced_for == ({"instanceType"} if spot else set())


class Images(Plan):
    """AWS with other images than the one."""

    def call(self, args: Any) -> Any:
        if args.token != "aws:ec2/getAmi:getAmi":
            return super().call(args)
        if self.image(args.args) == "ami-00000000":
            return {}, [("", "Your query returned no results. Please change your search criteria")]
        return {**args.args, "id": self.image(args.args), "architecture": "arm64"}


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("ami-00000000", "newest, or an image that the region has and this account may use"),
        ("ami-00000001", r"'ami-00000001 \(arm64\)'; it must be an image for x86_64"),
    ],
)
def test_an_image_that_can_be_no_node_is_refused_before_anything_is_made(image, says):
    asked = Images()
    with pytest.raises(SettingsError, match=rf"tinderbox:nodes\.image is .*{says}"):
        plan({"nodes": {"image": image}}, recorder=asked)
    assert not [made for made in asked.made if not made.type.startswith("pulumi:providers:")]


def test_nodes_are_bought_on_demand_unless_spot_is_asked_for():
    for instance in planned().of(INSTANCE):
        assert "instanceMarketOptions" not in instance.inputs
    bought = {
        instance.name.removeprefix("tinderbox-test-"): instance.inputs.get("instanceMarketOptions")
        for instance in planned({"nodes": {"spot": True}}).of(INSTANCE)
    }
    spot = {"marketType": "spot"}
    # Without its control plane a cluster is none.
    assert bought == {"control-plane": None, "worker-1": spot, "worker-2": spot}


def test_the_private_key_is_a_secret_wherever_it_goes():
    made = planned()
    assert made.options_of("key", "command:local:Command").secret_outputs == {"stdout"}
    key_file = made.one("key-file")
    assert key_file.inputs["stdin"] == "PRIVATE\nKEY\n"
    assert "stdin" in key_file.secrets
    for resource in made.made:
        for name, value in resource.inputs.items():
            if "PRIVATE" in repr(value):
                assert name in resource.secrets, f"{resource.name}: {name}"


def test_the_public_key_is_no_secret():
    pair = planned().one("key-pair")
    assert pair.inputs["publicKey"] == "ssh-ed25519 AAAA tinderbox"
    assert not pair.secrets


def test_neither_key_command_is_logged():
    for name in ("key", "key-file"):
        assert planned().one(name, "command:local:Command").inputs["logging"] == "none"


def test_no_stack_that_there_is_gets_another_key():
    """Its nodes would all be replaced: the text is the one that is in their states."""
    create = planned().one("key", "command:local:Command").inputs["create"]
    known = "5c33a67c14e03078634d54e5e17b3e36d504560e98c965a7111f1bea8a4c1519"
    assert hashlib.sha256(create.encode()).hexdigest() == known


def test_the_key_file_is_for_its_owner_only(tmp_path):
    create = planned().one("key-file").inputs["create"]
    subprocess.run(["sh", "-c", create], cwd=tmp_path, input=b"PRIVATE\n", check=True)
    file = tmp_path / ".tinderbox" / "test" / "id_ed25519"
    assert file.read_text() == "PRIVATE\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    subprocess.run(["sh", "-c", planned().one("key-file").inputs["delete"]], cwd=tmp_path)
    assert not file.exists()


def test_a_key_is_made_and_nothing_of_it_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    create = planned().one("key", "command:local:Command").inputs["create"]
    made = subprocess.run(["sh", "-c", create], capture_output=True, text=True, check=True)
    *private, public = made.stdout.strip().splitlines()
    assert private[0] == "-----BEGIN OPENSSH PRIVATE KEY-----"
    assert private[-1] == "-----END OPENSSH PRIVATE KEY-----"
    assert public.startswith("ssh-ed25519 ")
    assert not list(tmp_path.iterdir())


def test_a_connection_tries_as_long_as_the_step_may_take():
    to_control_plane = planned().one("control-plane-ready").inputs["connection"]
    to_worker = planned().one("worker-1-ready").inputs["connection"]
    for connection in (to_control_plane, to_worker, to_worker["proxy"]):
        assert connection["user"] == "admin"
        assert connection["dialErrorLimit"] == -1
        assert connection["privateKey"] == "PRIVATE\nKEY\n"


def test_workers_are_reached_through_the_control_plane_by_addresses_that_stay():
    """So a worker that was stopped and started, with another public address, needs nothing."""
    made = planned()
    steps = [step for step in made.made if "connection" in step.inputs]
    for step in steps:
        connection = step.inputs["connection"]
        if "proxy" not in connection:
            assert connection["host"] == "198.18.1.1", step.name
            continue
        assert step.name.startswith("tinderbox-test-worker-")
        assert connection["host"] == "10.42.0.7"
        assert connection["proxy"]["host"] == "198.18.1.1"
        assert "control-plane-address-of-instance" in made.waits_for(step.name)
    through = [step.name for step in steps if "proxy" in step.inputs["connection"]]
    assert len(through) == 2 * len(
        ("ready", "disk", "packages", "containerd", "images", "storage", "join", "upgrade")
    )
    assert "198.18.1.7" not in json.dumps([step.inputs for step in steps])


def test_the_control_plane_is_reached_once_its_address_leads_there():
    assert "control-plane-address-of-instance" in planned().waits_for("control-plane-ready")


@pytest.mark.parametrize(
    ("vcpus", "memory", "architectures", "message"),
    [
        (1, 4096, ["x86_64"], r"'t9\.x \(1 vCPU, 4096 MiB\)'; .* at least 2 vCPU and 2048 MiB"),
        (2, 1024, ["x86_64"], r"'t9\.x \(2 vCPU, 1024 MiB\)'; .* at least 2 vCPU and 2048 MiB"),
        (2, 4096, ["i386"], r"'t9\.x \(i386\)'; it must be a type of x86_64 or arm64"),
    ],
)
def test_a_type_on_which_kubeadm_would_not_start(vcpus, memory, architectures, message):
    with pytest.raises(SettingsError, match=r"tinderbox:nodes\.type is " + message):
        check_instance_type("nodes", "t9.x", vcpus, memory, architectures)


def test_the_smallest_type_that_will_do():
    assert check_instance_type("nodes", "t3.small", 2, 2048, ["i386", "x86_64"]) == "x86_64"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Plan(instance_type={**T3_MEDIUM, "defaultVcpus": 1}), "at least 2 vCPU"),
        (Plan(instance_type={**T3_MEDIUM, "memorySize": 1024}), "at least 2 vCPU"),
        (Plan(instance_type={**T3_MEDIUM, "supportedArchitectures": ["arm64"]}), "debian-13-arm64"),
        (Plan(instance_type={}), "an EC2 instance type"),
        (Plan(zones=()), "a type that the region offers"),
        (Plan(zones=("eu-central-1-wl1-ber-wlz-1",)), "a type that the region offers"),
    ],
)
def test_nothing_is_made_with_a_type_that_can_be_no_node(asked, message):
    with pytest.raises(SettingsError, match=r"tinderbox:nodes\.type is ") as caught:
        plan(recorder=asked)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [made for made in asked.made if not made.type.startswith("pulumi:providers:")]


def test_the_zone_is_one_that_offers_the_type_and_always_the_same():
    for zones in (
        ("eu-central-1b", "eu-central-1c"),
        ("eu-central-1c", "eu-central-1b"),
        ("eu-central-1-ham-1a", "eu-central-1b"),  # a local zone, without EFS
    ):
        made = plan(recorder=Plan(zones=zones))
        assert made.one("subnet").inputs["availabilityZone"] == "eu-central-1b"
        init = made.one("control-plane-init").inputs["stdin"]
        # Where the node is, not where it was wished.
        assert "topology.kubernetes.io/zone=eu-central-1a" in init


def test_another_error_of_aws_is_not_taken_for_a_bad_type():
    class Offline(Plan):
        def call(self, args):
            return {}, [("region", "no credentials")]

    with pytest.raises(Exception, match="no credentials") as caught:
        plan(recorder=Offline())
    assert not isinstance(caught.value, SettingsError)


def test_the_name_of_no_node_is_rewritten_at_boot():
    for instance in planned().of(INSTANCE):
        assert instance.inputs["userData"] == "#cloud-config\nmanage_etc_hosts: false\n"


def test_what_the_program_writes_here_git_ignores():
    ignored = (Path(__file__).parents[3] / ".gitignore").read_text().splitlines()
    assert "/.tinderbox/" in ignored
    assert "/inventory.json" in ignored


def test_a_zone_can_be_chosen():
    made = plan({"network": {"zone": "eu-central-1b"}}, recorder=Plan(placed="eu-central-1b"))
    subnet = made.one("subnet", "aws:ec2/subnet:Subnet")
    assert subnet.inputs["availabilityZone"] == "eu-central-1b"


def test_a_zone_that_lacks_the_type_is_refused_with_those_that_have_it():
    with pytest.raises(SettingsError) as caught:
        plan({"network": {"zone": "eu-central-1c"}})
    assert "a zone that offers t3.medium: eu-central-1a, eu-central-1b" in str(caught.value)


# disk.sh

LSBLK = """
case "$*" in
  *PKNAME*) echo nvme0n1 ;;
  *PARTN*) echo "    1" ;;
  *SIZE*/dev/nvme0n1p1) cat "$SANDBOX/part" ;;
  *SIZE*/dev/nvme0n1) cat "$SANDBOX/disk" ;;
esac
"""
GIB = 1024**3


@pytest.fixture
def disk(sandbox, tmp_path):
    """Runs disk.sh on a machine; arguments: the disk's size, its partition's, what is asked for."""
    sandbox.fake("findmnt", "echo /dev/nvme0n1p1")
    sandbox.fake("lsblk", LSBLK)
    sandbox.fake("growpart", 'cmp -s "$SANDBOX/"{disk,part} && exit 1; cp "$SANDBOX/"{disk,part}')
    sandbox.fake("resize2fs")
    sandbox.fake("systemctl")

    def run(has: int, part: int, wanted: int):
        (tmp_path / "disk").write_text(f"{has * GIB}\n")
        (tmp_path / "part").write_text(f"{part * GIB}\n")
        return sandbox.step("disk.sh", DISK_GIB=wanted)

    return run


def test_a_file_system_grows_with_its_disk(disk, sandbox):
    ran = disk(30, 20, wanted=30)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert sandbox.calls("growpart") == ["/dev/nvme0n1 1"]
    assert sandbox.calls("resize2fs") == ["/dev/nvme0n1p1"]
    assert sandbox.calls("systemctl") == ["try-restart kubelet"]  # so that the node tells of it


def test_one_that_has_its_size_stays(disk, sandbox):
    assert disk(20, 20, wanted=20).returncode == 0
    assert sandbox.calls("systemctl") == []


def test_a_disk_that_does_not_grow_is_told_of(disk, sandbox):
    sandbox.fake("sleep", "exit 1")  # ends the wait
    assert disk(20, 20, wanted=30).returncode != 0
    assert not sandbox.calls("growpart")


def test_a_machine_of_the_local_cloud_has_no_disk_of_its_own(disk, sandbox):
    sandbox.fake("findmnt", "echo overlay")
    assert disk(20, 20, wanted=30).returncode == 0
    assert not sandbox.calls("growpart")
