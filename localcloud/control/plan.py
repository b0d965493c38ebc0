"""What to do about the difference between what the API says and what runs: pure decisions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from localcloud.api.wanted import Instance
from localcloud.machines.seen import EXIT_REBOOT, Machine

#: A machine that died this often within a minute is not started again.
PATIENCE = 3


class Do(StrEnum):
    """What can be done to a machine."""

    CREATE = "create"  # and start
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    REMOVE = "remove"
    REPORT_STOPPED = "report stopped"  # tell the API that it stopped by itself


@dataclass(frozen=True)
class Action:
    """Something to do to one machine, and why (for the log)."""

    do: Do
    id: str
    why: str


def plan(
    wanted: Iterable[Instance],
    machines: Iterable[Machine],
    reboots: Mapping[str, int],
    busy: Collection[str] = (),
) -> list[Action]:
    """The actions that bring what runs to what is wanted, at most one for each machine.

    `reboots` counts the API's requests to reboot or stop by instance; machines in `busy` are
    being acted on.
    """
    by_id = {machine.id: machine for machine in machines}
    wanted = list(wanted)
    actions = [
        Action(Do.REMOVE, id, "its instance is terminated")
        for id in sorted(set(by_id) - {instance.id for instance in wanted})
    ]
    for instance in wanted:
        action = _for_instance(instance, by_id.get(instance.id), reboots.get(instance.id, 0))
        if action is not None:
            actions.append(action)
    return [action for action in actions if action.id not in busy]


def address_conflicts(wanted: Iterable[Instance]) -> dict[str, str]:
    """Instances that cannot get a machine: their id, and the older instance with their address.

    Two VPCs may have the same range, but there is one bridge for all.
    """
    holders: dict[str, str] = {}
    conflicts = {}
    for instance in wanted:
        holder = holders.setdefault(instance.address, instance.id)
        if holder != instance.id:
            conflicts[instance.id] = holder
    return conflicts


def _for_instance(instance: Instance, machine: Machine | None, reboots: int) -> Action | None:
    if not instance.runs:
        if machine is not None and machine.alive:
            return Action(Do.STOP, instance.id, f"its instance is {instance.state}")
        return None
    if machine is None or not machine.complete:
        return Action(Do.CREATE, instance.id, f"its instance is {instance.state}")
    if machine.alive:
        if reboots > machine.reboots:
            return Action(Do.REBOOT, instance.id, "the API asked for it, or stopped and started it")
        return None
    if machine.stopped:
        return Action(Do.START, instance.id, "its instance was started")
    if machine.exit_code == 0:
        return Action(Do.REPORT_STOPPED, instance.id, "it was powered off from inside")
    if machine.recent_deaths >= PATIENCE:
        return Action(Do.REPORT_STOPPED, instance.id, "it keeps dying")
    why = "it rebooted" if machine.exit_code == EXIT_REBOOT else "it died"
    return Action(Do.START, instance.id, why)
