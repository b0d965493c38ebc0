"""Machines of the local cloud do what EC2's do; each test leaves them as it found them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.api.client import ec2_client
from localcloud.host import cgroups
from localcloud.host import network as host_network
from localcloud.host.shell import run, wait_until
from localcloud.machines import machine
from tests.cloud.machines import Network, Node, permission, state

USER_DATA = "#!/bin/sh\nid -un >/root/user-data-ran\n"


@pytest.fixture(scope="module")
def nodes(network: Network) -> list[Node]:
    """Two machines that take SSH."""
    return network.run(2, USER_DATA)


def wait_state(node: Node, name: str) -> bool:
    return wait_until(lambda: node.describe()["State"]["Name"] == name, 30, 0.1)


def test_login_is_admin_with_sudo_and_user_data_ran(nodes: list[Node]) -> None:
    for node in nodes:
        assert node.out("id -un; sudo id -un") == "admin\nroot"
        assert node.out("cloud-init status --wait") == "status: done"
        assert node.out("sudo cat /root/user-data-ran") == "root"


def test_no_unit_failed(nodes: list[Node]) -> None:
    assert nodes[0].out("systemctl --failed --no-legend --plain") == ""


def test_names_are_ec2s(nodes: list[Node]) -> None:
    first, second = nodes
    name = second.describe()["PrivateDnsName"]
    assert name == f"ip-{second.address.replace('.', '-')}.eu-central-1.compute.internal"
    assert second.out("hostname; hostname -f") == f"{name.partition('.')[0]}\n{name}"
    assert first.out(f"getent hosts {name}").split()[0] == second.address
    assert first.out(f"getent hosts {second.address}").split()[1] == name
    assert first.ssh("getent hosts example.com").returncode == 2
    assert name in second.out("getent -s files hosts $(hostname)")


def test_machines_have_what_a_kubelet_needs(nodes: list[Node]) -> None:
    node = nodes[0]
    assert node.out("findmnt -n -o PROPAGATION /") == "shared"
    # Of cgroup v1 each controller is a tree, of v2 all are one.
    assert node.out("cd /sys/fs/cgroup; cd pids 2>&-; sudo mkdir probe && sudo rmdir probe") == ""
    node.out("test -s /boot/config-$(uname -r)")
    assert node.out("test -c /dev/kmsg && findmnt -n -o FSTYPE -T /var/lib/containerd") != "overlay"
    # containerd's snapshots are overlays on its folder.
    overlay = "lowerdir=l,upperdir=u,workdir=w"
    assert node.ssh(
        "cd /var/lib/containerd && sudo mkdir -p t/l t/u t/w t/m && cd t && "
        f"sudo mount -t overlay overlay -o {overlay} m && sudo umount m && sudo rm -r ../t"
    ).returncode == 0  # fmt: skip


def test_the_shared_folder_is_a_mount_that_all_see(nodes: list[Node]) -> None:
    first, second = nodes
    first.out("mountpoint /srv/shared && echo hello | sudo tee /srv/shared/greeting")
    assert second.out("cat /srv/shared/greeting") == "hello"


def test_machines_get_only_as_far_as_the_bridge(nodes: list[Node]) -> None:
    node = nodes[0]
    assert node.reaches("10.43.0.1", 8080)
    for line in run(["ip", "-o", "-4", "address"]).splitlines():
        _, link, _, address, *_ = line.split()
        if link not in ("lo", "tbx0"):
            assert not node.reaches(address.partition("/")[0], 8080)
    assert not node.reaches("192.0.2.77", 80)


def test_a_closed_port_is_closed_and_an_open_one_opens_at_once(
    nodes: list[Node], network: Network
) -> None:
    first, second = nodes
    client, opening = ec2_client(), [permission("tcp", 6443, group=network.group)]
    assert not first.reaches(second.address, 6443)
    client.authorize_security_group_ingress(GroupId=network.group, IpPermissions=opening)
    assert wait_until(lambda: first.reaches(second.address, 6443), 10)
    assert not first.reaches(second.address, 6444)
    client.revoke_security_group_ingress(GroupId=network.group, IpPermissions=opening)
    assert wait_until(lambda: not first.reaches(second.address, 6443), 10)


def test_egress_is_closed_when_its_rule_goes(nodes: list[Node], network: Network) -> None:
    node, client = nodes[0], ec2_client()
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    client.revoke_security_group_egress(GroupId=network.group, IpPermissions=everything)
    assert wait_until(lambda: not node.reaches("10.43.0.1", 8080), 10)
    name = node.describe()["PrivateDnsName"]
    assert node.ssh(f"getent hosts {name}").returncode == 0  # the resolver needs no rule, as on AWS
    client.authorize_security_group_egress(GroupId=network.group, IpPermissions=everything)
    assert wait_until(lambda: node.reaches("10.43.0.1", 8080), 10)


def test_a_machine_cannot_send_as_another(nodes: list[Node]) -> None:
    first, second = nodes
    first.out("sudo ip address add 10.42.9.9/32 dev lo")
    assert first.ssh(f"ping -c 1 -W 1 -I 10.42.9.9 {second.address}").returncode != 0


@pytest.fixture
def elastic() -> Iterator[dict[str, str]]:
    client = ec2_client()
    answer = client.allocate_address(Domain="vpc")
    yield answer
    client.release_address(AllocationId=answer["AllocationId"])


def test_an_elastic_ip_leads_to_its_machine(
    nodes: list[Node], network: Network, elastic: dict[str, str]
) -> None:
    first, second = nodes
    client, former = ec2_client(), first.public
    assert elastic["PublicIp"].startswith("10.43.0.")
    client.associate_address(InstanceId=first.id, AllocationId=elastic["AllocationId"])
    assert first.public == elastic["PublicIp"]
    assert first.wait_ssh(elastic["PublicIp"])
    assert first.ssh("true", former).returncode != 0
    # From inside, packets to a public address carry the sender's own public one.
    opening = [permission("tcp", 22, cidr=f"{second.public}/32")]
    assert not second.reaches(elastic["PublicIp"], 22)
    client.authorize_security_group_ingress(GroupId=network.group, IpPermissions=opening)
    assert wait_until(lambda: second.reaches(elastic["PublicIp"], 22), 10)
    client.revoke_security_group_ingress(GroupId=network.group, IpPermissions=opening)
    client.disassociate_address(PublicIp=elastic["PublicIp"])
    assert first.wait_ssh()


def test_a_reboot_keeps_the_disk(nodes: list[Node]) -> None:
    node = nodes[1]
    node.out("sudo touch /run/before /etc/kept")
    ec2_client().reboot_instances(InstanceIds=[node.id])
    assert wait_until(lambda: node.ssh("test ! -e /run/before").returncode == 0, 30, 0.1)
    assert node.ssh("test -e /etc/kept").returncode == 0


def test_a_reboot_from_inside_works_too(nodes: list[Node]) -> None:
    node = nodes[1]
    node.out("sudo touch /run/before")
    node.ssh("sudo systemctl reboot")
    assert wait_until(lambda: node.ssh("test ! -e /run/before").returncode == 0, 30, 0.1)
    assert node.describe()["State"]["Name"] == "running"


def test_stop_and_start(nodes: list[Node]) -> None:
    node, client = nodes[1], ec2_client()
    client.stop_instances(InstanceIds=[node.id])
    assert wait_until(lambda: not cgroups.processes(node.id), 30)
    assert wait_until(lambda: host_network.namespace(node.id) not in host_network.namespaces(), 5)
    client.start_instances(InstanceIds=[node.id])
    assert node.wait_ssh()


def test_stopped_and_started_at_once_it_boots_anew_as_what_it_is_now(
    nodes: list[Node], elastic: dict[str, str]
) -> None:
    """However fast: no look of the reconciler needs to fall between. Its Elastic IP stays."""
    node, client = nodes[1], ec2_client()
    client.associate_address(InstanceId=node.id, AllocationId=elastic["AllocationId"])
    assert node.wait_ssh(elastic["PublicIp"])
    for type_, gibibytes in (("t3.large", 8), ("t3.medium", 4)):
        node.out("sudo touch /run/before")
        client.stop_instances(InstanceIds=[node.id])
        client.modify_instance_attribute(InstanceId=node.id, InstanceType={"Value": type_})
        client.start_instances(InstanceIds=[node.id])
        assert node.public == elastic["PublicIp"]
        assert wait_until(lambda: node.ssh("test ! -e /run/before").returncode == 0, 30, 0.1)
        shown = {one["id"]: one for one in state()["instances"]}
        assert shown[node.id]["memoryLimit"] == gibibytes * 2**30
        total = node.out("awk '/^MemTotal/ {print $2}' /proc/meminfo")
        assert int(total) == gibibytes * 2**20
    client.disassociate_address(PublicIp=elastic["PublicIp"])
    assert node.wait_ssh()


def test_power_off_from_inside_shows_as_stopped(nodes: list[Node]) -> None:
    node = nodes[1]
    node.ssh("sudo systemctl poweroff")
    assert wait_state(node, "stopped")
    ec2_client().start_instances(InstanceIds=[node.id])
    assert node.wait_ssh()


def test_a_machine_that_is_killed_comes_back(nodes: list[Node]) -> None:
    node = nodes[1]
    node.out("sudo touch /run/before")
    cgroups.kill(node.id)
    assert wait_until(lambda: node.ssh("test ! -e /run/before").returncode == 0, 30, 0.1)
    assert node.describe()["State"]["Name"] == "running"


def test_status_tells_of_machines(nodes: list[Node]) -> None:
    shown = {one["id"]: one for one in state()["instances"]}
    assert set(shown) == {node.id for node in nodes}
    one = shown[nodes[0].id]
    assert (one["state"], one["private"]) == ("running", nodes[0].address)
    assert one["public"] == nodes[0].public
    assert wait_until(lambda: state()["instances"][0]["machine"] == "ready", 30)
    assert one["uptime"] > 0
    assert 2**20 < one["memory"] < one["memoryLimit"] == 4 * 2**30


def test_termination_removes_the_machine(network: Network) -> None:
    (node,) = network.run(1)
    ec2_client().terminate_instances(InstanceIds=[node.id])
    assert wait_until(lambda: not machine.folder(node.id).exists(), 10)
    assert node.id not in cgroups.names()
    assert host_network.namespace(node.id) not in host_network.namespaces()
    assert not Path(f"/run/systemd/nspawn/propagate/{node.id}").exists()
    assert node.id not in {one["id"] for one in state()["instances"]}
