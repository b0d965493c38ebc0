"""The reconciler's decisions, each as a pair of what is wanted and what runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localcloud.control.plan import PATIENCE, Action, Do, address_conflicts, plan
from localcloud.machines.seen import EXIT_REBOOT, Machine
from tests.unit.localcloud.node import NODE

ID = NODE.id
RUNS = Machine(ID, alive=True)
STOPPED = replace(NODE, state="stopped")


def decisions(*args, **kwargs) -> list[tuple[Do, str]]:
    return [(action.do, action.id) for action in plan(*args, **kwargs)]


def test_nothing_to_do_where_all_is_as_wanted() -> None:
    assert plan([NODE], [RUNS], {}) == []
    assert plan([STOPPED], [Machine(ID, alive=False, stopped=True)], {}) == []
    assert plan([STOPPED], [], {}) == []
    assert plan([], [], {}) == []


@pytest.mark.parametrize("state", ["pending", "running"])
def test_an_instance_without_a_machine_gets_one(state: str) -> None:
    assert decisions([replace(NODE, state=state)], [], {}) == [(Do.CREATE, ID)]


@pytest.mark.parametrize("alive", [True, False])
def test_a_machine_without_an_instance_goes(alive: bool) -> None:
    assert decisions([], [Machine(ID, alive=alive)], {}) == [(Do.REMOVE, ID)]


@pytest.mark.parametrize("alive", [True, False])
def test_a_machine_that_was_half_made_is_made_anew(alive: bool) -> None:
    assert decisions([NODE], [Machine(ID, alive=alive, complete=False)], {}) == [(Do.CREATE, ID)]


@pytest.mark.parametrize("state", ["stopping", "stopped"])
def test_a_stopped_instances_machine_is_stopped(state: str) -> None:
    assert decisions([replace(NODE, state=state)], [RUNS], {}) == [(Do.STOP, ID)]


def test_a_started_instances_machine_is_started_whatever_its_last_end() -> None:
    machine = Machine(ID, alive=False, exit_code=0, stopped=True, recent_deaths=PATIENCE)
    assert decisions([NODE], [machine], {}) == [(Do.START, ID)]


def test_each_reboot_of_the_api_is_done_once() -> None:
    assert decisions([NODE], [RUNS], {ID: 1}) == [(Do.REBOOT, ID)]
    assert plan([NODE], [replace(RUNS, reboots=1)], {ID: 1}) == []


@pytest.mark.parametrize("code", [None, EXIT_REBOOT, 1, 137])
def test_a_machine_that_died_or_rebooted_is_started_again(code: int | None) -> None:
    assert decisions([NODE], [Machine(ID, alive=False, exit_code=code)], {}) == [(Do.START, ID)]


def test_a_machine_that_was_powered_off_from_inside_shows_as_stopped() -> None:
    machine = Machine(ID, alive=False, exit_code=0)
    assert decisions([NODE], [machine], {}) == [(Do.REPORT_STOPPED, ID)]


def test_a_machine_that_keeps_dying_is_given_up() -> None:
    machine = Machine(ID, alive=False, recent_deaths=PATIENCE)
    (action,) = plan([NODE], [machine], {})
    assert action == Action(Do.REPORT_STOPPED, ID, "it keeps dying")


def test_machines_that_are_acted_on_are_left_alone() -> None:
    other = replace(NODE, id="i-00000000000000006", address="10.42.0.6")
    assert decisions([NODE, other], [], {}, busy={ID}) == [(Do.CREATE, other.id)]
    assert plan([], [RUNS], {}, busy={ID}) == []


def test_of_two_instances_with_one_address_the_older_has_it() -> None:
    twin = replace(NODE, id="i-00000000000000006", vpc="vpc-2")
    assert address_conflicts([NODE, twin]) == {twin.id: NODE.id}
    assert address_conflicts([NODE]) == {}
