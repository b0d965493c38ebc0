"""bench/applications.py: who is accounted for, how many at once, what the page says."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import cluster_driver
import pytest
from kubernetes import client

from bench import applications
from bench.__main__ import PAGE
from bench.applications import Measured, Ran
from bench.machine import busy
from bench.page import put
from console import run
from console.stack import Stack
from submission.place import KUBERNETES, STANDALONE
from submission.resolve import resolve
from tests.place import PLACE
from tests.unit.kube_server import Kube, serving
from tests.unit.submission.test_growth import node, pod
from toolchain import paths

RIGHT = Ran(1.0, 5.0, 0, is_right=True, why="")


CUT = Ran(None, 9.0, None, is_right=False, why="", is_cut=True)


def measured(*ran: Ran, used: int = 2, left: list[str] | None = None, room: int = 3) -> Measured:
    return Measured(
        *(KUBERNETES, 4, 10, room, list(ran), 30.0, 2), used, left or [], cpu=0.5, machine=7.0
    )


def test_every_one_is_accounted_for_or_it_fails():
    assert measured(RIGHT, RIGHT).is_whole
    wrong = (
        Ran(1.0, 5.0, 1, True, ""),
        Ran(1.0, 5.0, 0, False, ""),
        Ran(None, 9.0, None, False, ""),
    )
    for one in wrong:
        assert not measured(RIGHT, one).is_whole
    assert not measured(RIGHT, RIGHT, used=1).is_whole
    assert not measured(RIGHT, RIGHT, left=["pod/a"]).is_whole
    # What the end of the time cut short is counted, and nobody's failure.
    assert measured(RIGHT, CUT, used=1).is_whole and measured(RIGHT, CUT).cut == 1
    assert measured(CUT, used=0).a_minute == 0.0


def test_the_page_has_a_row_for_each_number_at_once():
    found = measured(RIGHT, Ran(2.0, 7.0, 0, is_right=True, why=""), CUT)
    (_, _, row) = applications.table([found]).splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("kubernetes", "10", "3", "3 of 4", "2", "1", "4.0", "2.0"),
        *("1.0, 2.0", "5.0, 7.0", "2", "0", "0.50", "7"),
    ]
    assert put(PAGE.read_text("utf-8"), "bench: applications", "NEW\n").count("NEW\n") == 1


def test_what_is_wrong_with_one_is_said(monkeypatch, capfd):
    ran = [dataclasses.replace(RIGHT, usage=said) for said in ("usage: {}", "usage: not known: a")]
    ran += [Ran(None, 9.0, 3, False, "b"), dataclasses.replace(CUT, why="c")]
    found = measured(*ran, left=["pod/d"])
    monkeypatch.setattr(applications, "measure", lambda *_: found)
    applications.of_both(Stack("local", env={"PATH": "/"}), 4, [10], 60)
    said = capfd.readouterr().err.splitlines()
    wrong = ["usage: not known: a", "code 3, b", "left over: pod/d"]
    assert [one for one in said if any(mark in one for mark in ("usage", "code", "left"))] == [
        f"bench: {master}: {one}" for master in (KUBERNETES, STANDALONE) for one in wrong
    ]


def test_what_has_no_room_natively_is_no_row_of_its_own(monkeypatch):
    asked: list[tuple[str, int, int]] = []

    def measure(stack: Stack, master: str, count: int, at_once: int, limit: float) -> Measured:
        asked.append((master, count, at_once))
        return dataclasses.replace(measured(RIGHT), master=master, at_once=at_once)

    monkeypatch.setattr(applications, "measure", measure)
    found = applications.of_both(Stack("local", env={"PATH": "/"}), 20, [1, 10, 50], 60)
    assert len(found) == len(asked)
    assert asked == [
        *((KUBERNETES, 20, 1), (KUBERNETES, 20, 10)),
        *((STANDALONE, 20, 1), (STANDALONE, 20, 10), (STANDALONE, 50, 50)),
    ]


def test_the_machines_cpu_is_that_of_all_and_without_its_rest(tmp_path):
    (tmp_path / "stat").write_text("cpu  100 20 30 9000 800 4 3 2 50 7\ncpu0 1 1 1 1\n")
    assert busy(tmp_path / "stat") == 159 / os.sysconf("SC_CLK_TCK")


def test_it_needs_no_more_than_python_finds_by_itself():
    """pytest's own path has more."""
    subprocess.run(
        [sys.executable, "-c", "import bench.applications"], cwd=paths.CHECKOUT, check=True
    )


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1, 100), (0.001, 1)])
def test_the_share_that_is_not_exceeded(share, value):
    assert applications.at(share, list(range(100, 0, -1))) == value


def test_so_many_at_once_as_have_room(monkeypatch: pytest.MonkeyPatch):
    lists: dict[str, list[Any]] = {
        "list_node": [node("one"), node("two")],
        "list_pod_for_all_namespaces": [pod("one", "3950m")],
    }
    monkeypatch.setattr(applications, "listed", lambda api, call: lists[call])
    api: Any = None

    def room(master: str) -> int:
        return applications.room(api, resolve(applications.application("a", master), PLACE), PLACE)

    # 4000 MiB hold two of 512 for the driver and 928 for the executor.
    assert room(KUBERNETES) == 2
    # Drivers of 512 MiB, of which each worker's 1024 MiB take two executors.
    assert room(STANDALONE) == 7
    lists["list_node"] *= 9
    assert room(STANDALONE) == 8


@pytest.fixture
def kube() -> Kube:
    return Kube()


@pytest.fixture
def url(kube: Kube) -> Iterator[str]:
    with serving(kube) as found:
        yield found


@pytest.fixture
def bench(url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Measured]:
    """measure(), with the API that the tests have."""
    api = client.ApiClient(client.Configuration(host=url))
    monkeypatch.setattr(run, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(cluster_driver, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(applications, "connect", lambda stack, namespace: (api, PLACE))
    monkeypatch.setattr(applications, "room", lambda *_: 1)
    monkeypatch.setattr(applications, "on_volume", lambda *_, **__: "")
    monkeypatch.setattr(applications, "_TOLD_EVERY", 0.2)
    local = Stack("local", env={"PATH": "/"})
    return lambda count, limit: applications.measure(local, KUBERNETES, count, 50, limit)


@pytest.mark.parametrize(
    ("text", "code", "right"), [(b"Pi is roughly 3.14\n", 0, 1), (b"no\n", 0, 0), (b"", 3, 0)]
)
def test_one_that_runs_is_noted_and_not_shown(bench, kube, capfd, text, code, right):
    kube.kubelet.entries = [(0, text), (1, b"usage: not known: why\n")]
    kube.end(code, "it failed")
    found = bench(1, 60)
    (one,) = found.ran
    assert one.usage == "usage: not known: why"
    assert (found.right, found.cut, found.left, one.code) == (right, 0, [], code)
    assert (found.at_once, found.room) == (50, 1)
    assert one.started is not None and one.started <= one.ended
    assert kube.deleted and not kube.jobs
    assert not capfd.readouterr().out


def test_what_does_not_end_in_time_is_taken_away_and_counted(bench, kube, capfd, monkeypatch):
    """The first hangs, natively one has room, so the second is never begun."""
    monkeypatch.setattr(applications, "_ENDS_WITHIN", 0.5)
    kube.replies = [{"follows": True}] * 9
    found = bench(2, 1)
    (one,) = found.ran
    assert (one.is_cut, found.right, found.cut, found.asked, found.left) == (True, 0, 1, 2, [])
    assert not kube.jobs
    assert "0 of 2 ended, 0 right, 1 under way" in capfd.readouterr().err


def test_what_is_left_over_is_what_was_not_there_before(kube, url, monkeypatch):
    monkeypatch.setattr(applications, "_GONE_WITHIN", 0.0)
    api = client.ApiClient(client.Configuration(host=url))
    kube.jobs = ["one"]
    assert applications.there(api, "apps") == {"pod/pod", "job/one"}
    assert applications.left_over(api, "apps", {"pod/pod"}) == ["job/one"]
