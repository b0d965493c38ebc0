"""What the engine plans, and what it makes of the AWS part."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from pulumi import RunError
from pulumi.runtime.mocks import MockCallArgs

from console import interrupted, leftovers
from console.stack import ConsoleError, Stack
from console.verbs import sweep
from standins.aws.provider import AwsProvider
from standins.base import Call, StandinError
from tests.engine.conftest import STACK, Engine
from tests.unit.plan import Plan, plan


def _by_name(steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The steps of resources that something stands behind; components have none."""
    custom = [s for s in steps if (s.get("newState") or s["oldState"]).get("custom")]
    return {step["urn"].split("::")[-1]: step for step in custom}


@pytest.fixture(scope="module")
def first_plan(engine: Engine) -> dict[str, dict[str, Any]]:
    engine.configure()
    return _by_name(engine.preview())


def _name(resource: str) -> str:
    return f"tinderbox-{STACK}-{resource}"


def test_first_preview_creates_everything_before_anything_is_known(first_plan):
    assert {step["op"] for step in first_plan.values()} == {"create"}
    for part in ("vpc", "control-plane", "worker-2", "control-plane-init", "worker-1-join"):
        assert _name(part) in first_plan
    assert {"flannel", "metrics-server", "spark", "wordcount"} <= set(first_plan)


def test_all_within_the_cluster_goes_with_the_control_plane(first_plan):
    control_plane = first_plan[_name("control-plane")]["urn"]
    inside = [
        step["newState"]
        for step in first_plan.values()
        if step["newState"]["type"].startswith("kubernetes:")
    ]
    assert len(inside) >= 8
    assert {state.get("deletedWith") for state in inside} == {control_plane}


def test_order_of_the_bootstrap(first_plan):
    def waits_for(later: str, earlier: str) -> bool:
        urns = {step["urn"]: step["newState"] for step in first_plan.values()}
        wanted, seen, queue = first_plan[earlier]["urn"], set(), [first_plan[later]["urn"]]
        while queue:
            urn = queue.pop()
            if urn == wanted:
                return True
            if urn in seen or urn not in urns:
                continue
            seen.add(urn)
            queue += urns[urn].get("dependencies", [])
            # A provider is a resource too, named with its id.
            queue.append(urns[urn].get("provider", "").rpartition("::")[0])
        return False

    assert waits_for(_name("control-plane-init"), _name("control-plane-containerd"))
    assert waits_for(_name("control-plane-init"), _name("control-plane-storage"))
    assert waits_for(_name("worker-1-join"), _name("worker-1-invite"))
    assert waits_for(_name("worker-1-invite"), _name("control-plane-init"))
    assert waits_for("flannel", _name("control-plane-init"))
    assert waits_for("spark", "flannel")
    assert waits_for("wordcount", "wordcount-input")
    assert waits_for("wordcount", "spark")
    # Side by side: no node's preparation waits for another's.
    assert not waits_for(_name("worker-1-packages"), _name("control-plane-packages"))
    assert not waits_for(_name("control-plane-init"), _name("worker-1-packages"))


def test_no_change_of_image_or_user_data_touches_a_node(first_plan):
    ignored = first_plan[_name("worker-1")]["newState"].get("ignoreChanges")
    assert ignored == ["userData", "ami"]


@pytest.fixture(scope="module")
def aws_part(aws_engine: Engine, moto: str):
    """The AWS part, made; taken away at the end."""
    aws_engine.configure()
    aws_engine.pulumi("up", "--yes", "--skip-preview")
    yield boto3.client(
        "ec2",
        endpoint_url=moto,
        region_name="eu-central-1",
        aws_access_key_id="engine",
        aws_secret_access_key="engine",
    )
    aws_engine.configure()
    aws_engine.pulumi("destroy", "--yes", "--skip-preview")
    assert aws_engine.state() == []


def test_every_object_carries_the_stacks_tags(aws_part):
    for kind, listed in {
        "Vpcs": aws_part.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["false"]}]),
        "Addresses": aws_part.describe_addresses(),
        "KeyPairs": aws_part.describe_key_pairs(),
    }.items():
        assert listed[kind]
        for made in listed[kind]:
            tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
            assert tags["tinderbox:stack"] == STACK
            assert tags["Name"].startswith("tinderbox-")


def test_only_the_operator_gets_in_from_outside(aws_part):
    groups = aws_part.describe_security_groups(
        Filters=[{"Name": "tag:tinderbox:stack", "Values": [STACK]}]
    )["SecurityGroups"]
    from_outside = {
        (group["GroupId"], rule["FromPort"], source["CidrIp"])
        for group in groups
        for rule in group["IpPermissions"]
        for source in rule["IpRanges"]
    }
    (entrance,) = {group for group, *_ in from_outside}
    assert from_outside == {(entrance, 22, "198.18.0.1/32"), (entrance, 6443, "198.18.0.1/32")}
    found = aws_part.describe_instances(
        Filters=[{"Name": "instance.group-id", "Values": [entrance]}]
    )["Reservations"]
    (instance,) = [one for reservation in found for one in reservation["Instances"]]
    assert _name("control-plane") in {tag["Value"] for tag in instance["Tags"]}


def test_the_private_key_is_encrypted_in_the_state(aws_engine, aws_part):
    exported = aws_engine.pulumi("stack", "export").stdout
    assert "PRIVATE KEY" not in exported
    key = next(
        r for r in json.loads(exported)["deployment"]["resources"] if r["urn"].endswith("-key")
    )
    assert "ciphertext" in key["outputs"]["stdout"]


def test_nothing_changes_when_nothing_changed(aws_engine, aws_part):
    steps = aws_engine.preview()
    assert {step["op"] for step in steps} <= {"same"}


def test_one_more_node_touches_no_other_and_another_operator_changes_two_rules(
    aws_engine, aws_part
):
    aws_engine.configure(nodes={"count": 4}, network={"operatorCidr": "198.18.0.2/32"})
    steps = _by_name(aws_engine.preview())
    aws_engine.configure()
    changed = {name: step["op"] for name, step in steps.items() if step["op"] != "same"}
    assert changed == {
        _name("worker-3"): "create",
        _name("inventory"): "update",
        _name("from-operator-ssh"): "update",
        _name("from-operator-api"): "update",
    }


def test_what_can_only_grow_is_refused_before_an_update_as_well(aws_engine, aws_part):
    before = aws_part.describe_instances()["Reservations"], aws_part.describe_volumes()["Volumes"]
    aws_engine.configure(nodes={"diskGiB": 15})
    done = aws_engine.pulumi("up", "--yes", "--skip-preview", fails=True)
    aws_engine.configure()
    printed = done.stdout + done.stderr
    assert "nodes.diskGiB is 20 in this cluster, and 15 is asked for" in printed
    assert "Traceback" not in printed
    after = aws_part.describe_instances()["Reservations"], aws_part.describe_volumes()["Volumes"]
    assert after == before


# In place of the way to the control plane; what is asked of which node.
SSH = """#!/bin/bash
script=$(cat)
case $script in
  *"is_back()"*) did=back ;;
  *"kubelet_answers"*) did=away ;;
  *) did=reached ;;
esac
worker=$(sed -n "s/^export WORKER=//p" <<<"$script")
echo "$did $worker" >>FOLDER/calls
[[ ! -e FOLDER/fails || $did != away ]] || { echo "a budget holds it" >&2; exit 1; }
echo boot-1
"""


@pytest.fixture
def ssh(aws_engine, tmp_path, monkeypatch):
    """The calls of a fake ssh so far; makes the next drains fail when told to."""
    program = tmp_path / "ssh"
    program.write_text(SSH.replace("FOLDER", str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setitem(aws_engine.env, "PATH", f"{tmp_path}:{aws_engine.env['PATH']}")

    def calls(*, fails: bool | None = None) -> list[str]:
        if fails is not None:
            (tmp_path / "fails").touch() if fails else (tmp_path / "fails").unlink()
        noted = tmp_path / "calls"
        done = noted.read_text().splitlines() if noted.exists() else []
        noted.write_text("")
        return [call for call in done if not call.startswith("reached")]

    return calls


def _types(ec2) -> list[str]:
    """Of the stack's instances, in order."""
    tag = [{"Name": "tag:tinderbox:stack", "Values": [STACK]}]
    found = ec2.describe_instances(Filters=tag)["Reservations"]
    instances = [one for reservation in found for one in reservation["Instances"]]
    return sorted(one["InstanceType"] for one in instances if one["State"]["Name"] == "running")


def test_another_type_stops_one_node_after_the_other(aws_engine, aws_part, ssh):
    aws_engine.configure(nodes={"type": "t3.large"})
    preview = aws_engine.pulumi("preview")
    assert "t3.medium becomes t3.large, one node after the other" in preview.stdout + preview.stderr
    assert ssh(fails=True) == []
    failed = aws_engine.pulumi("up", "--yes", "--skip-preview", fails=True)
    printed = failed.stdout + failed.stderr
    assert "a budget holds it" in printed and "Traceback" not in printed
    away = [call for call in ssh(fails=False) if call.startswith("away ip-")]
    # What a failure leaves for the next update: nodes whose turn did not come.
    assert away and _types(aws_part).count("t3.medium") >= 2
    aws_engine.pulumi("up", "--yes", "--skip-preview")
    done = ssh()
    for was, then in zip(done[::2], done[1::2], strict=True):
        assert then == was.replace("away", "back")
    assert _types(aws_part) == ["t3.large"] * 3
    aws_engine.config["nodes"]["type"] = "t3.large"  # for the tests that come after
    assert {step["op"] for step in aws_engine.preview("--refresh")} <= {"same", "refresh"}


def test_workers_that_are_spot_are_replaced(aws_engine, aws_part):
    aws_engine.configure(nodes={"spot": True})
    steps = _by_name(aws_engine.preview())
    changed = {name: step["op"] for name, step in steps.items() if "replace" in step["op"]}
    assert changed.keys() == {_name("worker-1"), _name("worker-2")}
    aws_engine.pulumi("up", "--yes", "--skip-preview")
    for settings in ({"type": "t3.medium"}, {"spot": False}):
        aws_engine.configure(nodes={"spot": True, **settings})
        steps = _by_name(aws_engine.preview())
        changed = {name for name, step in steps.items() if "replace" in step["op"]}
        assert changed == {_name("worker-1"), _name("worker-2")}
    aws_engine.configure()
    aws_engine.pulumi("up", "--yes", "--skip-preview")
    assert _types(aws_part) == ["t3.large"] * 3


def test_a_group_of_workers_comes_and_goes_by_itself(aws_engine, aws_part):
    before = _types(aws_part)
    aws_engine.configure(workers={"big": {"type": "t3.xlarge", "diskGiB": 40, "spot": True}})
    steps = {n: s["op"] for n, s in _by_name(aws_engine.preview()).items() if s["op"] != "same"}
    assert steps == {_name("big-1"): "create", _name("inventory"): "update"}
    aws_engine.pulumi("up", "--yes", "--skip-preview")
    assert _types(aws_part) == sorted([*before, "t3.xlarge"])
    assert [volume["Size"] for volume in aws_part.describe_volumes()["Volumes"]].count(40) == 1
    assert {step["op"] for step in aws_engine.preview("--refresh")} <= {"same", "refresh"}
    aws_engine.configure()
    aws_engine.pulumi("up", "--yes", "--skip-preview")
    assert _types(aws_part) == before


def test_another_zone_is_refused_where_a_cluster_is(aws_engine, aws_part):
    (where,) = {
        instance["Placement"]["AvailabilityZone"]
        for reservation in aws_part.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    }
    aws_engine.configure(network={"zone": where})
    assert {step["op"] for step in aws_engine.preview()} <= {"same"}
    aws_engine.configure(network={"zone": "eu-central-1c"})
    done = aws_engine.pulumi("preview", fails=True)
    aws_engine.configure()
    printed = done.stdout + done.stderr
    assert f"network.zone is 'eu-central-1c'; it must be {where}, where this cluster" in printed
    assert "Traceback" not in printed


def test_disks_grow_while_they_are_used(aws_engine, aws_part):
    aws_engine.configure(nodes={"diskGiB": 30})
    steps = _by_name(aws_engine.preview())
    changed = {name: step["op"] for name, step in steps.items() if step["op"] != "same"}
    nodes = ("control-plane", "worker-1", "worker-2")
    assert changed == {_name(node): "update" for node in nodes}
    aws_engine.pulumi("up", "--yes", "--skip-preview")
    sizes = [volume["Size"] for volume in aws_part.describe_volumes()["Volumes"]]
    assert sizes == [30] * 3
    aws_engine.configure(nodes={"diskGiB": 20})
    done = aws_engine.pulumi("preview", fails=True)
    says = "nodes.diskGiB is 30 in this cluster, and 20 is asked for: it can only grow; set 30"
    assert says in done.stdout + done.stderr
    aws_engine.config["nodes"]["diskGiB"] = 30  # for the tests that come after
    aws_engine.configure()


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        # What the settings themselves tell, all of it at once.
        (
            {
                "nodes": {"count": 0, "typ": "t3.medium", "image": "newer"},
                "network": {"operatorCidr": "203.0.113.1/32"},
            },
            [
                "tinderbox:nodes.count is 0",
                "tinderbox:nodes.typ is not a setting",
                "tinderbox:nodes.image is 'newer'; it must be newest, or",
                "tinderbox:network.operatorCidr is",
            ],
        ),
        # What AWS has to be asked for, and says no: the engine has words of its own around that.
        (
            {"nodes": {"image": "ami-00000000"}},
            ["tinderbox:nodes.image is 'ami-00000000'; it must"],
        ),
        ({"nodes": {"type": "t99.huge"}}, ["tinderbox:nodes.type is 't99.huge'"]),
    ],
    ids=["settings", "image", "type"],
)
def test_bad_input_is_one_line_and_nothing_is_made(engine, moto, changes, messages):
    before = engine.state()
    engine.configure(**changes)
    done = engine.pulumi("up", "--yes", "--skip-preview", fails=True)
    engine.configure()
    printed = done.stdout + done.stderr
    for message in messages:
        assert [line for line in printed.splitlines() if message in line], printed
    assert "Traceback" not in printed
    kinds = {resource["type"] for resource in engine.state()} - {r["type"] for r in before}
    assert kinds <= {"pulumi:pulumi:Stack", "pulumi:providers:aws"}


class _Asked(Plan):
    """A program whose questions AWS answers; an engine besides would tell nothing more."""

    def __init__(self, moto: str) -> None:
        super().__init__()
        self._provider = AwsProvider()
        endpoints = [dict.fromkeys(("ec2", "sts"), moto)]
        keys = {"accessKey": "engine", "secretKey": "engine"}
        self._provider.configure({"region": "eu-central-1", "endpoints": endpoints, **keys})

    def call(self, args: MockCallArgs) -> Any:
        try:
            return self._provider.functions[args.token](Call(marked_inputs=args.args))
        except StandinError as error:
            return {}, [("", str(error))]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"zone": "eu-central-1z"}}, "a zone that offers t3.medium: eu-central-1a"),
        ({"nodes": {"type": "t3.nano"}}, "tinderbox:nodes.type is 't3.nano"),
        ({"nodes": {"type": "t4g.medium"}}, "tinderbox:nodes.type is 't4g.medium"),
        (
            {"workers": {"arm": {"type": "t4g.medium"}}},
            "tinderbox:workers.arm.type is 't4g.medium (arm64)'; it must be of another"
            " architecture: the region has no image debian-13-arm64-*",
        ),
        ({"wordCount": {"input": "no/text"}}, "tinderbox:wordCount.input is 'no/text'"),
    ],
    ids=["zone", "size", "architecture", "group", "input"],
)
def test_what_aws_offers_is_looked_at_before_anything_is_made(moto, changes, message):
    asked = _Asked(moto)
    with pytest.raises(RunError, match=re.escape(message)):
        plan(changes, recorder=asked)
    assert {made.type for made in asked.made} <= {"pulumi:pulumi:Stack", "pulumi:providers:aws"}


class _Moto(Stack):
    """The engine's stack, by the answers of its own backend."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(STACK, env=engine.env)
        self._engine = engine

    def exists(self) -> bool:
        return True

    @property
    def config_file(self) -> Path:
        return self._engine.program / f"Pulumi.{STACK}.yaml"

    def state(self, *, secrets: bool = False) -> dict[str, Any]:
        return json.loads(self._engine.pulumi("stack", "export").stdout)

    def import_state(self, state: dict[str, Any]) -> None:
        file = self._engine.program / "state.json"
        file.write_text(json.dumps(state))
        self._engine.pulumi("stack", "import", "--file", str(file))


UNHEARD_OF = {
    *("MountTarget", "Route", "RouteTableAssociation", "Instance", "SecurityGroupIngressRule"),
    "EipAssociation",
}


def test_what_a_killed_update_was_making_is_made_once(aws_engine, aws_part, monkeypatch, capsys):
    """AWS has made it; Pulumi only wrote down that it was about to, with all that needs it."""
    monkeypatch.setattr(leftovers, "agree", lambda *_: None)
    before = _workers(aws_part)
    file, checkpoint = aws_engine.checkpoint()
    latest = checkpoint["checkpoint"]["latest"]
    making: list[dict[str, Any]] = []
    for one in latest["resources"]:
        needs = {one.get("parent"), *one.get("dependencies", [])}
        gone = {other["resource"]["urn"] for other in making}
        if one["type"].rpartition(":")[2] in UNHEARD_OF or needs & gone:
            making.append({"resource": one, "type": "creating"})
    assert {one["resource"]["type"].rpartition(":")[2] for one in making} >= UNHEARD_OF
    gone = {one["resource"]["urn"] for one in making}
    latest["resources"] = [one for one in latest["resources"] if one["urn"] not in gone]
    latest["pending_operations"] = making
    file.write_text(json.dumps(checkpoint))

    # One that goes on has such operations, too, and holds the stack.
    lock = file.parents[2] / "locks" / "organization" / "tinderbox" / STACK / "1.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(
        json.dumps({"pid": 1, "hostname": "there", "timestamp": "2026-01-01T00:00:00Z"})
    )
    with pytest.raises(AssertionError, match="the stack is currently locked by 1 lock"):
        interrupted.settle(_Moto(aws_engine))
    assert _workers(aws_part) == before
    lock.unlink()
    capsys.readouterr()

    interrupted.settle(_Moto(aws_engine))
    assert "an update was killed while it was at" in capsys.readouterr().out
    interrupted.settle(_Moto(aws_engine))
    assert capsys.readouterr().out == ""
    aws_engine.pulumi("up", "--yes", "--skip-preview")
    after = _workers(aws_part)
    assert len(after) == len(before) and not after & before
    assert {step["op"] for step in aws_engine.preview()} == {"same"}


def _workers(ec2: Any) -> set[str]:
    """Ids of the instances that run."""
    running = [{"Name": "instance-state-name", "Values": ["running"]}]
    found = ec2.describe_instances(Filters=running)["Reservations"]
    return {one["InstanceId"] for reservation in found for one in reservation["Instances"]}


#: By another number of control planes: what tells of them.
TOUCHED = {_name("inventory"), _name("control-plane-address")}


def _touched(steps: list[dict[str, Any]]) -> dict[str, str]:
    """What is neither made nor taken away nor left alone, by name: the verb."""
    found = {name: step["op"] for name, step in _by_name(steps).items()}
    return {name: op for name, op in found.items() if op not in ("same", "create", "delete")}


def test_load_balancers_come_with_several_control_planes(aws_engine, aws_part, moto):
    before, one = _workers(aws_part), dict(aws_engine.config["nodes"])
    aws_engine.config["nodes"] |= {"controlPlanes": 3, "count": one["count"] + 2}
    aws_engine.configure()
    assert _touched(aws_engine.preview()).keys() <= TOUCHED
    aws_engine.pulumi("up", "--yes", "--skip-preview")
    assert before < _workers(aws_part)
    assert {step["op"] for step in aws_engine.preview("--refresh")} <= {"same", "refresh"}
    elbv2 = boto3.client(
        "elbv2",
        endpoint_url=moto,
        region_name="eu-central-1",
        aws_access_key_id="engine",
        aws_secret_access_key="engine",
    )
    made = elbv2.describe_load_balancers()["LoadBalancers"]
    assert {(one["Type"], one["Scheme"]) for one in made} == {
        ("network", "internal"),
        ("network", "internet-facing"),
    }
    for group in elbv2.describe_target_groups()["TargetGroups"]:
        arn = group["TargetGroupArn"]
        targets = elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        assert len(targets) == 3

    # That they go when there is one again, and nothing else does.
    aws_engine.config["nodes"] = one
    aws_engine.configure()
    assert _touched(aws_engine.preview()).keys() <= TOUCHED
    aws_engine.pulumi("up", "--yes", "--skip-preview")
    assert _workers(aws_part) == before
    assert not elbv2.describe_load_balancers()["LoadBalancers"]
    assert not elbv2.describe_target_groups()["TargetGroups"]


def test_the_one_that_stays_has_to_be_there(aws_engine, aws_part):
    count = aws_engine.config["nodes"]["count"]
    several, one = ({"controlPlanes": n, "count": count + n - 1} for n in (3, 1))
    aws_engine.configure(nodes=several)
    aws_engine.pulumi("up", "--yes", "--skip-preview")
    (first,) = [
        resource["id"]
        for resource in aws_engine.state()
        if resource["urn"].endswith(f"Instance::{_name('control-plane')}")
    ]
    aws_part.terminate_instances(InstanceIds=[first])
    aws_engine.pulumi("refresh", "--yes", "--skip-preview")
    aws_engine.configure(nodes=one)
    says = "nodes.controlPlanes is 3 in this cluster, and 1 is asked for: it would be the first one"
    for verb in (("preview",), ("up", "--yes", "--skip-preview")):
        done = aws_engine.pulumi(*verb, fails=True)
        assert says in done.stdout + done.stderr
    aws_engine.configure(nodes=several)
    aws_engine.pulumi("up", "--yes", "--skip-preview")


def test_what_no_state_knows_is_swept_after_asking(aws_engine, aws_part, monkeypatch, capsys):
    """As a killed update leaves it; here all of it. It is the last one of this file."""
    monkeypatch.setattr(sweep, "Stack", lambda _: _Moto(aws_engine))
    asked, agreed = (argparse.Namespace(stack=STACK, yes=yes) for yes in (False, True))
    sweep.run(asked)
    assert "AWS has nothing of stack engine that its state does not have" in capsys.readouterr().out

    state = _Moto(aws_engine).state()
    state["deployment"]["resources"] = []
    _Moto(aws_engine).import_state(state)
    (other,) = aws_part.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"]
    with pytest.raises(ConsoleError, match="nobody is here to be asked"):
        sweep.run(asked)
    shown = capsys.readouterr().out
    kinds = {line.split()[0] for line in shown.splitlines() if line}
    assert {*leftovers.KINDS} - {"Volumes"} <= kinds and "tinderbox-engine-worker-2" in shown
    volume = aws_part.create_volume(
        AvailabilityZone="eu-central-1a",
        Size=1,
        TagSpecifications=[
            {"ResourceType": "volume", "Tags": [{"Key": "tinderbox:stack", "Value": STACK}]}
        ],
    )
    sweep.run(agreed)
    assert f"{volume['VolumeId']} is gone" in capsys.readouterr().out
    assert aws_part.describe_vpcs()["Vpcs"] == [other]
    capsys.readouterr()
    sweep.run(agreed)
    assert "AWS has nothing of" in capsys.readouterr().out
