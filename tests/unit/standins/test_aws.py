"""The stand-in of pulumi-aws: over gRPC, against moto's server on loopback."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pulumi_aws
import pytest

from standins.aws import functions
from standins.aws.provider import AwsProvider
from standins.aws.resource import AwsResource
from standins.base import UNKNOWN, Secret
from tests.aws_api import aws_api
from tests.unit.standins.engine import Engine, Failed, engine_for

VPC = "aws:ec2/vpc:Vpc"
GATEWAY = "aws:ec2/internetGateway:InternetGateway"
SUBNET = "aws:ec2/subnet:Subnet"
TABLE = "aws:ec2/routeTable:RouteTable"
ROUTE = "aws:ec2/route:Route"
TABLE_OF_SUBNET = "aws:ec2/routeTableAssociation:RouteTableAssociation"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
KEY = "aws:ec2/keyPair:KeyPair"
INSTANCE = "aws:ec2/instance:Instance"
ADDRESS = "aws:ec2/eip:Eip"
ADDRESS_OF = "aws:ec2/eipAssociation:EipAssociation"
FILES = "aws:efs/fileSystem:FileSystem"
MOUNT = "aws:efs/mountTarget:MountTarget"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
TARGETS = "aws:lb/targetGroup:TargetGroup"
TARGET = "aws:lb/targetGroupAttachment:TargetGroupAttachment"
LISTENER = "aws:lb/listener:Listener"
TYPE = "aws:ec2/getInstanceType:getInstanceType"

REGION = "eu-central-1"
PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIprc8xx7oNnOvLLJGGvwHZK3y5rLDGOJSeL4dYtr3bs someone"
)
DEFAULTS = {"stack": "test"}
NODE: dict[str, Any] = {
    "ami": "ami-1",
    "instanceType": "t3.medium",
    "subnetId": "subnet-0",
    "vpcSecurityGroupIds": ["sg-0"],
    "keyName": "key",
    "userData": "#cloud-config\n",
    "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
    "rootBlockDevice": {
        "volumeSize": 20,
        "volumeType": "gp3",
        "encrypted": True,
        "deleteOnTermination": True,
    },
    "tags": {"Name": "node"},
}


# What moto offers: its own list has thousands, and takes long to search.
IMAGES = [
    {
        "ami_id": f"ami-{number}",
        "name": f"{kind}-amd64-2026110{number}",
        "owner_id": owner,
        "architecture": "x86_64",
        "creation_date": f"2026-11-0{number}T00:00:00.000Z",
        "description": kind,
        "hypervisor": "xen",
        "image_location": kind,
        "image_type": "machine",
        "platform": None,
        "public": True,
        "root_device_name": "/dev/xvda",
        "root_device_type": "ebs",
        "sriov": "simple",
        "state": "available",
        "virtualization_type": "hvm",
    }
    for number, kind, owner in (
        (1, "debian-13", "136693071363"),
        (3, "debian-13", "136693071363"),
        (2, "debian-13", "136693071363"),
        (4, "other", "1"),
    )
]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with aws_api(IMAGES, tmp_path_factory.mktemp("moto")) as url:
        yield url


def configuration(endpoint: str) -> dict[str, str]:
    return {
        "region": REGION,
        "accessKey": "x",
        "secretKey": "y",
        "endpoints": json.dumps([dict.fromkeys(("ec2", "efs", "elbv2", "sts"), endpoint)]),
        "defaultTags": json.dumps({"tags": DEFAULTS}),
        "skipCredentialsValidation": "true",
    }


@pytest.fixture(scope="module")
def engine(endpoint: str) -> Iterator[Engine]:
    with engine_for(AwsProvider()) as running:
        running.configure("pulumi:providers:aws", **configuration(endpoint))
        yield running


@pytest.fixture
def ec2(endpoint: str) -> Any:
    return boto3.client(
        "ec2",
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id="x",
        aws_secret_access_key="y",
    )


@dataclass
class Made:
    """A resource that a test made, and what it needs to go on with it."""

    engine: Engine
    token: str
    id: str
    inputs: dict[str, Any]
    state: dict[str, Any]

    def diff(self, **changes: Any) -> Any:
        new, failures = self.engine.check(self.token, self.program(changes), self.inputs)
        assert failures == []
        return self.engine.diff(self.token, self.inputs, new, self.state)

    def update(self, **changes: Any) -> None:
        new, _ = self.engine.check(self.token, self.program(changes), self.inputs)
        self.state = self.engine.update(self.token, self.id, self.inputs, self.state, new)
        self.inputs = new

    def program(self, changes: dict[str, Any]) -> dict[str, Any]:
        """What a program says: the inputs without what check added, with `changes`."""
        takes = AwsProvider().resources[self.token].inputs
        said = {k: v for k, v in self.inputs.items() if k in takes}
        return {k: v for k, v in {**said, **changes}.items() if v is not None}

    def read(self) -> tuple[str, dict[str, Any], dict[str, Any]]:
        return self.engine.read(self.token, self.id, self.inputs, self.state)

    def delete(self) -> None:
        self.engine.delete(self.token, self.id, self.inputs, self.state)

    def is_gone(self) -> bool:
        return self.read()[0] == ""


@dataclass
class World:
    """Makes resources and takes them away again, last first."""

    engine: Engine
    made: list[Made] = field(default_factory=list)

    def __call__(self, token: str, **inputs: Any) -> Made:
        made = Made(self.engine, token, *self.engine.make(token, **inputs))
        self.made.append(made)
        return made

    def network(self) -> tuple[Made, Made, Made]:
        vpc = self(VPC, cidrBlock="10.42.0.0/16", enableDnsHostnames=True)
        subnet = self(SUBNET, vpcId=vpc.id, cidrBlock="10.42.0.0/20", availabilityZone=f"{REGION}a")
        return vpc, subnet, self(GROUP, vpcId=vpc.id, description="nodes")

    def instance(self, **more: Any) -> Made:
        _, subnet, group = self.network()
        key = self(KEY, publicKey=PUBLIC_KEY)
        where = {"subnetId": subnet.id, "vpcSecurityGroupIds": [group.id]}
        return self(INSTANCE, **{**NODE, **where, "keyName": key.state["keyName"], **more})


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    running = World(engine)
    yield running
    for made in reversed(running.made):
        made.delete()


# -- every resource ----------------------------------------------------------------------------


def everything(world: World) -> dict[str, Made]:
    """One of each resource, in one network."""
    instance = world.instance()
    by_token = {made.token: made for made in world.made}
    vpc, subnet, group = by_token[VPC], by_token[SUBNET], by_token[GROUP]
    gateway = world(GATEWAY, vpcId=vpc.id)
    table = world(TABLE, vpcId=vpc.id)
    world(ROUTE, routeTableId=table.id, destinationCidrBlock="0.0.0.0/0", gatewayId=gateway.id)
    world(TABLE_OF_SUBNET, routeTableId=table.id, subnetId=subnet.id)
    ssh = {"ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "description": "ssh"}
    world(INGRESS, securityGroupId=group.id, cidrIpv4="10.0.0.0/8", **ssh)
    world(EGRESS, securityGroupId=group.id, cidrIpv4="0.0.0.0/0", ipProtocol="-1")
    address = world(ADDRESS, domain="vpc")
    world(ADDRESS_OF, allocationId=address.id, instanceId=instance.id)
    files = world(FILES, encrypted=True)
    world(MOUNT, fileSystemId=files.id, subnetId=subnet.id, securityGroups=[group.id])
    balancer(world, instance, subnet, group)
    return {made.token: made for made in world.made}


def balancer(world: World, instance: Made, subnet: Made, group: Made) -> tuple[Made, ...]:
    """A load balancer with an address of its own, that leads to the instance."""
    address = world(ADDRESS, domain="vpc")
    made = world(
        BALANCER,
        namePrefix="api-",
        loadBalancerType="network",
        internal=False,
        securityGroups=[group.id],
        subnetMappings=[{"subnetId": subnet.id, "allocationId": address.id}],
    )
    targets = world(
        TARGETS,
        namePrefix="api-",
        port=6443,
        protocol="TCP",
        targetType="instance",
        vpcId=subnet.state["vpcId"],
        preserveClientIp="false",
        deregistrationDelay=5,
        connectionTermination=True,
        healthCheck={
            "protocol": "HTTPS",
            "path": "/readyz",
            "interval": 5,
            "timeout": 2,
            "healthyThreshold": 2,
            "unhealthyThreshold": 2,
        },
    )
    target = world(TARGET, targetGroupArn=targets.id, targetId=instance.id, port=6443)
    actions = [{"type": "forward", "targetGroupArn": targets.id}]
    listener = world(
        LISTENER, loadBalancerArn=made.id, port=6443, protocol="TCP", defaultActions=actions
    )
    return made, targets, target, listener


def test_each_resource_lives_its_life(engine: Engine, ec2: Any) -> None:
    world = World(engine)
    found = everything(world)
    assert set(found) == {handler.token for handler in AwsProvider.handlers}
    for token, made in found.items():
        provider = AwsProvider()
        handler = provider.resources[token]
        # What a preview calls unknown is there after the update.
        assert handler.outputs <= made.state.keys(), token
        assert made.state["region"] == REGION
        # A refresh finds what the program says; the next update has nothing to do.
        resource_id, inputs, _ = made.read()
        assert resource_id == made.id, token
        assert inputs == {k: v for k, v in made.inputs.items()}, token
        assert made.diff().paths == {}, token
        if isinstance(handler, AwsResource) and handler.tag_kind:
            assert made.state["tagsAll"].items() >= DEFAULTS.items(), token
    for made in reversed(world.made):
        made.delete()
        assert made.is_gone(), made.token
        made.delete()  # what is gone already is no error
    left = ec2.describe_vpcs(VpcIds=[])["Vpcs"]
    assert found[VPC].id not in [vpc["VpcId"] for vpc in left]


def test_names_are_those_of_the_official_sdk() -> None:
    """Each input and output is one that the official resource class has, under its token."""
    folder = Path(pulumi_aws.__file__).parent
    sources = {
        token: text
        for text in (file.read_text() for file in folder.glob("*/*.py"))
        for token in re.findall(r"super\(\w+, __self__\)\.__init__\(\s*'([^']+)'", text)
    }
    for handler in AwsProvider.handlers:
        text = sources[handler.token]
        official = set(re.findall(r'@pulumi\.getter\(name="(\w+)"\)', text))
        official |= set(re.findall(r"@pulumi\.getter\n(?:    @.*\n)*    def (\w+)\(self\)", text))
        assert handler.inputs | handler.outputs <= official, handler.token
        missing = set(re.findall(r"Missing required property '(\w+)'", text))
        camel = {re.sub(r"_(\w)", lambda m: m[1].upper(), name) for name in missing}
        assert camel <= handler.required, handler.token


def test_functions_are_those_of_the_official_sdk() -> None:
    text = "".join(file.read_text() for file in Path(pulumi_aws.__file__).parent.rglob("get_*.py"))
    for token in functions.of(AwsProvider()):
        assert f"'{token}'" in text


def test_preview_knows_inputs_and_tags_and_nothing_else(engine: Engine) -> None:
    checked, _ = engine.check(VPC, {"cidrBlock": UNKNOWN, "tags": {"Name": "v"}})
    resource_id, outputs = engine.create(VPC, checked, preview=True)
    assert resource_id == ""
    assert outputs["arn"] is UNKNOWN and outputs["cidrBlock"] is UNKNOWN
    assert outputs["tagsAll"] == {"stack": "test", "Name": "v"}
    checked, _ = engine.check(VPC, {"cidrBlock": "10.0.0.0/16", "tags": UNKNOWN})
    assert engine.create(VPC, checked, preview=True)[1]["tagsAll"] is UNKNOWN


REPLACING: list[tuple[str, dict[str, Any], set[str]]] = [
    (VPC, {"cidrBlock": "10.0.0.0/16"}, {"cidrBlock"}),
    (GATEWAY, {"vpcId": "a"}, set()),
    (
        SUBNET,
        {"vpcId": "a", "cidrBlock": "b", "availabilityZone": "c"},
        {"vpcId", "cidrBlock", "availabilityZone"},
    ),
    (TABLE, {"vpcId": "a"}, {"vpcId"}),
    (
        ROUTE,
        {"routeTableId": "a", "destinationCidrBlock": "b", "gatewayId": "c"},
        {"routeTableId", "destinationCidrBlock"},
    ),
    (TABLE_OF_SUBNET, {"routeTableId": "a", "subnetId": "b"}, {"subnetId"}),
    (GROUP, {"description": "b", "vpcId": "c"}, {"description", "vpcId"}),
    (
        INGRESS,
        {"securityGroupId": "a", "ipProtocol": "tcp", "cidrIpv4": "c", "description": "d"},
        {"securityGroupId"},
    ),
    (KEY, {"publicKey": "b"}, {"publicKey"}),
    (
        INSTANCE,
        {key: value for key, value in NODE.items() if key != "tags"},
        {"ami", "subnetId", "keyName"},
    ),
    (ADDRESS_OF, {"allocationId": "a", "instanceId": "b"}, {"allocationId", "instanceId"}),
    (FILES, {"encrypted": True}, {"encrypted"}),
    (
        MOUNT,
        {"fileSystemId": "a", "subnetId": "b", "securityGroups": ["c"]},
        {"fileSystemId", "subnetId"},
    ),
]


@pytest.mark.parametrize(
    ("token", "inputs", "replacing"), REPLACING, ids=lambda v: v if isinstance(v, str) else ""
)
def test_what_replaces(
    engine: Engine, token: str, inputs: dict[str, Any], replacing: set[str]
) -> None:
    old, failures = engine.check(token, inputs)
    assert failures == []
    for name in inputs:
        changed: Any = "other"
        if isinstance(inputs[name], list):
            changed = ["other"]
        elif isinstance(inputs[name], dict):
            changed = {**inputs[name], next(iter(inputs[name])): "other"}
        found = engine.diff(token, old, {**old, name: changed})
        assert found.replaces == ([name] if name in replacing else []), name
        assert found.changes


def test_other_things_are_refused_by_name(engine: Engine) -> None:
    with pytest.raises(Failed, match="stand-in of pulumi-aws: aws:s3/bucket:Bucket is not somet"):
        engine.check("aws:s3/bucket:Bucket", {})
    with pytest.raises(Failed, match="function aws:ec2/getVpc:getVpc is not something"):
        engine.invoke("aws:ec2/getVpc:getVpc")
    with pytest.raises(Failed, match="argument nameRegex is not something"):
        engine.invoke("aws:ec2/getAmi:getAmi", nameRegex="02$")
    _, failures = engine.check(GROUP, {"vpcId": "v", "description": "d", "ingress": []})
    assert [name for name, _ in failures] == ["ingress"]
    refused = engine.check_config(
        {"endpoints": json.dumps([{"s3": "http://x"}]), "assumeRoles": "[]"}
    )
    assert [name for name, _ in refused] == ["assumeRoles", "endpoints"]


# -- tags --------------------------------------------------------------------------------------


def test_tags_come_from_the_provider_too_and_change(world: World, ec2: Any) -> None:
    vpc = world(VPC, cidrBlock="10.1.0.0/16", tags={"Name": "a", "gone": "x"})

    def live() -> dict[str, str]:
        tags = ec2.describe_vpcs(VpcIds=[vpc.id])["Vpcs"][0]["Tags"]
        return {tag["Key"]: tag["Value"] for tag in tags}

    assert live() == {"stack": "test", "Name": "a", "gone": "x"}
    assert vpc.state["tags"] == {"Name": "a", "gone": "x"}
    assert vpc.diff(tags={"Name": "b"}).replaces == []
    vpc.update(tags={"Name": "b", "stack": "mine"})
    assert live() == {"stack": "mine", "Name": "b"}
    assert vpc.state["tagsAll"] == live()
    assert vpc.read()[1] == vpc.inputs


def test_other_default_tags_are_a_change(world: World, engine: Engine, endpoint: str) -> None:
    files = world(FILES, encrypted=True, tags={"Name": "a"})
    other = {**configuration(endpoint), "defaultTags": json.dumps({"tags": {"stack": "other"}})}
    engine.configure("pulumi:providers:aws", **other)
    assert files.diff().paths == {"tagsAll.stack": "UPDATE"}
    files.update()
    assert files.state["tagsAll"] == {"stack": "other", "Name": "a"}
    engine.configure("pulumi:providers:aws", **configuration(endpoint))
    assert files.state["tags"] == {"Name": "a"}


def test_a_refresh_shows_tags_that_somebody_else_set(world: World, ec2: Any) -> None:
    vpc = world(VPC, cidrBlock="10.1.0.0/16", tags={"Name": "a"})
    ec2.create_tags(Resources=[vpc.id], Tags=[{"Key": "by", "Value": "hand"}])
    _, inputs, state = vpc.read()
    assert inputs["tags"] == state["tags"] == {"Name": "a", "by": "hand"}


# -- the network -------------------------------------------------------------------------------


def test_vpc_dns(world: World, ec2: Any) -> None:
    vpc = world(VPC, cidrBlock="10.1.0.0/16", enableDnsHostnames=True)

    def names() -> bool:
        found = ec2.describe_vpc_attribute(VpcId=vpc.id, Attribute="enableDnsHostnames")
        return found["EnableDnsHostnames"]["Value"]

    assert names()
    vpc.update(enableDnsHostnames=False)
    assert not names()
    assert vpc.state["enableDnsSupport"] is True


def test_gateway_moves_to_another_vpc(world: World) -> None:
    one = world(VPC, cidrBlock="10.1.0.0/16")
    two = world(VPC, cidrBlock="10.2.0.0/16")
    gateway = world(GATEWAY, vpcId=one.id)
    gateway.update(vpcId=two.id)
    assert gateway.state["vpcId"] == two.id


def test_subnet_gives_public_addresses(world: World) -> None:
    _, subnet, _ = world.network()
    assert subnet.state["mapPublicIpOnLaunch"] is False
    subnet.update(mapPublicIpOnLaunch=True)
    assert subnet.read()[2]["mapPublicIpOnLaunch"] is True


def test_routes_and_associations_change_in_place(world: World) -> None:
    vpc, subnet, _ = world.network()
    one, two = world(TABLE, vpcId=vpc.id), world(TABLE, vpcId=vpc.id)
    gateway = world(GATEWAY, vpcId=vpc.id)
    route = world(
        ROUTE, routeTableId=one.id, destinationCidrBlock="0.0.0.0/0", gatewayId=gateway.id
    )
    assert route.id == f"r-{one.id}1080289494"  # the official plugin's id
    association = world(TABLE_OF_SUBNET, routeTableId=one.id, subnetId=subnet.id)
    association.update(routeTableId=two.id)
    assert association.read()[2]["routeTableId"] == two.id
    assert association.read()[1] == association.inputs


def test_a_delete_waits_for_what_still_uses_it_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    vpc, subnet, _ = world.network()
    monkeypatch.setattr("standins.aws.resource._LET_GO", 0.5)
    with pytest.raises(Failed, match=rf"deleting {VPC} 'thing': .*in vain: DependencyViolation"):
        vpc.delete()
    assert not subnet.is_gone()


# -- security ----------------------------------------------------------------------------------


def test_a_new_group_lets_nothing_out(world: World, ec2: Any) -> None:
    _, _, group = world.network()
    found = ec2.describe_security_groups(GroupIds=[group.id])["SecurityGroups"][0]
    assert (found["IpPermissions"], found["IpPermissionsEgress"]) == ([], [])
    assert found["Description"] == "nodes"


def test_an_update_of_a_group_leaves_its_rules(world: World, ec2: Any) -> None:
    _, _, group = world.network()
    world(EGRESS, securityGroupId=group.id, cidrIpv4="0.0.0.0/0", ipProtocol="-1")
    group.update(tags={"Name": "x"})
    found = ec2.describe_security_groups(GroupIds=[group.id])["SecurityGroups"][0]
    assert len(found["IpPermissionsEgress"]) == 1


def test_rules_change_in_place(world: World, ec2: Any) -> None:
    _, _, group = world.network()
    rule = world(
        INGRESS,
        securityGroupId=group.id,
        ipProtocol="tcp",
        fromPort=22,
        toPort=22,
        cidrIpv4="10.0.0.0/8",
        description="ssh",
        tags={"Name": "r"},
    )
    rule.update(toPort=25, cidrIpv4="10.1.0.0/16", tags={"Name": "s"})
    found = ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule.id])
    live = found["SecurityGroupRules"][0]
    assert (live["FromPort"], live["ToPort"], live["CidrIpv4"]) == (22, 25, "10.1.0.0/16")
    assert rule.read()[1] == rule.inputs


def test_a_rule_between_members_of_a_group(world: World) -> None:
    _, _, group = world.network()
    rule = world(
        INGRESS,
        securityGroupId=group.id,
        ipProtocol="udp",
        fromPort=8472,
        toPort=8472,
        referencedSecurityGroupId=group.id,
        description="vxlan",
    )
    assert rule.state["referencedSecurityGroupId"] == group.id
    assert rule.read()[1] == rule.inputs


def test_a_rule_has_one_peer(engine: Engine) -> None:
    rule = {"securityGroupId": "sg-1", "ipProtocol": "-1"}
    assert engine.check(INGRESS, rule)[1][0][1].startswith("give one of cidrIpv4")
    both = {**rule, "cidrIpv4": "0.0.0.0/0", "referencedSecurityGroupId": UNKNOWN}
    assert len(engine.check(INGRESS, both)[1]) == 1
    assert engine.check(INGRESS, {**rule, "cidrIpv4": UNKNOWN})[1] == []


def test_automatic_names_stay(engine: Engine) -> None:
    group = {"vpcId": "v", "description": "d"}
    old, failures = engine.check(GROUP, group, seed=b"1")
    assert failures == [] and old["name"].startswith("thing-")
    assert engine.check(GROUP, group, old, seed=b"2")[0]["name"] == old["name"]
    assert engine.check(GROUP, group, seed=b"2")[0]["name"] != old["name"]


def test_key_pair_takes_a_key_file_as_it_is(world: World) -> None:
    pair = world(KEY, publicKey=f"{PUBLIC_KEY}\n")
    assert pair.id == pair.state["keyName"]
    assert pair.inputs["publicKey"] == PUBLIC_KEY
    assert pair.diff(publicKey=PUBLIC_KEY).paths == {}
    pair.update(tags={"Name": "k"})
    assert pair.state["tagsAll"] == {"stack": "test", "Name": "k"}


# -- instances ---------------------------------------------------------------------------------


def test_an_instance_is_made_as_the_program_says(world: World, ec2: Any) -> None:
    node = world.instance(instanceMarketOptions={"marketType": "spot"})
    state = node.state
    assert state["instanceState"] == "running"
    assert state["instanceLifecycle"] == "spot"
    assert state["privateDns"].startswith("ip-10-42-")
    assert state["metadataOptions"]["httpTokens"] == "required"
    assert state["rootBlockDevice"]["volumeType"] == "gp3"
    assert state["rootBlockDevice"]["encrypted"] is True
    assert state["userData"] == "#cloud-config\n"
    user_data = ec2.describe_instance_attribute(InstanceId=node.id, Attribute="userData")
    assert user_data["UserData"]["Value"] == "I2Nsb3VkLWNvbmZpZwo="
    volume = ec2.describe_volumes(VolumeIds=[state["rootBlockDevice"]["volumeId"]])["Volumes"][0]
    assert volume["Size"] == 20
    assert node.inputs["rootBlockDevice"].keys() == node.read()[1]["rootBlockDevice"].keys()


def test_an_instance_gets_other_groups_and_keeps_the_rest(world: World) -> None:
    node = world.instance()
    other = world(GROUP, vpcId=world.made[0].id, description="other")
    assert node.diff(vpcSecurityGroupIds=[other.id]).replaces == []
    node.update(vpcSecurityGroupIds=[other.id], tags={"Name": "moved"})
    assert node.state["vpcSecurityGroupIds"] == [other.id]
    assert node.state["tags"] == {"Name": "moved"}
    assert node.read()[1] == node.inputs
    with pytest.raises(Failed, match="another userData of an instance is not something"):
        node.update(userData="#cloud-config")


def test_an_instance_becomes_another_type_by_a_stop_and_a_start(world: World, ec2: Any) -> None:
    node = world.instance()
    assert not node.diff(instanceType="t3.large").replaces
    node.update(instanceType="t3.large")
    assert (node.state["instanceType"], node.state["instanceState"]) == ("t3.large", "running")
    (found,) = ec2.describe_instances(InstanceIds=[node.id])["Reservations"][0]["Instances"]
    assert found["InstanceType"] == "t3.large"


def test_what_replaces_an_instance(world: World) -> None:
    node = world.instance()
    disk = {**node.inputs["rootBlockDevice"], "encrypted": False}
    assert node.diff(rootBlockDevice=disk).paths == {"rootBlockDevice.encrypted": "UPDATE_REPLACE"}
    assert node.diff(instanceMarketOptions={"marketType": "spot"}).replaces == [
        "instanceMarketOptions"
    ]


def test_the_order_of_groups_means_nothing(engine: Engine) -> None:
    inputs = {"ami": "a", "instanceType": "b", "vpcSecurityGroupIds": ["sg-1", "sg-2"]}
    old, _ = engine.check(INSTANCE, inputs)
    assert not engine.diff(INSTANCE, old, {**old, "vpcSecurityGroupIds": ["sg-2", "sg-1"]}).changes
    assert engine.diff(INSTANCE, old, {**old, "vpcSecurityGroupIds": ["sg-2", UNKNOWN]}).changes


def test_secret_user_data_stays_secret(world: World) -> None:
    node = world.instance(userData=Secret("#cloud-config\n# hush"))
    assert node.state["userData"] == Secret("#cloud-config\n# hush")
    assert node.read()[1]["userData"] == node.read()[2]["userData"] == node.state["userData"]


def test_an_instance_that_was_terminated_is_gone(world: World, ec2: Any) -> None:
    node = world.instance()
    ec2.terminate_instances(InstanceIds=[node.id])
    assert node.is_gone()


def test_an_instance_that_can_not_be_made_says_why(engine: Engine) -> None:
    checked, _ = engine.check(INSTANCE, NODE)
    with pytest.raises(Failed) as caught:
        engine.create(INSTANCE, checked)
    assert str(caught.value).startswith(
        f"creating {INSTANCE} 'thing': RunInstances: InvalidGroup.NotFound: "
    )
    assert caught.value.kept_id == ""


def test_an_instance_that_never_runs_is_kept_in_the_state(
    world: World, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = world.instance()
    monkeypatch.setattr(
        "standins.aws.instances.Instance._found",
        lambda self, resource_id: {"State": {"Name": "pending"}},
    )
    with pytest.raises(Failed, match=r"waited 1 s for i-\w+ to be running, in vain") as caught:
        world.engine.create(INSTANCE, ready.inputs, timeout=1)
    monkeypatch.undo()
    assert caught.value.kept_id.startswith("i-")
    kept = Made(world.engine, INSTANCE, caught.value.kept_id, ready.inputs, caught.value.kept)
    world.made.append(kept)
    kept.update()  # the next `up` waits for it again
    assert kept.state["instanceState"] == "running"


# -- addresses and files -----------------------------------------------------------------------


def test_an_address_moves_to_another_instance(world: World, ec2: Any) -> None:
    one, two = world.instance(), world.instance()
    address = world(ADDRESS)
    first = world(ADDRESS_OF, allocationId=address.id, instanceId=one.id)
    second = world(ADDRESS_OF, allocationId=address.id, instanceId=two.id)
    assert first.is_gone()
    assert second.state["publicIp"] == address.state["publicIp"]
    assert address.read()[2]["instance"] == two.id
    assert address.read()[1] == address.inputs
    first.delete()  # the engine deletes what it replaced; the address must stay where it is
    assert not second.is_gone()


def test_file_system_and_its_mount_target(world: World) -> None:
    _, subnet, group = world.network()
    files = world(FILES, encrypted=True, tags={"Name": "shared"})
    assert files.state["dnsName"] == f"{files.id}.efs.{REGION}.amazonaws.com"
    assert (files.state["name"], files.state["encrypted"]) == ("shared", True)
    target = world(MOUNT, fileSystemId=files.id, subnetId=subnet.id, securityGroups=[group.id])
    assert target.state["ipAddress"].startswith("10.42.")
    assert target.state["securityGroups"] == [group.id]
    other = world(GROUP, vpcId=group.state["vpcId"], description="other")
    target.update(securityGroups=[other.id])
    assert target.read()[2]["securityGroups"] == [other.id]


# -- lookups -----------------------------------------------------------------------------------


def test_get_ami(engine: Engine) -> None:
    token = "aws:ec2/getAmi:getAmi"
    debian = {
        "owners": ["136693071363"],
        "filters": [{"name": "name", "values": ["debian-13-amd64-*"]}],
    }
    found = engine.invoke(token, mostRecent=True, **debian)
    assert found["id"] == "ami-3"
    with pytest.raises(Failed, match=r"no image fits owners .*name=nothing in eu-central-1"):
        engine.invoke(token, filters=[{"name": "name", "values": ["nothing"]}])
    with pytest.raises(Failed, match="3 images fit; narrow the filters, or set mostRecent"):
        engine.invoke(token, **debian)


def test_get_instance_type(engine: Engine) -> None:
    found = engine.invoke(TYPE, instanceType="t3.medium")
    assert (found["defaultVcpus"], found["memorySize"]) == (2, 4096)
    assert found["supportedArchitectures"] == ["x86_64"]
    with pytest.raises(Failed, match="InvalidInstanceType"):
        engine.invoke(TYPE, instanceType="t3.enormous")


def test_get_instance_type_offerings(engine: Engine) -> None:
    found = engine.invoke(
        "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings",
        locationType="availability-zone",
        filters=[{"name": "instance-type", "values": ["t3.medium"]}],
    )
    assert f"{REGION}a" in found["locations"]


# -- the provider ------------------------------------------------------------------------------


def test_an_endpoint_that_is_not_there_is_named_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    with engine_for(AwsProvider()) as engine:
        engine.configure("pulumi:providers:aws", **configuration(endpoint))
        with pytest.raises(Failed, match=f"can't reach the AWS API at {endpoint}"):
            engine.invoke(TYPE, instanceType="t3.medium")


def test_without_a_region_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/no/such")
    with engine_for(AwsProvider()) as engine:
        engine.configure("pulumi:providers:aws", accessKey="x", secretKey="y")
        with pytest.raises(Failed, match="no region: set aws:region"):
            engine.invoke(TYPE, instanceType="t3.medium")


def test_another_region_replaces_the_provider(engine: Engine) -> None:
    look: Callable[[dict[str, Any], dict[str, Any]], Any] = lambda old, new: (  # noqa: E731
        engine.stub.DiffConfig(
            _config_diff(engine, old, new),
        )
    )
    assert list(look({"region": "a"}, {"region": "b"}).replaces) == ["region"]
    changed = look({"region": "a", "version": "1"}, {"region": "a", "version": "2"})
    assert not changed.detailedDiff


def _config_diff(engine: Engine, old: dict[str, Any], new: dict[str, Any]) -> Any:
    from pulumi.runtime.proto import provider_pb2

    from standins.values import to_struct

    return provider_pb2.DiffRequest(
        urn=engine.urn("pulumi:providers:aws"), old_inputs=to_struct(old), news=to_struct(new)
    )
