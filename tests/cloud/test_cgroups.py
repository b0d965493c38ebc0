"""The kernel's rule of cgroup v2, on a real mount of it: who is where, and who gets what."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.errors import CloudError
from localcloud.host import cgroups


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A group of cgroup v2, whichever controllers this host offers there."""
    tree = next(one for one in cgroups.hierarchies() if one.version == 2)
    offered = (tree.mount / "cgroup.controllers").read_text().split()
    assert offered, "cgroup v1 has every controller of this host"
    monkeypatch.setattr(cgroups, "V2_CONTROLLERS", tuple(offered))
    cgroups.create("kernels-rule")
    yield next(place for one, place in cgroups.roots() if one == tree) / "kernels-rule"
    cgroups.remove("")


def test_a_container_whose_group_is_all_that_it_sees_has_room_made_and_given_back(
    group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = cgroups.Hierarchy(group, frozenset(), 2)
    with subprocess.Popen(cgroups.joining([group], ["sleep", "infinity"])) as container:
        assert cgroups.wait_until(lambda: container.pid in cgroups.processes(group.name), 10)
        with monkeypatch.context() as inside:
            inside.setattr(cgroups, "hierarchies", lambda: [seen])
            inside.setattr(cgroups, "has_systemd", lambda: False)
            (machine,) = cgroups.create("i-1")
            assert controllers(machine) == controllers(group) != set()
            assert cgroups.processes() == set()
            cgroups.remove("")
        assert sorted(place.name for place in group.iterdir() if place.is_dir()) == []
        assert (group / "cgroup.procs").read_text().split() == [str(container.pid)]
        cgroups.kill(group.name)


def controllers(group: Path) -> set[str]:
    return set((group / "cgroup.controllers").read_text().split())


def test_a_machine_gets_its_groups_controllers_where_the_launcher_is_in_a_leaf(group: Path) -> None:
    payload = group / "payload"
    payload.mkdir()
    kept = ["sleep", "infinity"]
    with subprocess.Popen(cgroups.joining(cgroups.leaves([group]), kept)) as launcher:
        assert cgroups.wait_until(lambda: launcher.pid in cgroups.processes(group.name), 10)
        cgroups.enable_below(group)
        assert controllers(payload) == controllers(group) != set()
        cgroups.kill(group.name)


def test_without_a_leaf_it_gets_none(group: Path) -> None:
    with subprocess.Popen(cgroups.joining([group], ["sleep", "infinity"])) as launcher:
        assert cgroups.wait_until(lambda: launcher.pid in cgroups.processes(group.name), 10)
        with pytest.raises(CloudError, match="processes are in that group itself"):
            cgroups.enable_below(group)
        cgroups.kill(group.name)
