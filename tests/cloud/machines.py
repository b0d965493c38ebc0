"""What the tests do with the local cloud: as a user of AWS would, and as root of the host."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.api.client import ec2_client
from localcloud.host.shell import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
OPERATOR = "10.43.0.1/32"


def localcloud(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `python -m localcloud`; with `check` it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "localcloud", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=3600,  # a cold mirror is built here
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def state() -> dict[str, Any]:
    """What `localcloud status --json` says."""
    return json.loads(localcloud("status", "--json").stdout)


def permission(protocol: str, port: int, **peer: str) -> dict[str, Any]:
    """An IpPermission of one port for a `cidr` or the members of a `group`."""
    entry: dict[str, Any] = {"IpProtocol": protocol, "FromPort": port, "ToPort": port}
    if "cidr" in peer:
        entry["IpRanges"] = [{"CidrIp": peer["cidr"]}]
    else:
        entry["UserIdGroupPairs"] = [{"GroupId": peer["group"]}]
    return entry


@dataclass(frozen=True)
class Network:
    """A VPC with one public subnet, a group that lets the operator's SSH in, and a key pair."""

    vpc: str
    subnet: str
    group: str
    key_name: str
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Network:
        """Make it, with a new key in `folder`."""
        client = ec2_client()
        vpc = client.create_vpc(CidrBlock="10.42.0.0/16")["Vpc"]["VpcId"]
        subnet = client.create_subnet(VpcId=vpc, CidrBlock="10.42.0.0/20")["Subnet"]["SubnetId"]
        client.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
        group = client.create_security_group(VpcId=vpc, GroupName="nodes", Description="nodes")
        client.authorize_security_group_ingress(
            GroupId=group["GroupId"], IpPermissions=[permission("tcp", 22, cidr=OPERATOR)]
        )
        name = uuid.uuid4().hex[:8]
        key = folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        public = key.with_suffix(".pub").read_bytes()
        client.import_key_pair(KeyName=name, PublicKeyMaterial=public)
        return cls(vpc, subnet, group["GroupId"], name, key)

    def run(self, count: int, user_data: str = "") -> list[Node]:
        """Run instances and wait until they take SSH."""
        client = ec2_client()
        image = client.describe_images(Owners=["136693071363"])["Images"][0]["ImageId"]
        answer = client.run_instances(
            ImageId=image,
            MinCount=count,
            MaxCount=count,
            InstanceType="t3.medium",
            KeyName=self.key_name,
            SubnetId=self.subnet,
            SecurityGroupIds=[self.group],
            UserData=user_data,
        )
        nodes = [Node(one["InstanceId"], self.key) for one in answer["Instances"]]
        for node in nodes:
            assert node.wait_ssh(), f"{node.id} does not take SSH\n{node.console()}"
        return nodes


@dataclass(frozen=True)
class Node:
    """An instance and the key to it."""

    id: str
    key: Path

    def describe(self) -> dict[str, Any]:
        """What the API says of it."""
        answer = ec2_client().describe_instances(InstanceIds=[self.id])
        return answer["Reservations"][0]["Instances"][0]

    @property
    def address(self) -> str:
        """Its private address."""
        return self.describe()["PrivateIpAddress"]

    @property
    def public(self) -> str:
        """Its public address at the moment."""
        return self.describe()["PublicIpAddress"]

    def ssh(self, command: str, address: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as `admin` by SSH to the public (or the given) address."""
        return subprocess.run(
            ["ssh", "-i", self.key, "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"]
            + ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
            + ["-o", "ConnectTimeout=2", f"admin@{address or self.public}", command],
            capture_output=True,
            text=True,
            timeout=60,
        )

    def out(self, command: str) -> str:
        """What the command prints there; it must succeed."""
        done = self.ssh(command)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def wait_ssh(self, address: str = "") -> bool:
        """Whether it takes SSH within 30 s."""
        return wait_until(lambda: self.ssh("true", address).returncode == 0, 30, 0.1)

    def reaches(self, address: str, port: int) -> bool:
        """Whether a TCP connection from it to the port is answered (refused counts) within 1 s."""
        script = f"exec 3<>/dev/tcp/{address}/{port}"
        done = self.ssh(f"timeout 1 bash -c '{script}'")
        return done.returncode == 0 or "refused" in done.stderr

    def console(self) -> str:
        """The end of its console's log."""
        place = Path(f"/var/lib/tinderbox/machines/{self.id}/console.log")
        return place.read_text(errors="replace")[-3000:] if place.exists() else "no console"
