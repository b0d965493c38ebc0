"""bench/idle.py and bench/machines.py: whose a control group is, and what the page says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bench import idle, machines
from bench.__main__ import PAGE
from bench.idle import HOST, REST, Part, Use
from bench.machine import seconds
from bench.machines import Counted
from bench.page import put

UID = "0b7f6a0e-5d1c-4a53-9a55-0c1f5d3f8a11"
STATIC = "3f2c4b1a" * 4
PODS = {UID: ("spark", "spark-worker"), STATIC: ("kube-system", "etcd")}
MEBIBYTE = 2**20


def pod(name: str, owner: str = "", kind: str = "", **annotations: str) -> dict[str, Any]:
    owners = [{"kind": kind, "name": owner}] if owner else []
    metadata: dict[str, Any] = {"name": name, "uid": UID, "ownerReferences": owners}
    return {"metadata": metadata | ({"annotations": annotations} if annotations else {})}


def test_a_pod_is_named_by_what_made_it():
    static = pod("etcd-ip-10-42-0-5.internal", "ip-10-42-0-5.internal", "Node")
    static["metadata"]["annotations"] = {"kubernetes.io/config.hash": STATIC}
    assert idle.name_of(static) == (STATIC, "etcd")
    assert idle.name_of(pod("a-b-7c9d8f6b5-x2k4j", "a-b-7c9d8f6b5", "ReplicaSet")) == (UID, "a-b")
    assert idle.name_of(pod("flannel-x2k4j", "flannel", "DaemonSet")) == (UID, "flannel")
    assert idle.name_of(pod("alone")) == (UID, "alone")


def test_a_group_is_told_by_its_folder_with_either_driver():
    of_systemd = f"kubepods-burstable-pod{UID.replace('-', '_')}.slice"
    for folder in (f"pod{UID}", of_systemd):
        assert idle.part_of(folder, PODS) == ("spark", "spark-worker")
    assert idle.part_of(f"pod{STATIC}", PODS) == ("kube-system", "etcd")
    assert idle.part_of("containerd.service", PODS) == ("node", "containerd")
    for folder in (f"pod{UID[::-1]}", "ssh.service", "containerd", "kubepods", "burstable"):
        assert idle.part_of(folder, PODS) is None


def group(folder: Path, cpu: float, *pids: int) -> None:
    """A group's folder as the kernel has it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.stat").write_text(f"usage_usec {cpu * 1e6:.0f}\nuser_usec 1\n")
    (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))


def test_a_machines_parts_are_together_what_it_uses(tmp_path):
    for between in ("payload", "payload/system.slice", "payload/kubepods"):
        group(tmp_path / between, 0.0)
    group(tmp_path, 10.0, 1)
    group(tmp_path / "payload/system.slice/kubelet.service", 2.0, 2, 3)
    group(tmp_path / f"payload/kubepods/pod{UID}", 3.0)
    group(tmp_path / f"payload/kubepods/pod{UID}/1a2b", 3.0, 40)
    found = idle.of_machine("i-1", tmp_path, PODS, lambda pid: pid * MEBIBYTE)
    assert found == {
        Part("i-1", "node", "kubelet"): Use(2.0, 5 * MEBIBYTE),
        Part("i-1", "spark", "spark-worker"): Use(3.0, 40 * MEBIBYTE),
        Part("i-1", "node", REST): Use(5.0, MEBIBYTE),
    }


def test_a_process_counts_with_its_children_that_have_ended():
    fields = ["S", *("0" for _ in range(10)), "100", "50", "30", "20", "0"]
    stat = f"7 (a) b) {' '.join(fields)}"
    assert (seconds(stat, children=True), seconds(stat, children=False)) == (2.0, 1.5)


def test_what_processes_share_is_divided():
    assert 2**20 < idle.share(os.getpid()) < 2**30
    assert idle.share(2**22) == 0


def test_cores_are_of_the_time_between_and_what_came_meanwhile_counts():
    old, new = Part("i-1", "node", "kubelet"), Part("i-2", "node", "kubelet")
    after = {old: Use(16.0, MEBIBYTE), new: Use(3.0, MEBIBYTE)}
    found = idle.between({old: Use(10.0, 5)}, after, 60)
    assert found == {old: Use(0.1, MEBIBYTE), new: Use(0.05, MEBIBYTE)}
    host = {Part(HOST, "local cloud", "api"): Use(0.2, 2 * MEBIBYTE)}
    assert idle.by_machine(found | host) == {"i-1": found[old], "i-2": found[new]}
    rows = idle.table(found | host).splitlines()[2:]
    assert rows == [
        "| local cloud | api | 1 | 0.200 | 2 |",
        "| node | kubelet | 2 | 0.150 | 2 |",
        "| all machines |  | 2 | 0.150 | 2 |",
        "| all, and this host's processes for them |  | 1 | 0.350 | 4 |",
    ]


def test_one_more_is_told_beside_the_first_row():
    uses = [Use(0.1, 600 * MEBIBYTE), Use(0.02, 300 * MEBIBYTE), Use(0.04, 500 * MEBIBYTE)]
    few = Counted(2, 20.0, 3.5, uses, Use(0.01, 90 * MEBIBYTE))
    many = Counted(10, 25.0, 4.0, uses, Use(0.01, 90 * MEBIBYTE))
    row = machines.table([few, many]).splitlines()[-1]
    assert row == (
        "| 10 | 25 | 1.25 | 4.0 | 3 | 0.100, 600 | 0.030, 400 | 0.160, 1,400 | 0.010, 90 |"
    )


def test_the_page_has_a_place_for_both():
    for part in ("idle", "machines"):
        assert put(PAGE.read_text("utf-8"), f"bench: {part}", "NEW\n").count("NEW\n") == 1
