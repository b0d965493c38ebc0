"""KubeNodes: the key pair and the EC2 instances, one record a node.

The first node is the control plane and has an Elastic IP, so that its address outlives a stop; the
others are workers, reached through it by private addresses, which stay as well. All run Debian 13.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_command as command

from components.aws.network import NetworkStack
from components.cluster.roll import Entrance, Roll
from components.engine.fixed import fixed
from components.node import Machine, Node
from components.settings import NodesSettings, SettingsError
from submission.programs import body_of

# Debian's own account; its images are the same on AWS and on the local cloud.
_DEBIAN_OWNER = "136693071363"
_DEBIAN_NAME = "debian-13-amd64-*"
_ARCHITECTURE = "x86_64"
LOGIN_USER = "admin"

# What kubeadm's preflight asks for.
_LEAST_VCPUS = 2
_LEAST_MEMORY_MIB = 2048

# Debian's images rewrite /etc/hosts at every boot, and with it the control plane's name.
_USER_DATA = "#cloud-config\nmanage_etc_hosts: false\n"

_MAKE_KEY = Path(__file__).parents[1] / "scripts" / "make_key.sh"


def check_instance_type(type_: str, vcpus: int, memory_mib: int, architectures: list[str]) -> None:
    """Raises SettingsError for a type on which kubeadm would not start."""
    if _ARCHITECTURE not in architectures:
        found = f"{type_} ({', '.join(architectures)})"
        raise SettingsError("nodes.type", found, f"a type of the image's kind, {_ARCHITECTURE}")
    if vcpus < _LEAST_VCPUS or memory_mib < _LEAST_MEMORY_MIB:
        raise SettingsError(
            "nodes.type",
            f"{type_} ({vcpus} vCPU, {memory_mib} MiB)",
            f"a type of at least {_LEAST_VCPUS} vCPU and {_LEAST_MEMORY_MIB} MiB",
        )


def find_machine(
    settings: NodesSettings, provider: aws.Provider, zone: str | None = None
) -> Machine:
    """Asks AWS for the image, the type's size and a zone, before anything is made.

    zone: the one that was chosen. Raises SettingsError for a type that can't be a node there.
    """
    ask = pulumi.InvokeOptions(provider=provider)
    try:
        info = aws.ec2.get_instance_type(instance_type=settings.type, opts=ask)
    except Exception as error:
        if "InvalidInstanceType" not in str(error):
            raise
        raise SettingsError("nodes.type", settings.type, "an EC2 instance type") from None
    check_instance_type(
        settings.type, info.default_vcpus, info.memory_size, list(info.supported_architectures)
    )
    offers = aws.ec2.get_instance_type_offerings(
        filters=[
            aws.ec2.GetInstanceTypeOfferingsFilterArgs(name="instance-type", values=[settings.type])
        ],
        location_type="availability-zone",
        opts=ask,
    )
    # Not the region's outposts in other cities (eu-central-1-ham-1a): no EFS is there.
    zones = [zone for zone in offers.locations if re.fullmatch(r"(?:[a-z]+-)+\d[a-z]", zone)]
    if not zones:
        raise SettingsError("nodes.type", settings.type, "a type that the region offers")
    if zone is not None and zone not in zones:
        wanted = f"a zone that offers {settings.type}: {', '.join(sorted(zones))}"
        raise SettingsError("network.zone", zone, wanted)
    image = _find_image(settings, ask)
    found = zone or min(zones)
    return Machine(
        settings.type, image, found, info.default_vcpus, info.memory_size, tuple(sorted(zones))
    )


def _find_image(settings: NodesSettings, ask: pulumi.InvokeOptions) -> str:
    """The image that is chosen, or else Debian's newest. Raises SettingsError for none of ours."""
    chosen = settings.chosen_image
    if chosen is None:
        newest = aws.ec2.get_ami(
            most_recent=True,
            owners=[_DEBIAN_OWNER],
            filters=[aws.ec2.GetAmiFilterArgs(name="name", values=[_DEBIAN_NAME])],
            opts=ask,
        )
        return newest.id
    try:
        image = aws.ec2.get_ami(
            filters=[aws.ec2.GetAmiFilterArgs(name="image-id", values=[chosen])], opts=ask
        )
    except Exception as error:
        if "query returned no results" not in str(error):
            raise
        wanted = "newest, or an image that the region has and this account may use"
        raise SettingsError("nodes.image", chosen, wanted) from None
    if image.architecture != _ARCHITECTURE:
        raise SettingsError(
            "nodes.image", f"{chosen} ({image.architecture})", f"an image for {_ARCHITECTURE}"
        )
    return image.id


class NodesOutputs(TypedDict):
    """What KubeNodes registers."""

    nodes: list[dict[str, Any]]
    keyName: pulumi.Output[str]


@dataclass
class NodesArgs:
    """Where the nodes go, what they are, and how many."""

    network: NetworkStack
    machine: Machine
    settings: NodesSettings
    zone: str | None = None  # the one that was chosen


class KubeNodes(pulumi.ComponentResource):
    """The machines of one cluster, and the key that opens them.

    Outputs: nodes (control plane first), key_name, key_path (a copy of the private key, 0600,
    for people).
    """

    nodes: list[Node]
    key_name: pulumi.Output[str]
    key_path: str

    def __init__(
        self, name: str, args: NodesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:KubeNodes", name, {}, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        # A disk grows while it is used (scripts/disk.sh).
        self._as_made = fixed(
            f"{name}-nodes",
            {"nodes.diskGiB": lambda inputs: inputs.get("rootBlockDevice", {}).get("volumeSize")},
            grows=("nodes.diskGiB",),
        )

        self.key_path = f".tinderbox/{pulumi.get_stack()}/id_ed25519"
        private_key, key_pair = self._create_key()
        self._key_pair, self._private_key = key_pair, private_key
        self.key_name = key_pair.key_name
        self.nodes = [self._create_control_plane()]
        self.nodes += [self._create_worker(n) for n in range(1, args.settings.count)]
        outputs: NodesOutputs = {
            "nodes": [node.record() for node in self.nodes],
            "keyName": self.key_name,
        }
        self.register_outputs(dict(outputs))

    @property
    def control_plane(self) -> Node:
        """The first node."""
        return self.nodes[0]

    @property
    def workers(self) -> list[Node]:
        """All nodes but the control plane."""
        return self.nodes[1:]

    def _create_key(self) -> tuple[pulumi.Output[str], aws.ec2.KeyPair]:
        """Made once, kept as a secret in the state, so that a teammate's update has it as well."""
        made = command.local.Command(
            f"{self._name}-key",
            create=body_of(_MAKE_KEY),
            logging=command.local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["stdout"]),
        )
        public_line = made.stdout.apply(lambda text: text.strip().splitlines()[-1])
        private_key = pulumi.Output.secret(made.stdout).apply(
            lambda text: "\n".join(text.strip().splitlines()[:-1]) + "\n"
        )
        key_pair = aws.ec2.KeyPair(
            f"{self._name}-key-pair",
            public_key=pulumi.Output.unsecret(public_line),
            tags={"Name": f"{self._name}-key-pair"},
            opts=self._child,
        )
        command.local.Command(
            f"{self._name}-key-file",
            create=f"umask 077; mkdir -p $(dirname {self.key_path}); cat > {self.key_path}",
            delete=f"rm -f {self.key_path}",
            stdin=private_key,
            logging=command.local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=self._child,
        )
        return private_key, key_pair

    def _create_control_plane(self) -> Node:
        name = f"{self._name}-control-plane"
        address = aws.ec2.Eip(
            f"{name}-address", domain="vpc", tags={"Name": name}, opts=self._child
        )
        self._roll = Roll(
            self._name,
            name,
            Entrance(address.public_ip, LOGIN_USER, self._private_key),
            self._args.machine.zones,
        )
        instance = self._create_instance(
            name,
            [self._args.network.control_plane_group_id],
            pulumi.ResourceOptions(ignore_changes=["ami", "instanceMarketOptions"]),
        )
        if self._args.settings.image is not None:
            instance.ami.apply(self._tell_of_image)
        association = aws.ec2.EipAssociation(
            f"{name}-address-of-instance",
            allocation_id=address.id,
            instance_id=instance.id,
            opts=self._child,
        )
        # Known when it leads to the instance, not before.
        reachable = pulumi.Output.all(address.public_ip, association.id).apply(lambda all_: all_[0])
        connection = command.remote.ConnectionArgs(host=reachable, **self._login())
        return self._node(name, "control plane", instance, reachable, connection)

    def _create_worker(self, number: int) -> Node:
        name = f"{self._name}-worker-{number}"
        settings = self._args.settings
        instance = self._create_instance(
            name,
            spot=settings.spot,
            opts=pulumi.ResourceOptions(
                # A newer image comes when it is asked for.
                ignore_changes=["ami"] if settings.image is None else [],
                # To AWS's plugin an option that is no longer set is as it was.
                replacement_trigger="spot" if settings.spot else "on demand",
                # AWS can't stop a spot instance.
                replace_on_changes=["instanceType"] if settings.spot else [],
            ),
        )
        connection = command.remote.ConnectionArgs(
            host=instance.private_ip,
            proxy=command.remote.ProxyConnectionArgs(
                host=self.control_plane.address, **self._login()
            ),
            **self._login(),
        )
        return self._node(name, "worker", instance, instance.public_ip, connection)

    def _login(self) -> dict[str, Any]:
        """What every connection has, to the control plane and from there."""
        return {
            "user": LOGIN_USER,
            "private_key": self._private_key,
            # As often as it takes; how long that may be is each step's timeout.
            "dial_error_limit": -1,
            "per_dial_timeout": 10,
        }

    def _node(
        self,
        name: str,
        role: str,
        instance: aws.ec2.Instance,
        address: pulumi.Output[str],
        connection: command.remote.ConnectionArgs,
    ) -> Node:
        return Node(
            name,
            role,
            instance,
            self._args.machine,
            instance.availability_zone.apply(self._is_chosen),
            address,
            private_ip=instance.private_ip,
            host_name=instance.private_dns,
            connection=connection,
        )

    def _is_chosen(self, zone: str) -> str:
        """The zone that the node is in. Raises SettingsError where another one was chosen."""
        if self._args.zone not in (None, zone):
            wanted = f"{zone}, where this cluster is; it can't move: make destroy and make up anew"
            raise SettingsError("network.zone", self._args.zone, wanted)
        return zone

    def _tell_of_image(self, has: str) -> None:
        """Of the control plane, which is not made anew for another image: the cluster is on it."""
        if has != self._args.machine.ami:
            pulumi.log.info(
                f"the control plane keeps its image {has}; workers get {self._args.machine.ami}"
            )

    def _create_instance(
        self,
        name: str,
        groups: Sequence[pulumi.Input[str]] = (),
        opts: pulumi.ResourceOptions | None = None,
        *,
        spot: bool = False,
    ) -> aws.ec2.Instance:
        """groups: besides that of all nodes.

        spot: AWS may take it back; so not for the control plane, which would be the cluster.
        """
        settings = self._args.settings
        market = aws.ec2.InstanceInstanceMarketOptionsArgs(market_type="spot")
        return aws.ec2.Instance(
            name,
            ami=self._args.machine.ami,
            instance_type=self._args.machine.instance_type,
            subnet_id=self._args.network.subnet_id,
            vpc_security_group_ids=[self._args.network.security_group_id, *groups],
            key_name=self._key_pair.key_name,
            user_data=_USER_DATA,
            instance_market_options=market if spot else None,
            metadata_options=aws.ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled",
                http_tokens="required",
                http_put_response_hop_limit=1,  # nodes only: no pod has business there
            ),
            root_block_device=aws.ec2.InstanceRootBlockDeviceArgs(
                volume_size=settings.disk_gib,
                volume_type="gp3",
                encrypted=True,
                delete_on_termination=True,
            ),
            tags={"Name": name},
            opts=functools.reduce(
                pulumi.ResourceOptions.merge,
                (
                    # What counts at the first boot only must not replace a node.
                    pulumi.ResourceOptions(parent=self, ignore_changes=["userData"]),
                    self._as_made,
                    self._roll.options,
                    opts,
                ),
            ),
        )
