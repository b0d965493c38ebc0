"""The reconciler's rounds: when the API is asked, and what is done without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from localcloud.api import wanted
from localcloud.control import reconcile
from localcloud.control.plan import Action, Do
from localcloud.control.reconcile import Reconciler
from localcloud.daemons import names
from localcloud.host import network
from localcloud.machines import machine
from localcloud.machines.seen import Machine
from tests.unit.localcloud.node import NODE


class Host:
    """What the reconciler reads and does. asked: how often the API was."""

    def __init__(self) -> None:
        self.asked, self.answers, self.alive = 0, True, True
        self.done: list[Do] = []

    def read(self, *_: Any) -> tuple[tuple[wanted.Instance, ...], tuple[()]]:
        self.asked += 1
        if not self.answers:
            raise ConnectionError
        return (NODE,), ()


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def rounds(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Callable[[bool], None]:
    """Makes a round, and waits for what it does."""

    def nothing(*_: object) -> set[str]:
        return set()

    for place, name, ours in (
        (reconcile, "aws_client", nothing),
        (wanted, "read", host.read),
        (machine, "observe", lambda: [Machine(NODE.id, host.alive)]),
        (network, "set_router_addresses", nothing),
        (network, "apply_host_rules", nothing),
        (network, "apply_machine_rules", nothing),
        (network, "plugged_in", nothing),
        (names, "write_hosts", nothing),
    ):
        monkeypatch.setattr(place, name, ours)
    monkeypatch.setattr(reconcile, "WORKERS", 1)  # one after the other
    made = Reconciler("cloud", tmp_path)

    def do(action: Action, *_: object) -> None:
        host.done.append(action.do)
        host.alive = True

    monkeypatch.setattr(made, "_do", do)

    def round_(anew: bool) -> None:
        made.round(anew)
        made._pool.submit(lambda: None).result()

    return round_


def test_the_api_is_asked_when_it_has_news_and_not_at_each_look(host, rounds):
    rounds(False)  # nothing is known yet
    for _ in range(5):
        rounds(False)
    assert host.asked == 1
    rounds(True)
    assert (host.asked, host.done) == (2, [])


def test_a_machine_that_died_is_started_without_news(host, rounds):
    rounds(True)
    host.alive = False
    rounds(False)
    assert (host.asked, host.done) == (1, [Do.START])


def test_nothing_is_done_by_what_an_api_said_that_is_gone(host, rounds):
    rounds(True)
    host.answers, host.alive = False, False
    for anew in (True, False):
        with pytest.raises(ConnectionError):
            rounds(anew)
    assert host.done == []
    host.answers = True
    rounds(False)
    assert host.done == [Do.START]
