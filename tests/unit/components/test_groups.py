"""Groups of workers: the plan of nodes, what is made of it, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.fit import require_fit
from components.node import Machine
from components.opex import hourly_rate, opex_values
from components.settings import Settings, SettingsError
from components.settings.node_plan import NodePlan, node_plans, taking
from tests.unit.components.test_kubeadm import value
from tests.unit.plan import MINIMAL, T3_MEDIUM, Plan, ask, changed, plan, planned

INSTANCE = "aws:ec2/instance:Instance"
RELEASE = "kubernetes:helm.sh/v3:Release"
ARM = {"defaultVcpus": 8, "memorySize": 16384, "supportedArchitectures": ["arm64"]}
BIG: dict[str, Any] = {
    "count": 2,
    "type": "t3.2xlarge",
    "diskGiB": 50,
    "spot": True,
    "labels": {"team": "a", "example.com/disk": "ssd"},
    "taints": ["big=yes:NoSchedule", "slow:PreferNoSchedule"],
    "price": 0.3,
}
NODES = {"count": 2, "price": 0.05}


def settings(**config: Any) -> Settings:
    return Settings.parse({**MINIMAL, **config})


def plans(**config: Any) -> tuple[NodePlan, ...]:
    return node_plans(settings(**config))


def amazon(**more: Any) -> Plan:
    """AWS with a larger type, and one of arm64."""
    large = {**T3_MEDIUM, "defaultVcpus": 8, "memorySize": 32768}
    return Plan(types={"t3.2xlarge": large, "c7g.2xlarge": ARM}, **more)


# ---- the plan


def test_the_short_form_is_what_it_was() -> None:
    one, *workers = plans(nodes={"count": 3, "type": "t3.large", "spot": True, "price": 0.1})
    assert one == NodePlan("control-plane", "nodes", "t3.large", 20, 0.1, is_control_plane=True)
    assert workers == [
        NodePlan(f"worker-{n}", "nodes", "t3.large", 20, 0.1, spot=True) for n in (1, 2)
    ]


def test_groups_come_after_it_and_take_from_it_what_they_do_not_say() -> None:
    found = plans(nodes={**NODES, "diskGiB": 30}, workers={"big": BIG, "more": {}, "m": None})
    assert [one.name for one in found] == [
        *("control-plane", "worker-1", "big-1", "big-2", "more-1", "m-1")
    ]
    assert found[2] == NodePlan(
        *("big-1", "workers.big", "t3.2xlarge", 50, 0.3, True, BIG["labels"]),
        ("big=yes:NoSchedule", "slow:PreferNoSchedule"),
    )
    assert found[4] == NodePlan("more-1", "workers.more", "t3.medium", 30, 0.05)
    # What another type costs is not known.
    other = plans(nodes=NODES, workers={"big": {"type": "t3.large"}})
    assert other[-1].price is None


def test_spot_nodes_have_their_own_price() -> None:
    spot = {"spot": True, "price": 0.1, "spotPrice": 0.03}
    groups = {"same": {"spot": True}, "own": {"spot": True, "price": 0.02}, "other": {}}
    found = plans(nodes={"count": 2, **spot}, workers=groups)
    assert [one.price for one in found] == [0.1, 0.03, 0.03, 0.02, 0.1]
    assert [one.price for one in plans(nodes={**spot, "spot": False})] == [0.1] * 3


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"nodes": {"count": 4, "growTo": 3}}, "nodes.growTo is 3; it must be at least nodes.coun"),
        ({"nodes": {"growTo": 1}}, "nodes.growTo is 1; it must be a whole number of at least 2"),
        ({"workers": {"b": {"count": 2, "growTo": 1}}}, "workers.b.growTo is 1; it must be at lea"),
    ],
)
def test_what_grows_does_not_begin_above_its_limit(config, said) -> None:
    with pytest.raises(SettingsError, match=said):
        settings(**config)


def test_a_node_says_how_it_is_bought_and_of_which_group_it_is() -> None:
    _, worker, big, _ = plans(nodes=NODES, workers={"big": BIG})
    assert worker.own_labels == {"tinderbox.internal/capacity-type": "on-demand"}
    assert big.own_labels == {
        **BIG["labels"],
        "tinderbox.internal/capacity-type": "spot",
        "tinderbox.internal/group": "big",
    }


@pytest.mark.parametrize(
    ("count", "workers", "takes"),
    [
        (3, {}, ["worker-1", "worker-2"]),
        (1, {}, ["control-plane"]),
        (1, {"big": BIG}, ["control-plane"]),
        (1, {"soft": {"taints": ["a:PreferNoSchedule"]}}, ["soft-1"]),
        (2, {"big": BIG, "more": {}}, ["worker-1", "more-1"]),
        (1, {"away": {"taints": ["a:NoExecute"]}, "more": {}}, ["more-1"]),
    ],
)
def test_any_pod_comes_where_no_taint_keeps_it_off(count, workers, takes) -> None:
    found = plans(nodes={"count": count}, workers=workers)
    assert [one.name for one in taking(found)] == takes


# ---- what is made


def test_each_node_is_as_its_group_says_and_joins_with_labels_and_taints() -> None:
    made = plan({"nodes": NODES, "workers": {"big": BIG}}, recorder=amazon())
    instances = {one.name.removeprefix("tinderbox-test-"): one for one in made.of(INSTANCE)}
    assert list(instances) == ["control-plane", "worker-1", "big-1", "big-2"]
    inputs = instances["big-2"].inputs
    assert inputs["instanceType"] == "t3.2xlarge"
    assert inputs["rootBlockDevice"]["volumeSize"] == 50
    assert inputs["instanceMarketOptions"] == {"marketType": "spot"}
    assert inputs["tags"] == {"Name": "tinderbox-test-big-2"}
    assert "instanceMarketOptions" not in instances["worker-1"].inputs
    options = made.options_of("big-1", INSTANCE)
    assert (options.replacement_trigger, options.replaced_for) == ("spot", {"instanceType"})
    assert value(made.one("big-1-disk"), "DISK_GIB") == "50"

    join, member = made.one("big-1-join"), made.one("big-1-member")
    labels = ["team=a", "example.com/disk=ssd", "tinderbox.internal/capacity-type=spot"]
    labels.append("tinderbox.internal/group=big")
    assert value(join, "LABELS") == ",".join(labels)
    assert json.loads(value(join, "TAINTS")) == [
        {"key": "big", "value": "yes", "effect": "NoSchedule"},
        {"key": "slow", "value": "", "effect": "PreferNoSchedule"},
    ]
    assert value(member, "LABELS") == " ".join(labels)
    assert value(member, "TAINTS") == " ".join(BIG["taints"])
    known = value(member, "NODE_LABELS").split()
    assert {"node.kubernetes.io/instance-type=t3.2xlarge", "node-role.kubernetes.io/big="} <= {
        *known
    }
    assert value(made.one("worker-1-join"), "TAINTS") == "[]"
    # It is upgraded in its turn.
    assert "worker-1-return" in made.waits_for("big-1-drain")
    assert {node["name"].removeprefix("tinderbox-test-") for node in made.exported["nodes"]} == (
        instances.keys()
    )


def test_other_labels_and_taints_are_told_to_the_living_node_and_touch_no_machine() -> None:
    before = planned({"workers": {"more": {"labels": {"a": "b"}, "taints": ["x:NoExecute"]}}})
    after = planned({"workers": {"more": {"labels": {"a": "c"}, "taints": ["x:PreferNoSchedule"]}}})
    differ = changed(before, after)
    assert {"more-1-join", "more-1-member"} <= differ
    # One more node takes any pod.
    assert differ <= {"more-1-join", "more-1-member", "spark"}


def test_a_node_more_and_less_is_one_of_the_group_only() -> None:
    one, two = (planned({"workers": {"more": {"count": n}}}) for n in (1, 2))
    differ = {name for name in changed(one, two) if not name.startswith("more-2")}
    assert differ == {"inventory", "nodes-ready", "spark"}


def test_spark_has_a_worker_on_each_node_that_takes_any_pod() -> None:
    def workers(made: Plan) -> int:
        return made.one("spark", RELEASE).inputs["values"]["worker"]["replicas"]

    assert workers(planned({"workers": {"more": {"count": 2}}})) == 4
    assert workers(plan({"nodes": NODES, "workers": {"big": BIG}}, recorder=amazon())) == 1
    alone = plan({"nodes": {"count": 1}, "workers": {"big": BIG}}, recorder=amazon())
    assert workers(alone) == 1
    assert value(alone.one("control-plane-init"), "TAKES_WORK") == "true"
    with_more = planned({"nodes": {"count": 1}, "workers": {"more": {}}})
    assert value(with_more.one("control-plane-init"), "TAKES_WORK") == "false"


def test_a_run_is_reckoned_at_the_mean_of_the_workers() -> None:
    def app(config: dict[str, Any]) -> dict[str, Any]:
        made = plan({**config, "namespaces": {"etl": {}}}, recorder=amazon())
        releases = (made.one(name, RELEASE) for name in ("spark", "etl-spark"))
        found, other = (release.inputs["values"]["app"] for release in releases)
        assert found.get("nodePrice") == other.get("nodePrice")
        return found

    mixed = app({"nodes": NODES, "workers": {"big": BIG}})
    assert mixed["nodePrice"] == pytest.approx((0.05 + 0.3 + 0.3) / 3, rel=1e-5)
    assert mixed["conf"]["spark.tinderbox.nodeCores"] == "6"
    same = app({"nodes": NODES, "workers": {"more": {}}})
    assert (same["nodePrice"], "conf" in same) == (0.05, False)
    unknown = {**BIG, "price": None}
    assert "nodePrice" not in app({"nodes": NODES, "workers": {"big": unknown}})


def test_drivers_prefer_nodes_on_demand_and_are_never_kept_off_spot() -> None:
    made = planned({"wordCount": {"master": "kubernetes"}})
    spec = made.one("wordcount", "kubernetes:batch/v1:Job").inputs["spec"]["template"]["spec"]
    affinity = spec["affinity"]["nodeAffinity"]
    assert list(affinity) == ["preferredDuringSchedulingIgnoredDuringExecution"]
    (term,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["preference"]["matchExpressions"] == [
        {"key": "tinderbox.internal/capacity-type", "operator": "NotIn", "values": ["spot"]}
    ]
    files = made.one("wordcount-app").inputs["data"]
    (executor,) = [json.loads(text) for name, text in files.items() if name.endswith(".json")]
    assert "affinity" not in executor["spec"]


# ---- architectures, zones


def test_a_type_of_arm64_takes_the_image_of_arm64() -> None:
    arm = {"workers": {"arm": {"type": "c7g.2xlarge"}}}
    made = plan(arm, recorder=amazon(debian={"amd64": "ami-1", "arm64": "ami-2"}))
    instance = made.one("arm-1-arm64", INSTANCE)
    assert instance.inputs["ami"] == "ami-2"
    assert instance.inputs["tags"]["Architecture"] == "arm64"
    assert made.one("worker-1", INSTANCE).inputs["ami"] == "ami-1"


def test_a_cluster_of_arm64_and_its_control_plane_that_stays_so() -> None:
    both = {"amd64": "ami-1", "arm64": "ami-2"}
    before = plan(recorder=amazon(debian=both))
    after = plan({"nodes": {"type": "c7g.2xlarge"}}, recorder=amazon(debian=both))
    assert after.one("control-plane", INSTANCE).inputs["ami"] == "ami-2"
    # A worker of another architecture is another one.
    assert {"worker-1", "worker-1-arm64"} <= changed(before, after)
    hook = after.hooks["tinderbox-test-control-plane-architecture"]
    old, new = (made.one("control-plane", INSTANCE).inputs for made in (before, after))
    with pytest.raises(ValueError, match="nodes.type is x86_64 in this cluster, and arm64 is"):
        ask(hook, old, new)
    ask(hook, new, new)


@pytest.mark.parametrize(
    ("workers", "aws", "said"),
    [
        (
            {"arm": {"type": "c7g.2xlarge"}},
            {},
            r"workers.arm.type is 'c7g.2xlarge \(arm64\)'; it must be of another architecture:"
            r" the region has no image debian-13-arm64-\*",
        ),
        (
            {"big": BIG},
            {"offers": {"t3.2xlarge": ("eu-central-1c",)}},
            "workers.big.type is 't3.2xlarge'; it must be a type that a zone of the other nodes"
            " offers: eu-central-1a, eu-central-1b",
        ),
        (
            {"big": BIG},
            {"offers": {"t3.2xlarge": ("eu-central-1b",)}},
            "workers.big.type is 't3.2xlarge'; it must be a type that eu-central-1a offers, where",
        ),
        ({"no": {"type": "t9.none"}}, {}, "workers.no.type is 't9.none'; it must be an EC2"),
        ({"no": {"type": "t3.nano"}}, {}, r"workers.no.type is 't3.nano \(1 vCPU, 512 MiB\)"),
    ],
)
def test_a_type_that_can_be_no_node_of_this_cluster(workers, aws, said) -> None:
    asked = amazon(**aws)
    nano = {**T3_MEDIUM, "defaultVcpus": 1, "memorySize": 512}
    asked.types = {**asked.types, "t9.none": {}, "t3.nano": nano}
    with pytest.raises(SettingsError, match=said) as caught:
        plan({"workers": workers}, recorder=asked)
    assert "\n" not in str(caught.value)


def test_a_zone_that_all_types_are_offered_in_is_taken() -> None:
    offers = {"t3.2xlarge": ("eu-central-1b", "eu-central-1c")}
    asked = amazon(offers=offers, placed="eu-central-1b")
    made = plan({"workers": {"big": BIG}}, recorder=asked)
    subnet = made.one("subnet", "aws:ec2/subnet:Subnet")
    assert subnet.inputs["availabilityZone"] == "eu-central-1b"


def test_an_image_that_is_chosen_is_for_one_architecture() -> None:
    image = {"image": "ami-0123456789abcdef0"}
    with pytest.raises(SettingsError, match="a type of x86_64, for which nodes.image is; newest"):
        plan({"nodes": image, "workers": {"arm": {"type": "c7g.2xlarge"}}}, recorder=amazon())


# ---- bad input


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        ({"a": {"count": 0}}, "workers.a.count is 0; it must be a whole number of at least 1"),
        ({"A": {}}, "workers is 'A'; it must be names of up to 32 of a-z, 0-9 and -"),
        ({"-a": {}}, "workers is '-a'; it must be names of up to 32"),
        ({"worker": {}}, "workers is 'worker'; it must be names that are not taken"),
        ({"nodes": {}}, "workers is 'nodes'; it must be names that are not taken"),
        ({"a": {"spot": "maybe"}}, "workers.a.spot is 'maybe'; it must be true or false"),
        ({"a": {"tiant": []}}, "workers.a.tiant is not a setting (did you mean"),
        ({"a": {"labels": {"a b": "c"}}}, "workers.a.labels is an object; it must be labels of"),
        ({"a": {"labels": {"a": "b c"}}}, "label a=b c is not taken by Kubernetes: a value has"),
        ({"a": {"labels": {"kubernetes.io/os": "x"}}}, "names of kubernetes.io are set by others"),
        ({"a": {"labels": {"x": {"y": "z"}}}}, 'a text for each: write labels["x...."]'),
        ({"a": {"labels": ["a=b"]}}, "labels of Kubernetes, each with its text"),
        ({"a": {"taints": ["a"]}}, "a is no taint: write KEY[=VALUE]:EFFECT"),
        ({"a": {"taints": ["a=b:Never"]}}, "the effect of a=b:Never must be one of NoSchedule,"),
        ({"a": {"taints": ["a=-:NoSchedule"]}}, "taint a=- is not taken by Kubernetes"),
        ({"a": {"taints": ["tinderbox.internal/a:NoSchedule"]}}, "are set by others"),
        ({"a": {"taints": ["a=b:NoExecute", "a=c:NoExecute"]}}, "each key and effect once"),
        ({"a": {"taints": "a:NoSchedule"}}, "a list of taints, each KEY[=VALUE]:EFFECT"),
        (
            {"a": {"count": 249}, "b": {"count": 9}},
            "workers.a.count is 249; it must be at most 247",
        ),
    ],
)
def test_a_group_that_can_not_be_is_a_line_with_its_key(workers, said) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(workers=workers)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("tinderbox:workers") and said in line


def test_the_range_of_pods_is_for_all_nodes() -> None:
    cluster = {"podCidr": "10.200.0.0/22"}
    settings(cluster=cluster, workers={"a": {}})
    with pytest.raises(SettingsError, match=r"workers.a.count is 2; it must be at most 1: .*/22"):
        settings(cluster=cluster, workers={"a": {"count": 2}})


# ---- what counts nodes, sizes and prices

MACHINES = {
    "t3.medium": Machine("t3.medium", "ami", 2, 4096),
    "t3.2xlarge": Machine("t3.2xlarge", "ami", 8, 32768),
}
NATIVE = {"app": "spark_jobs/pi.py", "master": "kubernetes"}


def fit(**config: Any) -> None:
    require_fit(settings(**config), MACHINES)


def test_groups_give_room_to_the_stack_where_any_pod_may_come() -> None:
    count = {"master": "kubernetes"}
    with pytest.raises(SettingsError, match="nodes.count is 1"):
        fit(nodes={"count": 1}, wordCount=count)
    fit(nodes={"count": 1}, wordCount=count, workers={"more": {"type": "t3.2xlarge"}})
    with pytest.raises(SettingsError, match="nodes.count is 1; it must be at least 3"):
        fit(nodes={"count": 1}, wordCount=count, workers={"big": BIG})
    # A worker as large as the largest node.
    memory = {"workerMemoryMiB": 8000, "workers": 1}
    fit(spark=memory, workers={"more": {"type": "t3.2xlarge"}})
    with pytest.raises(SettingsError, match="at most 3200: a t3.medium has 4096 MiB"):
        fit(spark=memory, workers={"big": BIG})


LARGE = {**NATIVE, "executor": {"memoryMiB": 9000}}


def test_an_application_has_the_room_of_groups_whose_taints_it_tolerates() -> None:
    with pytest.raises(SettingsError, match="an executor of .* fits on no node: the largest has 1"):
        fit(workers={"big": BIG}, applications={"pi": LARGE})
    tolerant = {**LARGE, "executor": {"memoryMiB": 9000, "tolerations": ["big=yes:NoSchedule"]}}
    fit(workers={"big": BIG}, applications={"pi": tolerant})
    # By the group's labels, where it has them.
    chosen = {"spark.kubernetes.executor.node.selector.tinderbox.internal/group": "small"}
    workers = {"big": BIG, "small": {"labels": {"team": "b"}}}
    with pytest.raises(SettingsError, match="fits on no node: the largest has 1.9"):
        fit(workers=workers, applications={"pi": {**tolerant, "conf": chosen}})


@pytest.mark.parametrize(
    ("toleration", "warns"),
    [
        ("big", False),
        ("big=yes", False),
        ("big=yes:NoSchedule", False),
        ("big:NoExecute", True),
        ("big=no", True),
        ("other", True),
    ],
)
def test_a_taint_that_no_application_tolerates_is_told_of(monkeypatch, toleration, warns) -> None:
    said: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", said.append)
    pi = {**NATIVE, "executor": {"tolerations": [toleration]}}
    fit(workers={"big": BIG, "more": {"taints": ["a:PreferNoSchedule"]}}, applications={"pi": pi})
    assert len(said) == warns
    if warns:
        assert said[0].startswith(
            "tinderbox:workers.big.taints: no application of the settings tolerates"
            " big=yes:NoSchedule;"
        )


def test_the_cost_analytics_know_each_nodes_price() -> None:
    report = {"engine": "kube-resource-report"}
    found = settings(nodes=NODES, workers={"big": BIG, "more": {"price": 0.02}}, opex=report)
    assert hourly_rate(found) == pytest.approx(2 * 0.05 + 2 * 0.3 + 0.02)
    hours = 24 * 30.4375
    prices: Any = opex_values(found, "claim")["prices"]
    assert {one["instanceType"]: one["monthly"] for one in prices} == {
        "t3.2xlarge": pytest.approx(0.3 * hours, rel=1e-5),
        # There are three of them, of two prices.
        "t3.medium": pytest.approx((2 * 0.05 + 0.02) / 3 * hours, rel=1e-5),
    }
    with pytest.raises(SettingsError, match="workers.big.price is None; it must be the USD an hou"):
        settings(nodes=NODES, workers={"big": {"type": "t3.large"}}, opex=report)
