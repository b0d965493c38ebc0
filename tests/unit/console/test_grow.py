"""`make submit --grow`: what is planned, and that a stack is afterwards what it was."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from console import grow
from console.grow import Growth
from console.stack import ConsoleError, Stack
from console.verbs import submit, up
from localcloud import layout
from submission.growth import Room
from submission.nodes import CAPACITY, GROUP, SPOT
from submission.sizes import Allocatable, Amount
from tests.unit.plan import ROOT
from tests.unit.submission.test_growth import native

LABELS = {
    "node.kubernetes.io/instance-type": "t3.medium",
    "topology.kubernetes.io/region": "eu-central-1",
}


def room(
    group: str = "", free: float = 1.2, *, is_worker: bool = True, is_spot: bool = False
) -> Room:
    """A node with room for one executor beside the driver, unless less of it is free."""
    has = Amount(free, 2000)
    labels = LABELS | ({GROUP: group} if group else {}) | ({CAPACITY: SPOT} if is_spot else {})
    return Room(group, is_worker, Allocatable(has, labels), Allocatable(Amount(1.8, 3000), labels))


def settings(nodes: dict[str, Any], **workers: Any) -> dict[str, dict[str, Any]]:
    return {"nodes": nodes, "workers": workers}


# ---- what is planned


def test_what_has_room_grows_nothing():
    assert grow.plan(native(1), [room()], settings({"growTo": 5})) is None


def test_nodes_come_at_their_price():
    given = settings({"growTo": "5", "count": "3", "price": "0.05"})
    found = grow.plan(native(3), [room(is_worker=False, free=0), room()], given)
    assert found == Growth(
        *("nodes", 3, 2),
        "3 executors of 1.01 CPU and 1056 MiB need 2 more of nodes: t3.medium, 0.1000 USD an hour",
    )


def test_what_the_limit_leaves_is_said():
    found = grow.plan(native(9), [room()], settings({"growTo": 5, "price": 0.05}))
    assert found and found.more == 2
    assert "need more than 5, which is nodes.growTo: with 2 more, 3 run at once" in found.note
    found = grow.plan(native(9), [room()], settings({"growTo": 3, "price": 0.05}))
    assert found and found.more == 0 and "with 0 more, 1 run at once" in found.note


def test_a_group_grows_where_its_nodes_are_asked_for():
    big = {"growTo": 4, "count": 1, "spot": True}
    rooms = [room(), room("big", is_spot=True)]
    wanted = native(3, node_selector={GROUP: "big"})
    found = grow.plan(wanted, rooms, settings({"growTo": 9, "price": 0.05}, big=big))
    assert found and (found.key, found.count, found.more) == ("workers.big", 1, 2)
    assert "at most 0.1000 USD an hour" in found.note
    found = grow.plan(wanted, rooms, settings({}, big={**big, "price": 0.01}))
    assert found and "t3.medium, 0.0200 USD an hour" in found.note
    # Nothing says what it costs.
    unknown = dataclasses.replace(rooms[1], free=Allocatable(rooms[1].free.has, {GROUP: "big"}))
    found = grow.plan(wanted, [rooms[0], unknown], settings({}, big=big))
    assert found and "at a price that is not known (workers.big.price)" in found.note


@pytest.mark.parametrize(
    ("nodes", "rooms", "said"),
    [
        ({}, [room()], "nodes.growTo is not set, so no node may come: pulumi config set --path"),
        ({"growTo": 9}, [room("big")], "nodes: the application comes to none of its nodes"),
        ({"growTo": 9, "count": 1}, [room()], "nodes.count is 1, and a further node would take"),
        ({"growTo": "many"}, [room()], "nodes or workers are not set right: `make preview` says"),
        ({"growTo": 3}, [room(free=0.5)], r"nodes.growTo is 3: with 0 more there is no room for"),
    ],
)
def test_what_can_not_grow_is_one_line(nodes, rooms, said):
    with pytest.raises(ConsoleError, match=said) as refused:
        grow.plan(native(2), rooms, settings(nodes))
    assert "\n" not in str(refused.value)


def test_standalone_executors_are_none_of_it():
    wanted = dataclasses.replace(native(2), executor_pod=None)
    with pytest.raises(ConsoleError, match=r"--grow is for executors that are pods \(--master kub"):
        grow.plan(wanted, [room()], settings({"growTo": 9}))


# ---- a stack grows, and is what it was

PULUMI = """#!{python} -SE
import json, os, shutil, sys
here = {here!r}
words = sys.argv
if "output" in words:
    print(open(here + "/outputs").read())
elif "export" in words:
    print('{{"deployment": {{}}}}')
elif "up" in words:
    print("Updating (local)")
    made = len(os.listdir(here + "/ups"))
    shutil.copy(words[words.index("--config-file") + 1], here + "/ups/" + str(made))
    sys.exit(os.path.exists(here + "/fails"))
"""
# Grows the stack of a cloud in a folder, and then says so and waits.
GROWS = """
import sys, time
from pathlib import Path
from console import grow
from console.stack import Stack
from localcloud import layout
layout.PULUMI = Path(sys.argv[1])
Stack.require_own = lambda self: None
stack = Stack("local", env={"PATH": sys.argv[2]})
with grow.grown(stack, grow.Growth("nodes", 3, 2, ""), yes=False):
    print("grown", flush=True)
    time.sleep(600)
"""
BEFORE: dict[str, Any] = {
    "config": {
        "tinderbox:nodes": {"count": 3, "price": 0.05, "growTo": 5},
        "tinderbox:workers": {"big": {"count": 1}, "same": None},
    },
    "encryptionsalt": "salt",
}


class Place:
    """A local cloud's folder, and a Pulumi that keeps the configuration of each update."""

    def __init__(self, folder: Path) -> None:
        self.cloud, self.folder = folder / "cloud", folder
        for made in (self.cloud, folder / "bin", folder / "ups"):
            made.mkdir()
        (self.cloud / "passphrase").touch()
        (self.cloud / ".pulumi" / "stacks" / "tinderbox").mkdir(parents=True)
        (self.cloud / ".pulumi" / "stacks" / "tinderbox" / "local.json").touch()
        (self.cloud / "Pulumi.local.yaml").write_text(yaml.safe_dump(BEFORE))
        (folder / "outputs").write_text('{"nodes": [{}]}')
        program = folder / "bin" / "pulumi"
        program.write_text(PULUMI.format(python=sys.executable, here=str(folder)))
        program.chmod(0o755)
        self.path = f"{folder}/bin:/usr/bin:/bin"

    @property
    def stack(self) -> Stack:
        return Stack("local", env={"PATH": self.path})

    def updates(self) -> list[dict[str, Any]]:
        """The configuration of each."""
        files = sorted((self.folder / "ups").iterdir(), key=lambda file: int(file.name))
        return [yaml.safe_load(file.read_text()) for file in files]

    def counts(self) -> list[int]:
        return [one["config"]["tinderbox:nodes"]["count"] for one in self.updates()]

    def marks(self) -> list[str]:
        return [file.name for file in self.cloud.glob("local.grown/*")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.setattr(layout, "PULUMI", made.cloud)
    monkeypatch.setattr(Stack, "require_own", lambda self: None)
    monkeypatch.setattr(Stack, "folder", tmp_path / "kept")
    return made


def test_the_stack_grows_for_a_while_and_its_settings_stay(place: Place, capfd):
    with grow.grown(place.stack, Growth("nodes", 3, 2, ""), yes=False):
        assert place.counts() == [5]
        assert (place.cloud / "local.grown").stat().st_mode & 0o077 == 0
    assert place.counts() == [5, 3]
    assert place.updates()[1] == BEFORE
    grown = place.updates()[0]
    grown["config"]["tinderbox:nodes"]["count"] = 3
    assert grown == BEFORE
    assert yaml.safe_load((place.cloud / "Pulumi.local.yaml").read_text()) == BEFORE
    assert not place.marks()
    out, said = capfd.readouterr()
    # What the application prints is all that stdout has.
    assert not out and said.count("Updating (local)") == 2
    assert "submit: nodes.count goes from 3 to 5" in said
    assert "submit: nodes.count goes back to 3" in said


@pytest.mark.parametrize(("name", "count"), [("big", 4), ("same", 4)])
def test_a_group_grows(place: Place, name: str, count: int):
    with grow.grown(place.stack, Growth(f"workers.{name}", 1, 3, ""), yes=False):
        (found,) = place.updates()
    workers = {**BEFORE["config"]["tinderbox:workers"]}
    workers[name] = {**(workers[name] or {}), "count": count}
    assert found["config"] == {**BEFORE["config"], "tinderbox:workers": workers}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ConsoleError("no driver after 300 s")])
def test_however_it_ends_the_stack_is_what_it_was(place: Place, error):
    with (
        pytest.raises(type(error) if isinstance(error, Exception) else error),
        grow.grown(place.stack, Growth("nodes", 3, 1, ""), yes=False),
    ):
        raise error
    assert place.counts() == [4, 3] and not place.marks()


def test_where_it_can_not_be_brought_back_the_mark_stays(place: Place):
    with (
        pytest.raises(ConsoleError, match="the next `make submit` or `make up` brings them back"),
        grow.grown(place.stack, Growth("nodes", 3, 1, ""), yes=False),
    ):
        (place.folder / "fails").touch()
    (place.folder / "fails").unlink()
    assert "before.yaml" in place.marks()
    grow.settle(place.stack, yes=False)
    assert place.counts() == [4, 3, 3] and not place.marks()


@pytest.fixture
def killed(place: Place) -> Callable[[], subprocess.Popen[str]]:
    """One in a process of its own that has grown the stack."""

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", GROWS, str(place.cloud), place.path]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout and process.stdout.readline() == "grown\n"
        return process

    return start


def test_what_was_killed_is_put_right_by_the_next_call(place: Place, killed, capfd):
    process = killed()
    try:
        # While it runs nobody else touches the stack, and an application may go on beside it.
        with pytest.raises(ConsoleError, match="is grown for a `make submit` that runs"):
            grow.is_left(place.stack)
        with (
            pytest.raises(ConsoleError, match="is grown already, for another `make submit`"),
            grow.grown(place.stack, Growth("nodes", 3, 1, ""), yes=False),
        ):
            pass
        grow.settle(place.stack, yes=False)
        assert place.counts() == [5]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert grow.is_left(place.stack)
    grow.settle(place.stack, yes=False)
    assert place.counts() == [5, 3] and not grow.is_left(place.stack)
    assert "a `make submit --grow` was killed: the stack's nodes go back" in capfd.readouterr().err
    grow.settle(place.stack, yes=False)
    assert place.counts() == [5, 3]


def test_a_stack_that_was_taken_away_meanwhile_is_not_made_anew(place: Place, killed):
    process = killed()
    process.send_signal(signal.SIGKILL)
    process.wait()
    (place.folder / "outputs").write_text("{}")
    grow.settle(place.stack, yes=False)
    assert place.counts() == [5] and not place.marks()


def test_the_next_call_is_any_that_touches_the_stack(place: Place, monkeypatch, capfd):
    """`make submit` before it asks the cluster; `make up` by its own update."""
    calls: list[str] = []
    monkeypatch.setattr(submit, "Stack", lambda name: place.stack)
    monkeypatch.setattr(grow, "settle", lambda stack, yes: calls.append(f"settled {yes}"))

    def connect(stack: Stack, namespace: str | None) -> Any:
        raise ConsoleError("the cluster was asked")

    monkeypatch.setattr(submit, "connect", connect)
    for more in ([], ["--yes"]):
        words = [*more, "spark_jobs/pi.py"]
        with pytest.raises(ConsoleError, match="the cluster was asked"):
            submit.submit(submit.VERB.parser("submit").parse_args(words))
    assert calls == ["settled False", "settled True"]

    def left(stack: Stack) -> bool:
        raise ConsoleError("is grown for a `make submit` that runs")

    monkeypatch.setattr(up.grow, "is_left", left)
    with pytest.raises(ConsoleError, match="that runs"):
        up.up(place.stack, None)


def test_on_aws_somebody_is_asked_unless_yes_was_said(place: Place, monkeypatch):
    stack = Stack("dev", env={"PATH": place.path})
    monkeypatch.setattr(Stack, "config_file", property(lambda self: self.config or place.cloud))
    with (
        pytest.raises(ConsoleError, match="nobody is here to be asked .*: --yes does it"),
        grow.grown(stack, Growth("nodes", 3, 1, ""), yes=False),
    ):
        pass
    assert dataclasses.replace(stack, agreed=True)._agreed == ("--yes", "--skip-preview")
    assert not stack._agreed


def test_what_is_encrypted_as_a_whole_does_not_grow(place: Place):
    secret = {"config": {"tinderbox:nodes": {"secure": "v1:x"}}}
    (place.cloud / "Pulumi.local.yaml").write_text(json.dumps(secret))
    with (
        pytest.raises(ConsoleError, match="tinderbox:nodes is encrypted as a whole"),
        grow.grown(place.stack, Growth("nodes", 3, 1, ""), yes=False),
    ):
        pass
    assert not place.updates() and not place.marks()
