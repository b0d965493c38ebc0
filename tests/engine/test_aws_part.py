"""What the engine plans, and what it makes of the AWS part."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from tests.engine.conftest import STACK, Engine

_AWS_PART = [
    f"urn:pulumi:{STACK}::tinderbox::tinderbox:index:{component}$**"
    for component in ("NetworkStack", "SharedFileSystem", "KubeNodes")
]
_TARGETS = [argument for urn in _AWS_PART for argument in ("--target", urn)]


def _by_name(steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {step["urn"].split("::")[-1]: step for step in steps}


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
        wanted, seen = first_plan[earlier]["urn"], set()
        queue = list(first_plan[later]["newState"].get("dependencies", []))
        urns = {step["urn"]: step["newState"] for step in first_plan.values()}
        while queue:
            urn = queue.pop()
            if urn == wanted:
                return True
            if urn not in seen and urn in urns:
                seen.add(urn)
                queue += urns[urn].get("dependencies", [])
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
    assert ignored == ["ami", "userData"]


@pytest.fixture(scope="module")
def aws_part(engine: Engine, moto: str):
    """The AWS part, made; taken away at the end."""
    engine.configure()
    engine.pulumi("up", "--yes", "--skip-preview", *_TARGETS)
    yield boto3.client(
        "ec2",
        endpoint_url=moto,
        region_name="eu-central-1",
        aws_access_key_id="engine",
        aws_secret_access_key="engine",
    )
    engine.configure()
    engine.pulumi("destroy", "--yes", "--skip-preview")
    assert engine.state() == []


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
    assert len(groups) == 1
    from_outside = {
        (rule["FromPort"], source["CidrIp"])
        for rule in groups[0]["IpPermissions"]
        for source in rule["IpRanges"]
    }
    assert from_outside == {(22, "198.18.0.1/32"), (6443, "198.18.0.1/32")}


def test_the_private_key_is_encrypted_in_the_state(engine, aws_part):
    exported = engine.pulumi("stack", "export").stdout
    assert "PRIVATE KEY" not in exported
    key = next(
        r for r in json.loads(exported)["deployment"]["resources"] if r["urn"].endswith("-key")
    )
    assert "ciphertext" in key["outputs"]["stdout"]


def test_nothing_changes_when_nothing_changed(engine, aws_part):
    steps = engine.preview(*_TARGETS)
    assert {step["op"] for step in steps} <= {"same"}


def test_one_more_node_touches_no_other(engine, aws_part):
    engine.configure(nodes={"count": 4})
    steps = _by_name(engine.preview(*_TARGETS))
    engine.configure()
    changed = {name: step["op"] for name, step in steps.items() if step["op"] != "same"}
    assert changed == {_name("worker-3"): "create"}


def test_another_operator_changes_two_rules_in_place(engine, aws_part):
    engine.configure(network={"operatorCidr": "198.18.0.2/32"})
    steps = _by_name(engine.preview(*_TARGETS))
    engine.configure()
    changed = {name: step["op"] for name, step in steps.items() if step["op"] != "same"}
    assert changed == {_name("from-operator-ssh"): "update", _name("from-operator-api"): "update"}


def test_another_type_of_instance_is_changed_in_place(engine, aws_part):
    engine.configure(nodes={"type": "t3.large"})
    steps = _by_name(engine.preview(*_TARGETS))
    engine.configure()
    changed = {name: step["op"] for name, step in steps.items() if step["op"] != "same"}
    assert changed[_name("control-plane")] == "update"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": {"count": 0}}, "tinderbox:nodes.count is 0"),
        ({"nodes": {"typ": "t3.medium"}}, "tinderbox:nodes.typ is not a setting"),
        ({"nodes": {"type": "t3.nano"}}, "tinderbox:nodes.type is 't3.nano"),
        ({"nodes": {"type": "t4g.medium"}}, "tinderbox:nodes.type is 't4g.medium"),
        ({"nodes": {"type": "t99.huge"}}, "tinderbox:nodes.type is 't99.huge'"),
        ({"wordCount": {"input": "no/such/text"}}, "tinderbox:wordCount.input is 'no/such/text'"),
        ({"network": {"operatorCidr": "203.0.113.1/32"}}, "tinderbox:network.operatorCidr is"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_made(engine, moto, changes, message):
    before = engine.state()
    engine.configure(**changes)
    done = engine.pulumi("up", "--yes", "--skip-preview", fails=True)
    engine.configure()
    lines = [line for line in (done.stdout + done.stderr).splitlines() if message in line]
    assert lines, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    kinds = {resource["type"] for resource in engine.state()} - {r["type"] for r in before}
    assert kinds <= {"pulumi:pulumi:Stack", "pulumi:providers:aws"}
