"""make stop and make start, against moto; Pulumi and kubectl are the test's answers."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from console import nodes
from console.__main__ import verb_of
from console.cluster import Cluster
from console.nodes import Instance
from console.stack import ConsoleError, Stack
from console.verbs import start, stop
from tests.aws_api import IMAGE, aws_api
from tests.unit.plan import ROOT

URN = "urn:pulumi:dev::tinderbox::tinderbox:index:KubeNodes$aws:ec2/instance:Instance::"
INVENTORY = "urn:pulumi:dev::tinderbox::command:local:Command::tinderbox-dev-inventory"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with aws_api([IMAGE], tmp_path_factory.mktemp("moto")) as url:
        yield url


class Fake:
    """A stack of three nodes on moto; notes how Pulumi is called."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
        self.stack = Stack("dev", env={"PATH": "/nowhere"})
        self.aws = {"region": "eu-central-1", "endpoint": url}
        self.aws |= {"accessKey": "key", "secretKey": "secret"}
        self._file = file
        self.configure(self.aws)
        self.client = nodes.aws_client(self.aws)
        self.calls: list[list[str]] = []
        self.ids: dict[str, str] = {}
        self.states: list[dict[str, Any]] = []
        monkeypatch.setattr(Stack, "exists", lambda _: True)
        monkeypatch.setattr(Stack, "config_file", file)
        monkeypatch.setattr(Stack, "folder", file.parent / "kept")
        monkeypatch.setattr(Stack, "pulumi", self._pulumi)

    def configure(self, aws: dict[str, Any]) -> None:
        """Writes the stack's configuration."""
        groups = {"tinderbox:aws": aws, "tinderbox:nodes": {"price": 0.048}}
        self._file.write_text(json.dumps({"config": groups}))

    def make(self, *names: str, spot: tuple[str, ...] = (), stack: str = "dev") -> None:
        """Runs an instance for each name; those in `spot` are bought so."""
        for name in names:
            market = {"InstanceMarketOptions": {"MarketType": "spot"}} if name in spot else {}
            tags = [{"Key": "tinderbox:stack", "Value": stack}]
            made = self.client.run_instances(
                ImageId=IMAGE["ami_id"],
                InstanceType="t3.medium",
                MinCount=1,
                MaxCount=1,
                TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
                **market,
            )
            self.ids[name] = made["Instances"][0]["InstanceId"]
            lifecycle = "spot" if name in spot else ""
            outputs = {"instanceLifecycle": lifecycle, "rootBlockDevice": {"volumeSize": 20}}
            resource = {"type": "aws:ec2/instance:Instance", "id": self.ids[name]}
            if stack == "dev":
                urn = f"{URN}tinderbox-dev-{name}"
                self.states.append({**resource, "urn": urn, "outputs": outputs})

    def _pulumi(self, *arguments: str, **__: Any) -> str:
        self.calls.append(list(arguments))
        if arguments[:2] == ("stack", "export"):
            inventory = {"type": "command:local:Command", "urn": INVENTORY, "id": "i"}
            return json.dumps({"deployment": {"resources": [*self.states, inventory]}})
        if arguments[0] == "config":
            return json.dumps({"tinderbox:aws": {"objectValue": self.aws}})
        return ""

    def state(self, name: str) -> str:
        found = self.client.describe_instances(InstanceIds=[self.ids[name]])["Reservations"]
        return found[0]["Instances"][0]["State"]["Name"]


@pytest.fixture
def fake(api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fake]:
    made = Fake(api, monkeypatch, tmp_path / "Pulumi.dev.yaml")
    yield made
    if made.ids:
        made.client.terminate_instances(InstanceIds=list(made.ids.values()))


DEV = argparse.Namespace(stack="dev", input=None, refresh=False)
THREE = ("worker-2", "control-plane", "worker-1")


def test_the_control_plane_comes_first_and_what_is_replaced_is_left_out(fake: Fake) -> None:
    fake.make(*THREE, spot=("worker-2",))
    fake.states.append({**fake.states[0], "delete": True})
    found = nodes.instances(fake.stack)
    assert [one.name for one in found] == [
        f"tinderbox-dev-{name}" for name in ("control-plane", "worker-1", "worker-2")
    ]
    assert [one.spot for one in found] == [False, False, True]
    assert {one.disk_gib for one in found} == {20}


def test_of_which_group_a_node_is_its_name_says(fake: Fake) -> None:
    fake.make("control-plane", "worker-1", "big-2", "two-words-11", "arm-1-arm64")
    roles = {
        one.name.removeprefix("tinderbox-dev-"): one.role for one in nodes.instances(fake.stack)
    }
    assert roles == {
        "control-plane": "control-plane",
        "worker-1": "worker",
        "big-2": "big",
        "two-words-11": "two-words",
        "arm-1-arm64": "arm",
    }


def test_a_stack_without_nodes_of_its_own_can_not_be_stopped(fake: Fake) -> None:
    for verb in (stop.run, start.run):
        with pytest.raises(ConsoleError, match="^stack dev has no nodes of its own to stop and s"):
            verb(DEV)


# ---- stop


def test_all_nodes_stop_and_an_hours_cost_is_told(fake: Fake, capsys) -> None:
    fake.make(*THREE)
    fake.make("other", stack="prod")
    stop.run(DEV)
    assert {fake.state(name) for name in THREE} == {"stopped"}
    assert fake.state("other") == "running"
    printed = capsys.readouterr().out
    assert re.search(r"^tinderbox-dev-worker-1 is stopped \(\d+ s\)$", printed, re.M)
    assert re.search(r"^Stack dev is stopped \(\d+ s\)\.$", printed, re.M)
    assert "An hour costs 0.0133 USD now, and cost 0.1673." in printed
    assert "`make start STACK=dev` starts it again." in printed
    stop.run(DEV)  # as an interrupted one is taken up
    assert {fake.state(name) for name in THREE} == {"stopped"}


def test_a_spot_worker_is_let_go(fake: Fake, capsys) -> None:
    fake.make(*THREE, spot=("worker-2",))
    stop.run(DEV)
    assert [fake.state(name) for name in THREE] == ["terminated", "stopped", "stopped"]
    printed = capsys.readouterr().out
    assert "tinderbox-dev-worker-2 is let go (spot)" in printed
    assert "An hour costs 0.0107 USD now" in printed  # its disk is gone as well


def test_what_aws_refuses_is_one_line(fake: Fake, monkeypatch) -> None:
    fake.make(*THREE)
    fake.configure({**fake.aws, "endpoint": "http://127.0.0.1:9"})
    with pytest.raises(ConsoleError, match=r"^AWS: .*127\.0\.0\.1:9") as refused:
        stop.run(DEV)
    assert "\n" not in str(refused.value)


def test_a_price_that_is_not_set_is_said() -> None:
    node = Instance("n", "u", "i", False, 20)
    said = stop.costs([node], [node], {"nodes": {}})
    assert "without nodes of no price (nodes.price is not set)" in said
    assert "costs 0.0081 USD now, and cost 0.0081" in said


def test_each_node_has_its_groups_price() -> None:
    mine = [Instance(n, "u", "i", False, 20, "t3.medium", role) for n, role in (("a", "worker"),)]
    mine.append(Instance("b", "u", "i", True, 20, "t3.large", "big"))
    settings = {"nodes": {"price": 0.1}, "workers": {"big": {"price": 0.3}}}
    alone = {"nodes": {"price": 0.1}}
    assert "and cost 0.4157." in stop.costs(mine, mine, settings)
    assert "and cost 0.2157." in stop.costs(mine, mine, alone)


def test_the_prices_are_the_readmes() -> None:
    table = (ROOT / "README.md").read_text()
    per_gib, address = stop.DISK_GIB_MONTH, stop.ADDRESS_HOUR
    assert f"gp3 at {per_gib} per GiB and month | {60 * per_gib / stop.HOURS_A_MONTH:.4f}" in table
    assert f"addresses at {address} an hour (one is the Elastic IP) | {3 * address:.4f}" in table
    assert f"EFS at {stop.EFS_GIB_MONTH} per GiB and month; counted here: 1 GiB" in table
    assert f"a month ({stop.HOURS_A_MONTH} h)" in table
    three = [Instance("n", "u", "i", False, 20)] * 3
    whole = re.search(r"^\| together \| ([0-9.]+) ", table, re.M)
    priced = {"nodes": {"price": 0.048}}
    assert whole and f"and cost {whole[1]}" in stop.costs(three, three, priced)


def test_load_balancers_go_on_when_nodes_are_stopped() -> None:
    four = [Instance("n", "u", "i", False, 20)] * 4
    said = {
        n: stop.costs(four, four, {"nodes": {"price": 0.1, "controlPlanes": n}}) for n in (1, 3)
    }
    assert "balancer" not in said[1] and ", the load balancers 0.0540, the shared" in said[3]
    now, before = (
        [float(found[1]) for n in (1, 3) if (found := re.search(rf"{word} (\d\.\d+)", said[n]))]
        for word in ("costs", "cost")
    )
    assert now[1] - now[0] == pytest.approx(0.054, abs=2e-4)
    assert before[1] - before[0] == pytest.approx(0.059, abs=2e-4)
    assert (
        f"load balancers {stop.BALANCER_HOUR:.4f} an hour\neach"
        in (ROOT / "docs/ha.md").read_text()
    )


def test_spot_nodes_have_their_own_price() -> None:
    two = [Instance("n", "u", "i", spot, 20, "t3.medium", "worker") for spot in (False, True)]
    # Two disks, two addresses, the file system.
    rest = 40 * stop.DISK_GIB_MONTH / 730 + 2 * stop.ADDRESS_HOUR + stop.EFS_GIB_MONTH / 730
    priced = {"nodes": {"price": 0.048}, "workers": {}}
    assert f"and cost {rest + 0.096:.4f}." in stop.costs(two, two, priced)
    priced["nodes"]["spotPrice"] = 0.01
    assert f"and cost {rest + 0.058:.4f}." in stop.costs(two, two, priced)


# ---- a stack that is stopped


def test_only_a_stack_whose_control_plane_is_stopped_is_called_so(fake: Fake) -> None:
    fake.make(*THREE)
    assert nodes.stopped(fake.stack) is None
    assert fake.calls == []  # each takes a moment
    fake.client.stop_instances(InstanceIds=[fake.ids["worker-1"]])
    assert nodes.stopped(fake.stack) is None  # an up that was interrupted goes on
    fake.client.stop_instances(InstanceIds=[fake.ids["control-plane"]])
    said = "2 of 3 nodes of stack dev are stopped; `make start STACK=dev` starts them"
    assert nodes.stopped(fake.stack) == said
    with pytest.raises(ConsoleError, match=f"^{said}$"):
        nodes.require_started(fake.stack)


def test_another_stack_of_that_name_is_not_taken_for_this_one(fake: Fake) -> None:
    fake.make("control-plane")
    fake.states.clear()
    stop_it = [fake.ids["control-plane"]]
    fake.client.stop_instances(InstanceIds=stop_it)
    assert nodes.stopped(fake.stack) is None


def test_keys_that_are_secrets_are_asked_of_pulumi(fake: Fake) -> None:
    fake.make("control-plane")
    fake.client.stop_instances(InstanceIds=[fake.ids["control-plane"]])
    fake.configure({**fake.aws, "secretKey": {"secure": "v1:abc"}})
    assert nodes.stopped(fake.stack)
    assert fake.calls[0] == ["config", "--json", "--show-secrets"]
    assert nodes.settings(fake.stack)["aws"] == fake.aws


def test_where_aws_gives_no_answer_pulumi_is_left_to_say_so(fake: Fake) -> None:
    fake.configure({**fake.aws, "endpoint": "http://127.0.0.1:9"})
    assert nodes.stopped(fake.stack) is None


@pytest.mark.parametrize("verb", ["up", "preview", "destroy", "status"])
def test_each_verb_says_so_and_what_to_do(fake: Fake, verb: str, capsys, monkeypatch) -> None:
    fake.make(*THREE)
    fake.client.stop_instances(InstanceIds=[fake.ids[name] for name in THREE])
    monkeypatch.setattr(Stack, "prepare", lambda *_: None)
    said = "3 of 3 nodes of stack dev are stopped; `make start STACK=dev` starts them"
    if verb in ("up", "preview"):
        with pytest.raises(ConsoleError, match=f"^{said}$"):
            verb_of(verb).run(DEV)
    else:
        verb_of(verb).run(DEV)
        assert said in capsys.readouterr().out
    called = [call[0] for call in fake.calls]
    assert ("destroy" in called) == (verb == "destroy")
    assert not {"up", "preview"} & set(called)


# ---- start


@pytest.fixture
def well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that is well at once."""
    monkeypatch.setattr(start, "connect", lambda _: None)
    monkeypatch.setattr(start, "nodes_missing", lambda *_: [])
    monkeypatch.setattr(start, "pods_missing", lambda *_: [])


def test_all_nodes_start_and_pulumi_hears_of_their_addresses(fake: Fake, well, capsys) -> None:
    fake.make(*THREE)
    stop.run(DEV)
    fake.calls.clear()
    start.run(DEV)
    assert {fake.state(name) for name in THREE} == {"running"}
    refresh, up = (
        next(call for call in fake.calls if call[0] == verb) for verb in ("refresh", "up")
    )
    assert set(refresh) >= {f"--target={URN}tinderbox-dev-{name}" for name in THREE}
    assert f"--target={INVENTORY}" in up  # and nothing else that may have changed
    printed = capsys.readouterr().out
    assert "tinderbox-dev-worker-2 runs (" in printed
    assert re.search(r"^Stack dev is started: \d+ s\.$", printed, re.M)


def test_spot_workers_come_back_by_an_up(fake: Fake, well) -> None:
    fake.make(*THREE, spot=("worker-2",))
    stop.run(DEV)
    fake.calls.clear()
    start.run(DEV)
    assert fake.state("worker-1") == "running"
    (up,) = [call for call in fake.calls if call[0] == "up"]
    assert not [word for word in up if word.startswith("--target")]
    assert [call[0] for call in fake.calls].index("refresh") < fake.calls.index(up)


def test_what_stays_unwell_is_said_once_time_is_up(monkeypatch) -> None:
    monkeypatch.setattr(start, "_LIMIT", 0)
    with pytest.raises(ConsoleError, match="^nodes not well within 0 s: a is not Ready; see `make"):
        start.wait_for(lambda: ["a is not Ready"], "nodes", 0.0)

    def refused() -> list[str]:
        raise ConsoleError("connection refused")

    with pytest.raises(ConsoleError, match="within 0 s: connection refused"):
        start.wait_for(refused, "nodes", 0.0)


NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
BEFORE, AFTER = (
    (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z") for seconds in (-60, 5)
)


def _ready(status_: str = "True") -> dict[str, Any]:
    return {"conditions": [{"type": "Ready", "status": status_}]}


def _pod(name: str, namespace: str = "spark", owner: str = "ReplicaSet", **more: Any) -> Any:
    containers = [{"state": {"running": {"startedAt": more.pop("started", AFTER)}}}]
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "ownerReferences": [{"kind": owner}],
            "labels": {"app.kubernetes.io/component": name},
        },
        "spec": {"nodeName": more.pop("node", "a")},
        "status": {**_ready(more.pop("ready", "True")), "containerStatuses": containers},
    }


class Answers(Cluster):
    """A cluster that answers what the test says."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}

    def json(self, path: str) -> Any:
        what = path.rpartition("/")[2]
        if what:
            return {"items": self.answers[what]}
        return {"workers": [{"state": state} for state in self.answers["spark"]]}


@pytest.fixture
def cluster() -> Answers:
    return Answers()


@pytest.mark.parametrize(
    ("ready", "renewed", "missing"),
    [
        ("True", AFTER, []),
        ("True", BEFORE, ["a has not reported yet"]),  # what was said before the stop
        ("Unknown", AFTER, ["a is not Ready"]),
    ],
)
def test_a_node_is_well_once_it_says_so_itself(cluster, ready, renewed, missing) -> None:
    cluster.answers["nodes"] = [
        {"metadata": {"name": "a"}, "status": _ready(ready)},
        {"metadata": {"name": "gone"}, "status": _ready("Unknown")},
    ]
    cluster.answers["leases"] = [{"metadata": {"name": "a"}, "spec": {"renewTime": renewed}}]
    assert start.nodes_missing(cluster, {"a"}, NOW) == missing
    unknown = start.nodes_missing(cluster, {"b"}, NOW)
    assert unknown == ["b is not in the cluster"]


@pytest.mark.parametrize(
    ("pods", "workers", "missing"),
    [
        ([_pod("worker")], ["ALIVE", "DEAD"], []),
        ([_pod("worker")], ["UNKNOWN"], ["0 of 1 Spark workers are alive"]),
        ([_pod("worker"), _pod("worker")], ["ALIVE"], ["1 of 2 Spark workers are alive"]),
        ([_pod("worker", started=BEFORE)], ["ALIVE"], ["pod spark/worker is not ready"]),
        ([_pod("worker", ready="False")], ["ALIVE"], ["pod spark/worker is not ready"]),
        ([_pod("etcd", "kube-system", "Node", ready="False")], [], ["pod kube-system/etcd is not"]),
        # A Job's pod, and what is not ours.
        ([_pod("driver", owner="Job", ready="False"), _pod("x", "mine", ready="False")], [], []),
        # A pod whose node is gone goes as well.
        ([_pod("worker"), _pod("worker", node="b", ready="False")], ["ALIVE"], []),
    ],
)
def test_the_cluster_is_well_once_all_that_runs_for_ever_runs_again(
    cluster, pods, workers, missing
) -> None:
    nodes_ = [{"metadata": {"name": "a"}}]
    cluster.answers = {"nodes": nodes_, "pods": pods, "spark": workers}
    found = start.pods_missing(cluster, NOW)
    assert len(found) == len(missing)
    assert all(line.startswith(said) for line, said in zip(found, missing, strict=True))
