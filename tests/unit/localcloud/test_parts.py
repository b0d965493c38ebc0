"""The local cloud's pure parts: seeds, names, cgroup mounts, checks, addresses, status, records."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from localcloud import checks, status
from localcloud.daemons import names, processes, record, sweep
from localcloud.daemons.processes import Process
from localcloud.daemons.record import Record, Setting
from localcloud.errors import CloudError
from localcloud.host import cgroups
from localcloud.machines import seed
from tests.unit.localcloud.node import NODE


def files(**arguments) -> dict[str, seed.File]:
    made = seed.files(NODE, arguments.get("key"), arguments.get("user_data", b""))
    return {file.path: file for file in made}


def test_the_seed_is_yaml_with_id_name_and_key() -> None:
    meta = yaml.safe_load(files(key="ssh-ed25519 AAAA me\n")[f"{seed.SEED}/meta-data"].content)
    assert meta == {
        "instance-id": NODE.id,
        "local-hostname": NODE.dns_name,
        "public-keys": ["ssh-ed25519 AAAA me"],
    }


def test_an_instance_without_a_key_gets_none() -> None:
    assert json.loads(files()[f"{seed.SEED}/meta-data"].content)["public-keys"] == []


def test_user_data_is_given_byte_for_byte_and_closed_to_others() -> None:
    given = b"\x1f\x8b\x00\xff#!/bin/sh\n"
    file = files(user_data=given)[f"{seed.SEED}/user-data"]
    assert (file.content, file.mode) == (given, 0o600)


def test_machines_have_identities_of_their_own() -> None:
    first = files()["etc/machine-id"].content
    other = seed.files(replace(NODE, id="i-00000000000000006"), None, b"")
    assert len(first.strip()) == 32
    assert first not in [file.content for file in other]


def test_a_machine_has_its_types_memory_and_not_the_hosts() -> None:
    lines = seed.meminfo(4 * 2**30).decode().splitlines()
    assert re.fullmatch(r"MemTotal:\s+4194304 kB", lines[0])
    assert f"mount --bind /{seed.MEMORY} /proc/meminfo" in files()[seed.UNIT].content.decode()


def test_the_resolver_is_the_vpcs() -> None:
    assert seed.resolv_conf(NODE).splitlines()[0] == "nameserver 10.42.0.2"


def test_the_resolver_listens_where_it_can_from_its_start() -> None:
    command = names.command()
    assert {"--listen-address=10.43.0.1", "--bind-interfaces"} <= set(command)
    assert not [word for word in command if word.startswith(("--interface", "--bind-dynamic"))]


def test_a_machine_knows_its_own_name_without_a_resolver() -> None:
    known = files()["etc/hosts"].content.decode().splitlines()
    assert known == [
        "127.0.0.1 localhost",
        "127.0.1.1 ip-10-42-0-5.eu-central-1.compute.internal ip-10-42-0-5",
    ]


def test_the_resolvers_names_are_written_only_when_they_change(tmp_path: Path) -> None:
    text = names.hosts([NODE])
    assert text == "10.42.0.5 ip-10-42-0-5.eu-central-1.compute.internal\n"
    assert names.write_hosts(text, tmp_path / "hosts")
    assert not names.write_hosts(text, tmp_path / "hosts")


V1 = """\
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /elsewhere/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""


def test_each_cgroup_tree_is_found_once() -> None:
    found = cgroups.parse_mounts("proc /proc proc rw 0 0\n" + V1)
    assert [(tree.mount.name, tree.version) for tree in found] == [
        ("cpu,cpuacct", 1),
        ("memory", 1),
        ("systemd", 1),
        ("unified", 2),
    ]


def test_a_v2_host_has_one_cgroup_tree() -> None:
    found = cgroups.parse_mounts("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n")
    assert found == [cgroups.Hierarchy(Path("/sys/fs/cgroup"), frozenset(), 2)]


V2 = cgroups.parse_mounts("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n")


def test_where_systemd_rules_cgroup_v2_it_is_asked_for_our_place() -> None:
    asked = [cgroups.root(tree, V2, systemd=True) for tree in V2]
    assert asked == [Path("/sys/fs/cgroup/system.slice/tinderbox.scope")]
    assert cgroups.root(V2[0], V2, systemd=False) == Path("/sys/fs/cgroup/tinderbox")
    hybrid = cgroups.parse_mounts(V1)
    for systemd in (True, False):
        assert {cgroups.root(tree, hybrid, systemd).name for tree in hybrid} == {"tinderbox"}


def test_the_launcher_is_in_a_leaf_of_cgroup_v2_and_in_the_group_itself_of_v1(
    tmp_path: Path,
) -> None:
    v1, v2 = tmp_path / "v1", tmp_path / "v2"
    for folder in (v1, v2):
        folder.mkdir()
    (v2 / "cgroup.subtree_control").touch()
    assert cgroups.leaves([v1, v2]) == [v1, v2 / "launcher"]
    assert (v2 / "launcher").is_dir()


def test_a_process_joins_each_group_and_keeps_its_id(tmp_path: Path) -> None:
    groups = [tmp_path / "a b", tmp_path / "c"]
    for group in groups:
        group.mkdir()
    command = cgroups.joining(groups, ["sh", "-c", 'echo "$$ $1"', "sh", "x y"])
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said, _ = child.communicate()
    assert said == f"{child.pid} x y\n"
    assert [(group / "cgroup.procs").read_text() for group in groups] == [f"{child.pid}\n"] * 2


def test_a_group_with_processes_gives_no_controllers_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu hugetlb memory\n")
    control = tmp_path / "cgroup.subtree_control"
    cgroups.enable_below(tmp_path)
    assert control.read_text() == "+cpu +memory"
    control.unlink()
    control.mkdir()  # a write that fails
    with pytest.raises(CloudError, match=f"below {tmp_path} get no controllers"):
        cgroups.enable_below(tmp_path)


def test_missing_capabilities_are_named() -> None:
    assert checks.missing_capabilities("CapEff:\t000001fffeffffff\n") == []
    assert checks.missing_capabilities("CapEff:\t00000000a80425fb\n") == [
        "CAP_NET_ADMIN",
        "CAP_SYS_ADMIN",
    ]


def test_only_mounts_of_ours_are_swept() -> None:
    text = "\n".join(
        f"x {place} ext4 rw 0 0"
        for place in (
            "/",
            "/var/lib/tinderbox",
            "/var/lib/tinderbox-other",
            "/var/lib/tinderbox/efs/x",
            "/run/netns",
            "/run/netns/tbx-i-1",
            "/run/netns/other",
        )
    )
    assert sweep.mounts(text) == [
        "/var/lib/tinderbox",
        "/var/lib/tinderbox/efs/x",
        "/run/netns/tbx-i-1",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.4, "0 s"),
        (59.9, "59 s"),
        (420, "7 min"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations_for_people(seconds: float | None, text: str) -> None:
    assert status.duration(seconds) == text


@pytest.mark.parametrize(
    ("bytes_", "text"), [(None, "-"), (2**20 * 81, "81 MiB"), (2**30 * 4, "4.0 GiB")]
)
def test_sizes_for_people(bytes_: int | None, text: str) -> None:
    assert status.size(bytes_) == text


def test_the_status_table() -> None:
    one = {
        "id": NODE.id,
        "name": "node-0",
        "state": "running",
        "private": "10.42.0.5",
        "public": None,
        "machine": "ready",
        "uptime": 61.0,
        "memory": 2**20 * 81,
        "memoryLimit": 2**32,
    }
    state = {
        "running": True,
        "checkout": "/c",
        "endpoint": "http://e",
        "region": "r",
        "daemons": {"api": 1, "reconciler": None},
        "instances": [one],
    }
    assert status.table(state).splitlines() == [
        "local cloud of /c, http://e, region r",
        "not running: reconciler; `python -m localcloud up` starts them again",
        "INSTANCE             NAME    STATE    PRIVATE    PUBLIC  MACHINE  UPTIME  MEMORY",
        "i-00000000000000005  node-0  running  10.42.0.5  -       ready    1 min   "
        "81 MiB of 4.0 GiB",
    ]


def test_a_process_is_known_by_its_start_as_well() -> None:
    me = processes.identify(os.getpid())
    assert me is not None and me.alive
    assert not Process(me.pid, me.start - 1).alive
    processes.end(Process(me.pid, me.start - 1))  # not ours: must not be touched


def test_an_ended_process_that_nobody_reaped_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = processes.identify(child.pid)
    assert process is not None and process.alive
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive
    child.communicate()


def test_the_record_survives_writing_and_a_damaged_one_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "RECORD", tmp_path / "cloud.json")
    assert record.load() is None
    known = Record("1", "/c", 1.5, "boot", [Setting("/p", "1", "2")], {"api": Process(1, 2)})
    record.save(known)
    assert record.load() == known
    (tmp_path / "cloud.json").write_text('{"id": "1"')
    assert record.load() is None


def test_no_process_of_another_boot_is_taken_for_ours() -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    assert Record("1", "/c", 0, record.boot_id(), processes={"api": me}).alive == {"api": me}
    assert Record("1", "/c", 0, "another", processes={"api": me}).alive == {}
