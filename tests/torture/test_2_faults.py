"""Faults of nodes, the network and the mirror that are made to happen to a stack that works.

After each all nodes are Ready, every pod runs, a preview is quiet and an application that was under
way has ended right.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from console.cluster import is_ready
from console.stack import ROOT
from localcloud.api.client import ec2_client
from localcloud.daemons import record
from localcloud.host import cgroups
from localcloud.releases import STATIC
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import Slow, wait_for
from tests.faults import Fault

Node = dict[str, Any]


def nodes(up: Up) -> list[Node]:
    """Those of the outputs, the control plane first."""
    return up.outputs()["nodes"]


def on(up: Up, node: Node, command: str) -> str:
    """What a command prints on a node; nothing while the node does not take SSH."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = up.ssh(node, command, seconds=20)
        return done.stdout if done.returncode == 0 else ""
    return ""


def runs(up: Up) -> bool:
    """Whether every node is Ready, every pod that is to run is, and Spark has its workers."""
    with contextlib.suppress(AssertionError):
        if up.ready() != up.hosts():
            return False
        for pod in up.get("pods", "--all-namespaces")["items"]:
            owners = {one["kind"] for one in pod["metadata"].get("ownerReferences", [])}
            # Who was evicted stays in the list; its successor counts.
            over = "Job" in owners or pod["status"].get("reason") == "Evicted"
            if not over and not is_ready(pod):
                return False
        return True
    return False


def well_again(up: Up, fault: Fault, person: str, slow: Slow | None = None) -> None:
    """All is as it was; the application, which was under way, ends right."""
    wait_for("the cluster as it was", lambda: runs(up), seconds=420)
    fault.well(person)
    if slow:
        slow.assert_right()
    assert up.changes() == {}


def reboot(up: Up, some: list[Node]) -> None:
    """Asks AWS to, and waits until they have begun anew."""
    began = "stat -c %Z /proc/1"
    before = {node["name"]: on(up, node, began) for node in some}
    assert all(before.values())
    ec2_client().reboot_instances(InstanceIds=[node["instanceId"] for node in some])
    for node in some:
        wait_for(
            f"another boot of {node['name']}",
            lambda node=node: on(up, node, began) not in ("", before[node["name"]]),
            seconds=180,
        )


def test_nodes_are_rebooted_in_turn(up: Up, slow: Slow):
    fault = Fault("every node rebooted, one after the other, an application running")
    for node in reversed(nodes(up)):
        reboot(up, [node])
        wait_for("the node", lambda: runs(up), seconds=420)
    well_again(up, fault, "its pods are away, and start again with it", slow)


def test_all_nodes_are_rebooted_at_once(up: Up, slow: Slow):
    fault = Fault("all nodes rebooted at once, an application running")
    reboot(up, nodes(up))
    well_again(up, fault, "the API is away, then all is as before; the driver is tried again", slow)


DAEMONS = {
    "kubelet": "pkill -KILL -x kubelet",
    "containerd": "pkill -KILL -x containerd",
    "etcd": "pkill -KILL -x etcd",
    "the API server": "pkill -KILL -x kube-apiserver",
    "the network's daemon": "pkill -KILL -x flanneld",
}


def test_daemons_are_killed_on_all_nodes(up: Up, slow: Slow):
    fault = Fault(f"killed on every node that has them: {', '.join(DAEMONS)}, one after the other")
    for what, command in DAEMONS.items():
        hit = [on(up, node, f"sudo {command} && echo killed") for node in nodes(up)]
        assert "killed\n" in hit, what
        wait_for(f"all after {what}", lambda: runs(up), seconds=420)
    well_again(up, fault, "nothing: systemd and the kubelet start them again", slow)


@contextlib.contextmanager
def unplugged(node: Node) -> Generator[None]:
    """A node whose cable is out."""
    cable = f"tbx{node['instanceId'][-12:]}"
    subprocess.run(["ip", "link", "set", cable, "down"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "set", cable, "up"], check=True)


def test_a_worker_is_cut_from_the_others(up: Up, slow: Slow):
    lost = nodes(up)[-1]
    fault = Fault("a worker cut from all others during an application, then healed")
    with unplugged(lost):
        wait_for("the loss", lambda: not is_ready(up.get("node", lost["hostName"])), seconds=120)
        assert "NotReady" in up.make("status")
    well_again(up, fault, "`make status` names the node that is NotReady", slow)


def test_the_control_plane_is_cut_from_the_others(up: Up, slow: Slow):
    fault = Fault("the control plane cut from all others during an application, then healed")
    with unplugged(nodes(up)[0]):
        said = up.make("status", fails=True)
        assert "does not answer" in said
    well_again(up, fault, "`make status`: the cluster does not answer; what runs goes on", slow)


def test_the_shared_volume_is_full_in_the_middle_of_a_count(up: Up):
    """Here it has no end of its own: a small file system lies on a folder of it, on every node."""
    place, words = "/srv/shared/full", "/srv/shared/words"
    fault = Fault("the shared volume full in the middle of a count")
    make = (
        f"sudo mkdir -p -m 0777 {place} && sudo mount -t tmpfs -o size=1m,mode=0777 tmpfs {place}"
    )
    for node in nodes(up):
        assert up.ssh(node, make).returncode == 0
    try:
        assert up.ssh(nodes(up)[0], f"seq 400000 | sudo tee {words} >/dev/null").returncode == 0
        # Pods that were there before don't see what is mounted later.
        native = "OPTIONS=--master kubernetes --num-executors 1 --executor-memory 512m"
        app = "APP=spark_jobs/wordcount.py"
        count = ("submit", app, native, f"ARGS={words} {place}/out")
        assert "No space left on device" in up.make(*count, fails=True)
    finally:
        for node in nodes(up):
            assert up.ssh(node, f"sudo umount --lazy {place}").returncode == 0
    printed = up.make(*count)
    assert "400000" in printed
    up.ssh(nodes(up)[0], f"sudo rm -rf {place} {words}")
    well_again(up, fault, "`make submit`: No space left on device; the same call counts later")


def pressed(up: Up, node: Node) -> bool:
    """Whether the node says that its disk is full."""
    states = up.get("node", node["hostName"])["status"]["conditions"]
    return ("DiskPressure", "True") in [(one["type"], one["status"]) for one in states]


def evicted(up: Up, node: Node) -> list[str]:
    """The pods that had to leave it."""
    found = up.get("pods", "--all-namespaces")["items"]
    return [
        pod["metadata"]["name"]
        for pod in found
        if pod["spec"].get("nodeName") == node["hostName"]
        and pod["status"].get("reason") == "Evicted"
    ]


def test_a_workers_own_disk_is_full(up: Up, slow: Slow):
    """Here it is the host's: the kubelet's folder becomes a small file system for this time."""
    node, place = nodes(up)[-1], "/var/lib/kubelet"
    fault = Fault("a worker's own disk full during an application")
    smaller = (
        "systemctl stop kubelet; mkdir -p /run/small;"
        f" mount -t tmpfs -o size=1200m tmpfs /run/small; cp -ax {place}/. /run/small/;"
        f" mount --bind /run/small {place}; umount /run/small; systemctl start kubelet"
    )
    assert up.ssh(node, f"sudo bash -euc '{smaller}'").returncode == 0
    try:
        wait_for("the node", lambda: runs(up), seconds=120)
        assert up.ssh(node, f"sudo fallocate -l 300M {place}/full").returncode == 0
        wait_for("the kubelet to see it", lambda: pressed(up, node), seconds=120)
        assert f"{node['hostName']}: DiskPressure" in up.make("status")
        wait_for("its pods to go", lambda: evicted(up, node), seconds=120)
        assert up.ssh(node, f"sudo rm {place}/full").returncode == 0
        wait_for("the kubelet to see that", lambda: not pressed(up, node), seconds=420)
    finally:
        as_it_was = f"systemctl stop kubelet; umount --lazy {place}; systemctl start kubelet"
        assert up.ssh(node, f"sudo bash -euc '{as_it_was}'").returncode == 0
    person = "`make status`: DiskPressure; its pods go to other nodes until there is room again"
    well_again(up, fault, person, slow)
    up.kubectl("delete", "pods", "--all-namespaces", "--field-selector", "status.phase=Failed")


def tell(daemon: str, number: signal.Signals) -> None:
    """Sends a signal to a daemon of the local cloud's."""
    known = record.load()
    assert known is not None
    os.kill(known.alive[daemon].pid, number)


@contextlib.contextmanager
def frozen(daemon: str) -> Generator[None]:
    """A daemon of the local cloud takes connections and never answers, until `thaw` or the end."""
    tell(daemon, signal.SIGSTOP)
    try:
        yield
    finally:
        tell(daemon, signal.SIGCONT)


@contextlib.contextmanager
def during(up: Up, at: str) -> Generator[list[str]]:
    """An update goes on from where it prints `at`, and ends right. The list has what it printed."""
    where = ["--stack", up.stack.name, "--config-file", str(up.stack.config_file)]
    process = subprocess.Popen(
        ["pulumi", "--non-interactive", "up", "--yes", "--skip-preview", *where],
        cwd=ROOT,
        env=up.stack.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    printed: list[str] = []
    for line in process.stdout:
        printed.append(line)
        if at in line:
            break
    yield printed
    printed += process.stdout
    print("".join(printed))
    assert process.wait() == 0


def one_more(up: Up) -> str:
    """Another worker is in the settings; its name."""
    up.configure({"nodes": {"count": len(nodes(up)) + 1}})
    return f"worker-{len(nodes(up))}"


def test_a_mirror_that_is_slow(up: Up, settings_are_kept: None):
    name = one_more(up)
    fault = Fault("the mirror of packages and images slow: 15 s without an answer")
    with during(up, f"{name}-packages creating"), frozen("packages"), frozen("registry"):
        time.sleep(15)
    well_again(up, fault, "`make up` shows the step that it is at, and ends right")


def test_a_mirror_that_answers_errors(up: Up, settings_are_kept: None):
    one_more(up)
    fault = Fault("the mirror of packages answers errors")
    away = STATIC.with_name("away")
    STATIC.rename(away)
    STATIC.mkdir()
    try:
        said = up.pulumi("up", "--yes", "--skip-preview", fails=True)
        assert "404" in said
    finally:
        STATIC.rmdir()
        away.rename(STATIC)
    up.pulumi("up", "--yes", "--skip-preview")
    well_again(
        up, fault, "`make up` names the address and the error (404); the next one ends right"
    )


def test_a_step_that_hangs_ends_with_ctrl_c(up: Up, settings_are_kept: None):
    node, hangs = nodes(up)[0], "/usr/local/bin/systemctl"
    up.configure({"cluster": {"backupMinutes": 20}})
    fault = Fault("a program that hangs on a node, and Ctrl-C")
    script = "#!/bin/sh\nexec sleep 86399\n"
    put = f"printf '{script}' | sudo tee {hangs} >/dev/null && sudo chmod 755 {hangs}"
    assert up.ssh(node, put).returncode == 0
    try:
        up.interrupted("control-plane-keeper updating")
        wait_for("its end", lambda: "86399" not in on(up, node, "ps -e -o args"), seconds=30)
    finally:
        assert up.ssh(node, f"sudo rm {hangs}").returncode == 0
    up.pulumi("up", "--yes", "--skip-preview")
    well_again(
        up, fault, "`make up` shows the step; nothing of it is left; the next one ends right"
    )


def test_a_handshake_that_hangs(up: Up, settings_are_kept: None):
    up.configure({"cluster": {"backupMinutes": 25}})
    fault = Fault("SSH of the control plane takes connections and says nothing, for 30 s")
    (server,) = [
        pid
        for pid in cgroups.processes(nodes(up)[0]["instanceId"])
        if b"sshd: /usr/sbin/sshd" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(server, signal.SIGSTOP)
    try:
        with during(up, "control-plane-keeper updating"):
            time.sleep(30)
            os.kill(server, signal.SIGCONT)
    finally:
        os.kill(server, signal.SIGCONT)
    well_again(up, fault, "`make up` shows that it dials; it ends right")
