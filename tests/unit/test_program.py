"""The program as a whole: what is there for 1, 3 and 10 nodes, and in a cluster that exists."""

from __future__ import annotations

import json
import subprocess
from collections import Counter

import pytest
import yaml

from components.cluster import steps
from components.settings.kubeconfig import current
from patience import factor
from tests.unit.plan import EXISTING, ROOT, Plan, changed, plan, planned

CONTROL_PLANE = "tinderbox-test-control-plane"


@pytest.mark.parametrize("count", [1, 3, 10])
def test_how_many_there_are_of_each(count):
    workers = count - 1
    found = Counter(made.type for made in planned({"nodes": {"count": count}}).made)
    assert found == {
        "pulumi:providers:aws": 1,
        "pulumi:providers:kubernetes": 1,
        **{
            f"tinderbox:index:{component}": 1
            for component in (
                "NetworkStack",
                "SharedFileSystem",
                "KubeNodes",
                "KubeadmBootstrap",
                "ClusterAddons",
                "SharedVolume",
                "SparkAccess",
                "SparkQueues",
                "SparkRelease",
                "SparkApplicationJob",
                "Upload",
                "WordCountJob",
            )
        },
        "aws:ec2/vpc:Vpc": 1,
        "aws:ec2/internetGateway:InternetGateway": 1,
        "aws:ec2/subnet:Subnet": 1,
        "aws:ec2/routeTable:RouteTable": 1,
        "aws:ec2/route:Route": 1,
        "aws:ec2/routeTableAssociation:RouteTableAssociation": 1,
        "aws:ec2/securityGroup:SecurityGroup": 2,
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 7,
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": 1,
        "aws:ec2/keyPair:KeyPair": 1,
        "aws:ec2/eip:Eip": 1,
        "aws:ec2/eipAssociation:EipAssociation": 1,
        "aws:ec2/instance:Instance": count,
        "aws:efs/fileSystem:FileSystem": 1,
        "aws:efs/mountTarget:MountTarget": 1,
        # The key, its file, the inventory, a name for the copy of the text.
        "command:local:Command": 5,
        # The control plane's steps, each worker's, the text's folder, the result.
        "command:remote:Command": 13 + 12 * workers + 2,
        "command:remote:CopyToRemote": 1,
        "kubernetes:core/v1:Namespace": 1,
        "kubernetes:core/v1:PersistentVolume": 1,
        "kubernetes:core/v1:PersistentVolumeClaim": 1,
        "kubernetes:core/v1:ConfigMap": 1,
        "kubernetes:core/v1:Secret": 1,
        "kubernetes:core/v1:ServiceAccount": 1,
        "kubernetes:rbac.authorization.k8s.io/v1:Role": 1,
        "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding": 1,
        "kubernetes:scheduling.k8s.io/v1:PriorityClass": 2,
        "kubernetes:helm.sh/v3:Release": 3,
        "kubernetes:batch/v1:Job": 1,
    }


def test_another_node_changes_no_other():
    more = changed(planned({"nodes": {"count": 3}}), planned({"nodes": {"count": 4}}))
    prepared = ("ready", "packages", "containerd", "images", "storage", "disk")
    joined = ("invite", "join", "member", "drain", "upgrade", "return")
    assert more == {
        "worker-3",
        *(f"worker-3-{step}" for step in (*prepared, *joined)),
        "inventory",
        "nodes-ready",
        "spark",  # one more of its workers
    }


def test_what_is_in_aws_has_the_stacks_tags():
    """By the provider, so that nobody can forget them."""
    plan = planned()
    provider = plan.one("aws", "pulumi:providers:aws")
    assert json.loads(provider.inputs["defaultTags"]) == {
        "tags": {"tinderbox:stack": "test", "tinderbox:project": "tinderbox"}
    }
    for made in plan.made:
        if made.type.startswith("aws:"):
            assert plan.options[made.type, made.name].provider == "aws", made.name


UNTAGGABLE = (":Route", ":RouteTableAssociation", ":EipAssociation", ":MountTarget")


def test_what_is_in_aws_has_a_name_of_the_stack():
    for made in planned().made:
        if not made.type.startswith("aws:"):
            continue
        assert made.name.startswith("tinderbox-test-")
        # A security group's name may not begin with "sg".
        assert not made.name.startswith("sg")
        if not made.type.endswith(UNTAGGABLE):
            assert made.inputs["tags"]["Name"].startswith("tinderbox-test-"), made.name


def test_aws_is_asked_of_its_own_services():
    provider = planned().one("aws", "pulumi:providers:aws").inputs
    assert provider["region"] == "eu-central-1"
    assert "endpoints" not in provider
    assert provider["skipCredentialsValidation"] == "false"
    assert "skipRequestingAccountId" not in provider


LOCAL = yaml.safe_load((ROOT / "Pulumi.local.yaml").read_text())["config"]


def local() -> Plan:
    """The plan of the shipped stack on the local cloud."""
    return planned({key.partition(":")[2]: value for key, value in LOCAL.items()})


def test_or_of_the_endpoint_that_stands_in():
    provider = local().one("aws", "pulumi:providers:aws")
    (endpoints,) = json.loads(provider.inputs["endpoints"])
    endpoint = "http://127.0.0.1:4599"
    assert endpoints == dict.fromkeys(("ec2", "efs", "elbv2", "sts"), endpoint)
    assert provider.inputs["skipCredentialsValidation"] == "true"
    assert provider.inputs["skipMetadataApiCheck"] == "true"
    # Else a refresh changes ARNs.
    assert provider.inputs.get("skipRequestingAccountId") != "true"
    assert {"accessKey", "secretKey"} <= provider.secrets


def test_limits_are_stretched_by_one_factor_and_nothing_else_is_other(monkeypatch):
    once = planned()
    monkeypatch.setenv("TINDERBOX_PATIENCE", "3")
    thrice = plan()
    step = ("command:remote:Command", "tinderbox-test-control-plane-init")
    assert once.options[step].timeouts == {"create": "10m", "update": "10m", "delete": "10m"}
    assert thrice.options[step].timeouts == {"create": "30m", "update": "30m", "delete": "30m"}
    for before in once.of("command:remote:Command"):
        after = thrice.one(before.name, before.type).inputs
        assert after["stdin"] == "export PATIENCE=3\n" + before.inputs["stdin"]
        longer = after["connection"]
        for connection in (longer, longer.get("proxy", longer)):
            assert connection["perDialTimeout"] == 30
    for before in once.of("kubernetes:helm.sh/v3:Release"):
        after = thrice.one(before.name, before.type).inputs
        values = {**before.inputs["values"]}
        if before.name == "metrics-server":
            for probe in ("livenessProbe", "readinessProbe"):
                values[probe] = {**values.get(probe, {}), "timeoutSeconds": 3}
        elif before.name != "flannel":
            values["global"] = {"patience": 3}
        longer = {"timeout": 3 * before.inputs["timeout"], "values": values}
        assert after == {**before.inputs, **longer}


@pytest.mark.parametrize("text", ["0", "-1", "fast", ""])
def test_patience_is_a_number(monkeypatch, text):
    monkeypatch.setenv("TINDERBOX_PATIENCE", text)
    with pytest.raises(ValueError, match=f"TINDERBOX_PATIENCE: '{text}' has to be"):
        factor()


def test_the_local_stack_differs_in_addresses_only():
    """One code path: the same resources, and no other steps, in both places."""
    # And in the analytics' engine, since one's image can't be had here.
    shipped = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    same = {key: shipped[f"tinderbox:{key}"] for key in ("nodes", "opex")}
    there = {(made.type, made.name) for made in planned(same).made}
    here = {(made.type, made.name) for made in local().made}
    assert here == there
    differ = changed(planned(same), local())
    assert {name.rpartition("-")[2] for name in differ} == {
        "aws",
        "ssh",  # the operator's address
        "api",
        "packages",
        "upgrade",
        "containerd",
        "flannel",
        "server",  # metrics-server
        "opex",
    }


def test_the_shipped_stack_for_aws_can_be_planned():
    shipped = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    made = plan({key.partition(":")[2]: value for key, value in shipped.items()}, preview=True)
    assert len(made.of("aws:ec2/instance:Instance")) == 3


def test_every_object_of_the_settings_has_its_type_in_the_project():
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    objects = {
        "aws",
        "network",
        "nodes",
        "cluster",
        "storage",
        "mirror",
        "spark",
        "wordCount",
        "opex",
    }
    assert objects <= set(declared)
    assert {declared[name]["type"] for name in objects} == {"object"}


@pytest.mark.parametrize("config", [{}, EXISTING])
def test_no_secret_is_in_the_clear(config):
    made = planned(config)
    sparks = made.one("spark-auth").inputs["data"]["secret"]
    secrets = ("PRIVATE", "abcdef.0123456789abcdef", "s3cr3t", sparks)
    for resource in made.made:
        for name, value in resource.inputs.items():
            if any(secret in repr(value) for secret in secrets):
                assert name in resource.secrets, f"{resource.name}: {name}"
    for name, value in made.exported.items():
        if any(secret in repr(value) for secret in secrets):
            assert name in made.secrets


def test_all_that_is_in_the_cluster_goes_with_the_control_plane():
    """Else a cluster that no longer answers would hold up a destroy."""
    made = planned()
    for (type_, name), options in made.options.items():
        if type_.startswith("kubernetes:"):
            assert options.deleted_with == CONTROL_PLANE, name
            assert options.provider == "tinderbox-test-kubernetes", name


def test_nothing_else_than_that_has_a_host_to_undo_things_on():
    made = planned()
    for resource in made.of("command:remote:Command"):
        if "delete" in resource.inputs:
            options = made.options[resource.type, resource.name]
            assert options.deleted_with == CONTROL_PLANE, resource.name


def test_every_remote_command_is_of_one_instance():
    remote = ("command:remote:Command", "command:remote:CopyToRemote")
    for resource in planned().made:
        if resource.type in remote:
            triggers = resource.inputs["triggers"]
            assert triggers[0].startswith("tinderbox-test-"), resource.name
            assert triggers[0].endswith("-id"), resource.name


def test_another_script_is_run_again_on_every_node_and_nothing_else(tmp_path, monkeypatch):
    before = plan()
    for script in steps._SCRIPTS.iterdir():
        (tmp_path / script.name).write_text(script.read_text())
    (tmp_path / "containerd.sh").write_text("echo another\n")
    monkeypatch.setattr(steps, "_SCRIPTS", tmp_path)
    nodes = ("control-plane", "worker-1", "worker-2")
    assert changed(before, plan()) == {f"{node}-containerd" for node in nodes}


def test_the_inventory_names_what_is_in_aws():
    made = planned({"nodes": {"count": 2}})
    document = made.exported["inventory"]
    assert document == {
        "VpcId": "tinderbox-test-vpc-id",
        "InternetGatewayId": "tinderbox-test-gateway-id",
        "SubnetId": "tinderbox-test-subnet-id",
        "SecurityGroupId": "tinderbox-test-nodes-id",
        "KeyPairPath": ".tinderbox/test/id_ed25519",
        "Instances": [
            {"InstanceId": f"{CONTROL_PLANE}-id", "InstanceIp": "198.18.1.1"},
            {"InstanceId": "tinderbox-test-worker-1-id", "InstanceIp": "198.18.1.7"},
        ],
    }
    file = made.one("inventory").inputs
    assert json.loads(file["stdin"]) == document


def test_the_inventory_of_another_stack_stays(tmp_path):
    """All stacks of a checkout write the same file."""
    file = planned().one("inventory").inputs

    def run(what: str, text: str) -> None:
        subprocess.run(["sh", "-ec", file[what]], input=text, cwd=tmp_path, text=True, check=True)

    run("delete", "one\n")  # nothing is there
    run("create", "one\n")
    run("create", "two\n")
    run("delete", "one\n")
    assert (tmp_path / "inventory.json").read_text() == "two\n"
    run("delete", "two\n")
    assert list(tmp_path.iterdir()) == []


# In a cluster that exists.


def test_nothing_of_aws_is_made_or_asked_for_a_cluster_that_exists():
    made = planned(EXISTING)
    assert made.calls == []
    assert not [item.name for item in made.made if item.type.startswith("aws:")]
    assert not made.of("pulumi:providers:aws")
    assert not [item.name for item in made.made if item.type.startswith("command:remote")]


def test_spark_and_the_count_go_to_the_cluster_that_exists():
    made = planned(EXISTING)
    provider = made.one("kubernetes", "pulumi:providers:kubernetes")
    assert provider.inputs["kubeconfig"] == current(EXISTING["cluster"]["kubeconfig"])
    assert "kubeconfig" in provider.secrets
    # So the provider compares the clusters themselves.
    assert "clusterIdentifier" not in provider.inputs
    for (type_, name), options in made.options.items():
        if type_.startswith("kubernetes:"):
            assert options.provider == "tinderbox-test-kubernetes", name
            assert options.deleted_with == "", name


def test_addons_are_the_existing_clusters_own():
    releases = planned(EXISTING).of("kubernetes:helm.sh/v3:Release")
    assert [release.name for release in releases] == ["spark"]


def test_outputs_of_a_cluster_that_exists():
    made = planned(EXISTING)
    expected = {"kubeconfig", "sparkMasterUrl", "wordCount"}
    assert expected <= set(made.exported)
    assert not {"nodes", "inventory"} & set(made.exported)
    assert made.secrets == {"kubeconfig"}
