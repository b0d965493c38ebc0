"""Whatever was killed or left behind: `up` works again, and `down` leaves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.daemons import processes, record, sweep
from localcloud.host import cgroups
from localcloud.host.shell import run, wait_until
from localcloud.layout import PULUMI, RECORD, STATE
from localcloud.machines import machine
from tests.cloud.machines import CHECKOUT, Network, Node, localcloud, state

SETTING = Path("/proc/sys/fs/inotify/max_user_instances")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Each test begins and ends with a host that has no local cloud."""
    setting = SETTING.read_text()
    yield
    localcloud("down", "--force")
    assert sweep.leftovers() == []
    assert SETTING.read_text() == setting


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A machine in a local cloud of its own."""
    localcloud("up")
    return Network.make(tmp_path).run(1)[0]


def daemon(name: str) -> processes.Process:
    known = record.load()
    assert known is not None
    return known.processes[name]


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # another's end may have taken it along
        os.kill(pid, signal.SIGKILL)


def test_a_second_up_changes_nothing(node: Node) -> None:
    before = RECORD.read_text()
    assert "is up already" in localcloud("up").stdout
    assert RECORD.read_text() == before
    assert node.wait_ssh()


def test_without_the_api_the_cloud_is_gone_and_up_says_so(node: Node) -> None:
    (PULUMI / "state").touch()
    passphrase = (PULUMI / "passphrase").read_text()
    kill(daemon("api").pid)
    assert state()["running"] is False
    assert "gone" in localcloud("up").stdout
    assert state()["instances"] == []
    assert not machine.folder(node.id).exists()
    assert node.id not in cgroups.names()
    assert not (PULUMI / "state").exists()
    assert (PULUMI / "passphrase").read_text() != passphrase


def test_machines_live_on_while_the_api_is_away(node: Node) -> None:
    address = node.public
    kill(daemon("api").pid)
    time.sleep(3)  # time enough for a reconciler that took silence for an empty cloud
    assert node.wait_ssh(address)


@pytest.mark.parametrize("name", ["reconciler", "resolver", "packages", "registry"])
def test_up_starts_again_what_died(node: Node, name: str) -> None:
    kill(daemon(name).pid)
    assert wait_until(lambda: not daemon(name).alive, 5)
    assert name in localcloud("up").stdout
    assert daemon(name).alive
    assert node.wait_ssh()


@pytest.mark.parametrize("name", ["api", "reconciler", "resolver", "packages", "registry"])
def test_down_after_the_death_of_a_daemon(node: Node, name: str) -> None:
    kill(daemon(name).pid)
    localcloud("down")
    assert sweep.leftovers() == []


def test_the_death_of_nspawn_takes_the_machine_along_and_it_comes_back(node: Node) -> None:
    node.out("sudo touch /run/before")
    leader = machine.leader(node.id)
    status = Path(f"/proc/{leader}/status").read_text()
    kill(int(status.partition("PPid:")[2].split()[0]))
    assert wait_until(lambda: node.ssh("test ! -e /run/before").returncode == 0, 30, 0.1)


def test_down_when_all_is_killed_at_once(node: Node) -> None:
    for pid in cgroups.processes():
        kill(pid)
    localcloud("down")
    assert sweep.leftovers() == []


def test_down_without_any_record(node: Node) -> None:
    raised = record.load()
    assert raised is not None
    for setting in raised.settings:  # only the record knows what they were
        Path(setting.path).write_text(setting.former)
    RECORD.unlink()
    localcloud("down")
    assert sweep.leftovers() == []


@pytest.mark.parametrize("moment", ["cloud.json", "logs/api.log", "logs/registry.log"])
def test_an_up_that_is_killed_on_its_way(moment: str) -> None:
    starting = subprocess.Popen([sys.executable, "-m", "localcloud", "up"], cwd=CHECKOUT)
    assert wait_until(lambda: (STATE / moment).exists(), 60, 0.001)
    starting.kill()
    starting.wait()
    assert "is up" in localcloud("up").stdout


def test_an_up_that_is_interrupted_leaves_nothing_running() -> None:
    starting = subprocess.Popen([sys.executable, "-m", "localcloud", "up"], cwd=CHECKOUT)
    assert wait_until(lambda: (STATE / "logs/api.log").exists(), 60, 0.001)
    starting.send_signal(signal.SIGINT)
    assert starting.wait(60) == 130
    assert set(sweep.leftovers()) <= {f"folder {STATE}"}  # the logs


def test_planted_leftovers_go() -> None:
    folder = STATE / "machines" / "i-0123456789abcdef0"
    folder.mkdir(parents=True)
    run(["mount", "-t", "tmpfs", "tmpfs", str(folder)])
    run(["ip", "netns", "add", "tbx-i-0123456789abcdef0"])
    run(["ip", "link", "add", "tbx0", "type", "bridge"])
    run(["ip", "link", "add", "tbx456789abcdef", "type", "veth", "peer", "name", "tbxpeer"])
    run(["nft", "add", "table", "ip", "tinderbox"])
    Path("/run/systemd/nspawn/propagate/i-0123456789abcdef0").mkdir(parents=True, exist_ok=True)
    (STATE / "logs").mkdir()
    inner = cgroups.create("i-0123456789abcdef0")
    for place in inner:
        (place / "kubepods").mkdir()
    process = processes.start(["sleep", "1000"], STATE / "logs/x.log")
    assert len(sweep.leftovers()) >= 8
    assert "an earlier local cloud" in localcloud("up").stdout
    assert not process.alive
    assert "tbxpeer" not in run(["ip", "link"])
    assert state()["instances"] == []


def test_a_broken_record_stops_nobody() -> None:
    STATE.mkdir()
    RECORD.write_text('{"id": ')
    assert "is up" in localcloud("up").stdout


def test_the_local_cloud_of_another_checkout_is_left_alone(tmp_path: Path) -> None:
    localcloud("up")
    fields = json.loads(RECORD.read_text())
    RECORD.write_text(json.dumps({**fields, "checkout": str(tmp_path)}))
    for command in ("up", "down"):
        done = localcloud(command, check=False)
        assert done.returncode == 1
        assert str(tmp_path) in done.stderr
        assert str(daemon("api").pid) in done.stderr
    assert daemon("api").alive
    # A checkout that was deleted has nobody left to ask.
    RECORD.write_text(json.dumps({**fields, "checkout": str(tmp_path / "deleted")}))
    localcloud("down")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 4599))
        other.listen()
        done = localcloud("up", check=False)
    assert done.returncode == 1
    assert "4599" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_state_is_closed_to_others() -> None:
    localcloud("up")
    assert STATE.stat().st_mode & 0o077 == 0
    assert PULUMI.stat().st_mode & 0o077 == 0
    assert (PULUMI / "passphrase").stat().st_mode & 0o777 == 0o600
