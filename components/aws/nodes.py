"""KubeNodes: the key pair and the EC2 instances, one record a node.

The first node is a control plane and has an Elastic IP, so that its address outlives a stop; the
others are reached through it by private addresses, which stay as well. All run Debian 13.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_command as command

from components.aws.first import First
from components.aws.network import NetworkStack
from components.cluster.roll import Entrance, Roll
from components.engine.fixed import fixed
from components.node import Machine, Node
from components.settings import Settings, SettingsError
from components.settings.node_plan import NodePlan, node_plans
from submission.programs import body_of

# Debian's own account; its images are the same on AWS and on the local cloud.
_DEBIAN_OWNER = "136693071363"
# By the architecture's name at EC2, which knows more of them than there are images for.
_DEBIAN_NAMES = {"x86_64": "debian-13-amd64-*", "arm64": "debian-13-arm64-*"}
_USUAL, _ARCHITECTURE_TAG = "x86_64", "Architecture"
LOGIN_USER = "admin"

# What kubeadm's preflight asks for.
_LEAST_VCPUS = 2
_LEAST_MEMORY_MIB = 2048

# Debian's images rewrite /etc/hosts at every boot, and with it the control plane's name.
_USER_DATA = "#cloud-config\nmanage_etc_hosts: false\n"

_MAKE_KEY = Path(__file__).parents[1] / "scripts" / "make_key.sh"


def check_instance_type(
    key: str, type_: str, vcpus: int, memory_mib: int, architectures: Sequence[str]
) -> str:
    """The architecture of a type. Raises SettingsError for one on which kubeadm would not start."""
    known = [name for name in _DEBIAN_NAMES if name in architectures]
    if not known:
        found = f"{type_} ({', '.join(architectures)})"
        raise SettingsError(f"{key}.type", found, f"a type of {' or '.join(_DEBIAN_NAMES)}")
    if vcpus < _LEAST_VCPUS or memory_mib < _LEAST_MEMORY_MIB:
        raise SettingsError(
            f"{key}.type",
            f"{type_} ({vcpus} vCPU, {memory_mib} MiB)",
            f"a type of at least {_LEAST_VCPUS} vCPU and {_LEAST_MEMORY_MIB} MiB",
        )
    return known[0]


@dataclass(frozen=True)
class Machines:
    """What the nodes are, by instance type, and the zone that a new cluster goes to."""

    by_type: Mapping[str, Machine]
    zone: str


def find_machines(settings: Settings, provider: aws.Provider) -> Machines:
    """Asks AWS for images, the types' sizes and a zone, before anything is made.

    Raises SettingsError for a type that can't be a node.
    """
    ask = pulumi.InvokeOptions(provider=provider)
    chosen = _find_chosen(settings, ask)
    found: dict[str, Machine] = {}
    zones: set[str] = set()
    for plan in node_plans(settings):
        if plan.type in found:
            continue
        machine = found[plan.type] = _find_machine(plan, chosen, ask)
        asked = settings.network.zone
        if asked is not None and asked not in machine.zones:
            wanted = f"a zone that offers {plan.type}: {', '.join(machine.zones)}"
            raise SettingsError("network.zone", asked, wanted)
        if zones and zones.isdisjoint(machine.zones):
            wanted = f"a type that a zone of the other nodes offers: {', '.join(sorted(zones))}"
            raise SettingsError(f"{plan.key}.type", plan.type, wanted)
        zones = zones.intersection(machine.zones) or {*machine.zones}
    return Machines(found, settings.network.zone or min(zones))


def _find_machine(
    plan: NodePlan, chosen: aws.ec2.GetAmiResult | None, ask: pulumi.InvokeOptions
) -> Machine:
    """chosen: the image to take; without one it is Debian's newest for the type."""
    type_, key = plan.type, f"{plan.key}.type"
    try:
        info = aws.ec2.get_instance_type(instance_type=type_, opts=ask)
    except Exception as error:
        if "InvalidInstanceType" not in str(error):
            raise
        raise SettingsError(key, type_, "an EC2 instance type") from None
    architecture = check_instance_type(
        plan.key, type_, info.default_vcpus, info.memory_size, info.supported_architectures
    )
    if chosen is not None and chosen.architecture != architecture:
        if plan.key == "nodes":
            found = f"{chosen.id} ({chosen.architecture})"
            raise SettingsError("nodes.image", found, f"an image for {architecture}")
        wanted = f"a type of {chosen.architecture}, for which nodes.image is; newest is for any"
        raise SettingsError(key, f"{type_} ({architecture})", wanted)
    offers = aws.ec2.get_instance_type_offerings(
        filters=[aws.ec2.GetInstanceTypeOfferingsFilterArgs(name="instance-type", values=[type_])],
        location_type="availability-zone",
        opts=ask,
    )
    # Not the region's outposts in other cities (eu-central-1-ham-1a): no EFS is there.
    zones = [zone for zone in offers.locations if re.fullmatch(r"(?:[a-z]+-)+\d[a-z]", zone)]
    if not zones:
        raise SettingsError(key, type_, "a type that the region offers")
    image = _find_newest(architecture, ask) if chosen is None else chosen.id
    if image is None:
        wanted = f"of another architecture: the region has no image {_DEBIAN_NAMES[architecture]}"
        raise SettingsError(key, f"{type_} ({architecture})", wanted)
    return Machine(
        type_, image, info.default_vcpus, info.memory_size, tuple(sorted(zones)), architecture
    )


def _find_newest(architecture: str, ask: pulumi.InvokeOptions) -> str | None:
    """Debian's newest image; None where the region has none."""
    name = aws.ec2.GetAmiFilterArgs(name="name", values=[_DEBIAN_NAMES[architecture]])
    found = _find_image(ask, most_recent=True, owners=[_DEBIAN_OWNER], filters=[name])
    return None if found is None else found.id


def _find_chosen(settings: Settings, ask: pulumi.InvokeOptions) -> aws.ec2.GetAmiResult | None:
    """The image that the settings name. Raises SettingsError for one that is none of ours."""
    chosen = settings.nodes.chosen_image
    if chosen is None:
        return None
    image = _find_image(ask, filters=[aws.ec2.GetAmiFilterArgs(name="image-id", values=[chosen])])
    if image is None:
        wanted = "newest, or an image that the region has and this account may use"
        raise SettingsError("nodes.image", chosen, wanted)
    return image


def _find_image(ask: pulumi.InvokeOptions, **query: Any) -> aws.ec2.GetAmiResult | None:
    try:
        return aws.ec2.get_ami(**query, opts=ask)
    except Exception as error:
        if "query returned no results" not in str(error):
            raise
        return None


def _grows(name: str, key: str) -> pulumi.ResourceOptions:
    """A disk grows while it is used (scripts/disk.sh), and does not shrink."""
    size = f"{key}.diskGiB"
    return fixed(
        f"{name}-{key}",
        {size: lambda inputs: inputs.get("rootBlockDevice", {}).get("volumeSize")},
        grows=(size,),
    )


def _architecture(inputs: Mapping[str, Any]) -> str | None:
    """Of an instance, by its tag, which those of x86_64 don't have."""
    return inputs["tags"].get(_ARCHITECTURE_TAG, _USUAL) if "tags" in inputs else None


class NodesOutputs(TypedDict):
    """What KubeNodes registers."""

    nodes: list[dict[str, Any]]
    keyName: pulumi.Output[str]


@dataclass
class NodesArgs:
    """Where the nodes go, what they are, and how many."""

    network: NetworkStack
    machines: Mapping[str, Machine]  # by type
    settings: Settings


class KubeNodes(pulumi.ComponentResource):
    """The machines of one cluster, and the key that opens them.

    Outputs: nodes (control planes first), key_name, key_path (a copy of the private key, 0600,
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
        first, *others = node_plans(args.settings)
        keys = dict.fromkeys(plan.key for plan in (first, *others))
        self._as_made = {key: _grows(name, key) for key in keys}  # a hook has its name once

        self.key_path = f".tinderbox/{pulumi.get_stack()}/id_ed25519"
        private_key, key_pair = self._create_key()
        self._key_pair, self._private_key = key_pair, private_key
        self.key_name = key_pair.key_name
        self.nodes = [self._create_control_plane(first, others)]
        self.nodes += [
            self._create_peer(plan) if plan.is_control_plane else self._create_worker(plan)
            for plan in others
        ]
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
    def peers(self) -> list[Node]:
        """The control planes but for the first."""
        return [node for node in self.nodes[1:] if node.plan.is_control_plane]

    @property
    def workers(self) -> list[Node]:
        """All nodes that are no control plane."""
        return [node for node in self.nodes if not node.plan.is_control_plane]

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

    def _full_name(self, plan: NodePlan) -> str:
        """A worker of another architecture is another worker: a disk can't be taken over."""
        architecture = self._args.machines[plan.type].architecture
        is_usual = architecture == _USUAL or plan.is_control_plane
        return f"{self._name}-{plan.name}" + ("" if is_usual else f"-{architecture}")

    def _create_control_plane(self, plan: NodePlan, others: Sequence[NodePlan]) -> Node:
        name = self._full_name(plan)
        first = First(name, self._args.settings.nodes.control_planes)
        address = aws.ec2.Eip(
            f"{name}-address",
            domain="vpc",
            tags={"Name": name, **first.tags},
            opts=pulumi.ResourceOptions.merge(self._child, first.of_address),
        )
        self._roll = Roll(
            self._name,
            name,
            Entrance(address.public_ip, LOGIN_USER, self._private_key),
            {
                self._full_name(one): (one.key, self._args.machines[one.type].zones)
                for one in (plan, *others)
            },
        )
        stays = fixed(f"{name}-architecture", {"nodes.type": _architecture})
        self._of_control_planes = pulumi.ResourceOptions.merge(
            stays, pulumi.ResourceOptions(ignore_changes=["ami", "instanceMarketOptions"])
        )
        instance = self._create_instance(
            plan,
            [self._args.network.control_plane_group_id],
            pulumi.ResourceOptions.merge(self._of_control_planes, first.of_instance),
        )
        first.is_(instance)
        if self._args.settings.nodes.image is not None:
            instance.ami.apply(functools.partial(self._tell_of_image, plan))
        association = aws.ec2.EipAssociation(
            f"{name}-address-of-instance",
            allocation_id=address.id,
            instance_id=instance.id,
            opts=self._child,
        )
        # Known when it leads to the instance, not before.
        reachable = pulumi.Output.all(address.public_ip, association.id).apply(lambda all_: all_[0])
        connection = command.remote.ConnectionArgs(host=reachable, **self._login())
        return self._node(plan, "control plane", instance, reachable, connection)

    def _create_peer(self, plan: NodePlan) -> Node:
        """A control plane besides the first, through which it is reached as a worker is."""
        instance = self._create_instance(
            plan, [self._args.network.peer_group_id], self._of_control_planes
        )
        return self._node(
            plan, "control plane", instance, instance.public_ip, self._through(instance)
        )

    def _create_worker(self, plan: NodePlan) -> Node:
        if plan.key != "nodes":  # of the others the hooks say it (roll.py)
            self.control_plane.zone.apply(functools.partial(self._is_offered, plan))
        instance = self._create_instance(
            plan,
            opts=pulumi.ResourceOptions(
                # A newer image comes when it is asked for.
                ignore_changes=["ami"] if self._args.settings.nodes.image is None else [],
                # To AWS's plugin an option that is no longer set is as it was.
                replacement_trigger="spot" if plan.spot else "on demand",
                # AWS can't stop a spot instance.
                replace_on_changes=["instanceType"] if plan.spot else [],
            ),
        )
        return self._node(plan, "worker", instance, instance.public_ip, self._through(instance))

    def _through(self, instance: aws.ec2.Instance) -> command.remote.ConnectionArgs:
        """The way to it, through the first control plane."""
        return command.remote.ConnectionArgs(
            host=instance.private_ip,
            proxy=command.remote.ProxyConnectionArgs(
                host=self.control_plane.address, **self._login()
            ),
            **self._login(),
        )

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
        plan: NodePlan,
        role: str,
        instance: aws.ec2.Instance,
        address: pulumi.Output[str],
        connection: command.remote.ConnectionArgs,
    ) -> Node:
        return Node(
            self._full_name(plan),
            role,
            plan,
            instance,
            self._args.machines[plan.type],
            instance.availability_zone.apply(self._is_chosen),
            address,
            private_ip=instance.private_ip,
            host_name=instance.private_dns,
            connection=connection,
        )

    def _is_chosen(self, zone: str) -> str:
        """The zone that the node is in. Raises SettingsError where another one was chosen."""
        asked = self._args.settings.network.zone
        if asked not in (None, zone):
            wanted = f"{zone}, where this cluster is; it can't move: make destroy and make up anew"
            raise SettingsError("network.zone", asked, wanted)
        return zone

    def _is_offered(self, plan: NodePlan, zone: str) -> None:
        """Raises SettingsError for a group of a type that the nodes' zone lacks."""
        zones = self._args.machines[plan.type].zones
        if zone not in zones:
            wanted = f"a type that {zone} offers, where the nodes are ({', '.join(zones)} do)"
            raise SettingsError(f"{plan.key}.type", plan.type, wanted)

    def _tell_of_image(self, plan: NodePlan, has: str) -> None:
        """Of the control plane, which is not made anew for another image: the cluster is on it."""
        newer = self._args.machines[plan.type].ami
        if has != newer:
            pulumi.log.info(f"the control plane keeps its image {has}; workers get {newer}")

    def _create_instance(
        self,
        plan: NodePlan,
        groups: Sequence[pulumi.Input[str]] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> aws.ec2.Instance:
        """groups: besides that of all nodes.

        Spot: AWS may take it back; so not the control plane, which would be the cluster.
        """
        name, machine = self._full_name(plan), self._args.machines[plan.type]
        market = aws.ec2.InstanceInstanceMarketOptionsArgs(market_type="spot")
        unusual = machine.architecture != _USUAL
        return aws.ec2.Instance(
            name,
            ami=machine.ami,
            instance_type=machine.instance_type,
            subnet_id=self._args.network.subnet_id,
            vpc_security_group_ids=[self._args.network.security_group_id, *groups],
            key_name=self._key_pair.key_name,
            user_data=_USER_DATA,
            instance_market_options=market if plan.spot else None,
            metadata_options=aws.ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled",
                http_tokens="required",
                http_put_response_hop_limit=1,  # nodes only: no pod has business there
            ),
            root_block_device=aws.ec2.InstanceRootBlockDeviceArgs(
                volume_size=plan.disk_gib,
                volume_type="gp3",
                encrypted=True,
                delete_on_termination=True,
            ),
            tags={"Name": name, **({_ARCHITECTURE_TAG: machine.architecture} if unusual else {})},
            opts=functools.reduce(
                pulumi.ResourceOptions.merge,
                (
                    # What counts at the first boot only must not replace a node.
                    pulumi.ResourceOptions(parent=self, ignore_changes=["userData"]),
                    self._as_made[plan.key],
                    self._roll.options,
                    opts,
                ),
            ),
        )
