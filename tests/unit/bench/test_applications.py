"""bench/applications.py: who is accounted for, how many at once, what the page says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cluster_driver
import pytest
from kubernetes import client

from bench import applications
from bench.__main__ import PAGE
from bench.applications import Measured, Ran
from bench.page import put
from console import run
from console.stack import Stack
from submission.place import KUBERNETES, STANDALONE
from submission.resolve import resolve
from tests.place import PLACE
from tests.unit.kube_server import Kube, serving
from tests.unit.submission.test_growth import node, pod

RIGHT = Ran(1.0, 5.0, 0, is_right=True, why="")


def measured(*ran: Ran, used: int = 2, left: int = 0) -> Measured:
    return Measured(KUBERNETES, 2, list(ran), 30.0, 2, used, left, 0.5)


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
    assert not measured(RIGHT, RIGHT, left=1).is_whole


def test_the_page_has_a_row_for_each_master():
    found = measured(
        RIGHT, Ran(2.0, 7.0, 0, is_right=True, why=""), Ran(None, 9.0, None, False, "")
    )
    (_, _, row) = applications.table([found]).splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("kubernetes", "3", "2", "2", "4.0", "2.0", "1.0, 2.0", "7.0, 9.0", "2", "0", "0.50")
    ]
    assert put(PAGE.read_text("utf-8"), "bench: applications", "NEW\n").count("NEW\n") == 1


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


@pytest.mark.parametrize(
    ("text", "code", "right"), [(b"Pi is roughly 3.14\n", 0, 1), (b"no\n", 0, 0), (b"", 3, 0)]
)
def test_one_that_runs_is_noted_and_not_shown(kube, url, monkeypatch, capfd, text, code, right):
    api = client.ApiClient(client.Configuration(host=url))
    monkeypatch.setattr(run, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(cluster_driver, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(applications, "connect", lambda stack, namespace: (api, PLACE))
    monkeypatch.setattr(applications, "room", lambda *_: 9)
    monkeypatch.setattr(applications, "on_volume", lambda *_, **__: "")
    kube.kubelet.entries = [(0, text)]
    kube.end(code, "it failed")
    found = applications.measure(Stack("local", env={"PATH": "/"}), KUBERNETES, 1, 50)
    (one,) = found.ran
    assert (found.right, found.left, one.code, found.at_once) == (right, 0, code, 9)
    assert one.started is not None and one.started <= one.ended
    assert kube.deleted and not kube.jobs
    assert not capfd.readouterr().out
