"""A stack that has more nodes for as long as one application runs.

The settings stay as they are: an update has a copy of them with another count, and any later update
brings back what they say. What was is kept in the stack's folder until it is so again. Who grows it
holds a lock there, which the kernel takes from a process that is killed: what is left then is put
right by the next `make up` or `make submit`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from console.bill import price_of
from console.stack import PROJECT, ConsoleError, Stack, read_settings
from submission.errors import ApplicationError
from submission.growth import Room, further
from submission.nodes import CAPACITY, SPOT
from submission.resolve import Resolved
from toolchain import paths, terminal

_TYPE, _REGION = "node.kubernetes.io/instance-type", "topology.kubernetes.io/region"
_BEFORE, _GROWN = "before.yaml", "grown.yaml"


@dataclass(frozen=True)
class Growth:
    """What is to be grown. key: nodes, or workers.NAME. count: of its nodes; more: so many more.

    note: on what this is reckoned, for people.
    """

    key: str
    count: int
    more: int
    note: str


def plan(resolved: Resolved, rooms: Sequence[Room], settings: Mapping[str, Any]) -> Growth | None:
    """What brings room for all executors, or for as many as may be; None where there is enough.

    settings: as nodes.settings has them. Raises ConsoleError where nothing may grow, or no node of
    what may holds an executor.
    """
    executor = resolved.executor_pod
    if executor is None:
        raise ConsoleError(
            "--grow is for executors that are pods (--master kubernetes): on the stack's workers"
            " they take what these have"
        )
    what = f"{resolved.executors} executors of {executor.amount}"
    tight: list[str] = []
    for key, group in _that_may_grow(settings).items():
        of_it = [room for room in rooms if _key(room) == key]
        if not of_it:
            tight.append(f"{key}: the application comes to none of its nodes")
            continue
        most = group.grow_to - group.count
        try:
            found = further(resolved, [room.free for room in rooms], of_it[0].fresh, most)
        except ApplicationError as error:
            tight.append(f"{key}.growTo is {group.grow_to}: {error}")
            continue
        if found.nodes == 0 and found.held >= found.wanted:
            return None
        cost = _cost(of_it[0], settings, key, found.nodes)
        note = f"{what} need {found.nodes} more of {key}: {cost}"
        if found.held < found.wanted:
            note = (
                f"{what} need more than {group.grow_to}, which is {key}.growTo: with"
                f" {found.nodes} more, {found.held} run at once: {cost}"
            )
        return Growth(key, group.count, found.nodes, note)
    raise ConsoleError(f"--grow: {what} get no room: {'; '.join(tight)}")


def _that_may_grow(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of what has a limit to grow to, by its key, `nodes` first."""
    # With them comes Pulumi.
    from pydantic import ValidationError

    from components.settings.groups import Groups
    from components.settings.node_plan import node_plans, taking

    try:
        known = Groups.model_validate({name: settings[name] for name in ("nodes", "workers")})
    except ValidationError:
        raise ConsoleError("nodes or workers are not set right: `make preview` says how") from None
    all_ = {"nodes": known.nodes, **{f"workers.{name}": of for name, of in known.workers.items()}}
    found = {key: of for key, of in all_.items() if of.grow_to is not None}
    if not found:
        raise ConsoleError(
            "--grow: nodes.growTo is not set, so no node may come: pulumi config set --path"
            " nodes.growTo N says how many there may be (of a group, workers.NAME.growTo)"
        )
    plans = node_plans(known)
    if all(plan.is_control_plane for plan in taking(plans)):
        raise ConsoleError(
            f"--grow: nodes.count is {known.nodes.count}, and a further node would take the work"
            f" from the control plane: it must be {known.nodes.control_planes + 1} or more"
        )
    return found


def _key(room: Room) -> str | None:
    if room.group:
        return f"workers.{room.group}"
    return "nodes" if room.is_worker else None


def _cost(room: Room, settings: Mapping[str, Any], key: str, more: int) -> str:
    """What an hour of so many more costs, by the labels of one that there is."""
    labels = room.free.labels
    type_, region = (labels.get(name, "") for name in (_TYPE, _REGION))
    role = room.group or "worker"
    usd, bound = price_of(settings, (region, type_, labels.get(CAPACITY) == SPOT, role))
    if usd is None:
        return f"{type_}, at a price that is not known ({key}.price)"
    return f"{type_}, {'at most ' if bound else ''}{usd * more:.4f} USD an hour"


@contextlib.contextmanager
def _lock(folder: Path) -> Generator[bool]:
    """Whether it is ours as long as this lasts; False where another process has it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)


@contextlib.contextmanager
def grown(stack: Stack, growth: Growth, *, yes: bool) -> Generator[None]:
    """The stack has more nodes as long as this lasts, however it ends, and then what it had.

    yes: nobody is asked. Raises ConsoleError where another process grows it, or an update fails.
    """
    stack.require_own()
    if not (yes or stack.is_local or (sys.stdin and sys.stdin.isatty())):
        raise ConsoleError("nobody is here to be asked whether the stack is to grow: --yes does it")
    folder = stack.mark("grown")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock(folder) as is_ours:
        if not is_ours:
            raise ConsoleError(f"stack {stack.name} is grown already, for another `make submit`")
        written = read_settings(stack.config_file)
        paths.replace(folder / _GROWN, yaml.safe_dump(_with_count(written, growth)))
        paths.replace(folder / _BEFORE, yaml.safe_dump(written))
        try:
            say(f"{growth.key}.count goes from {growth.count} to {growth.count + growth.more}")
            _update(stack, folder / _GROWN, agreed=yes)
            yield
        finally:
            say(f"{growth.key}.count goes back to {growth.count}")
            _bring_back(stack, folder, agreed=True)


def _with_count(written: Mapping[str, Any], growth: Growth) -> dict[str, Any]:
    """A configuration file's content with the count that is grown to."""
    group, _, name = growth.key.partition(".")
    config = dict(written["config"])
    own = dict(config.get(f"{PROJECT}:{group}") or {})
    if "secure" in own:
        raise ConsoleError(f"{PROJECT}:{group} is encrypted as a whole, so it can't be grown")
    count = growth.count + growth.more
    if name:
        own[name] = {**(own.get(name) or {}), "count": count}
    else:
        own["count"] = count
    return {**written, "config": {**config, f"{PROJECT}:{group}": own}}


def _update(stack: Stack, config: Path, *, agreed: bool) -> None:
    """All of it on stderr: what the application prints is all that stdout has."""
    from console import interrupted  # loads slowly, and few need it

    with contextlib.redirect_stdout(sys.stderr):
        stack = dataclasses.replace(stack, config=config, agreed=agreed)
        interrupted.settle(stack)
        stack.folder.mkdir(parents=True, exist_ok=True)
        events = stack.folder / "events.jsonl"
        events.unlink(missing_ok=True)
        stack.up(events)


def _bring_back(stack: Stack, folder: Path, *, agreed: bool) -> None:
    try:
        _update(stack, folder / _BEFORE, agreed=agreed)
    except ConsoleError as error:
        raise ConsoleError(
            f"{error}; stack {stack.name} may still have more nodes than its settings say:"
            " the next `make submit` or `make up` brings them back"
        ) from None
    forget(stack)


def forget(stack: Stack) -> None:
    """The stack is as its settings say."""
    for name in (_BEFORE, _GROWN):
        (stack.mark("grown") / name).unlink(missing_ok=True)


def is_left(stack: Stack) -> bool:
    """Whether a `make submit` that grew the stack was killed, or could not bring it back.

    Raises ConsoleError while one is at it.
    """
    folder = stack.mark("grown")
    if not (folder / _BEFORE).exists():
        return False
    with _lock(folder) as is_ours:
        if not is_ours:
            raise ConsoleError(
                f"stack {stack.name} is grown for a `make submit` that runs: wait for its end, or"
                " end it (Ctrl-C); then the stack is as it was"
            )
    return True


def settle(stack: Stack, *, yes: bool) -> None:
    """Brings back what one that was killed left. One that is at it is left alone."""
    folder = stack.mark("grown")
    if not (folder / _BEFORE).exists():
        return
    with _lock(folder) as is_ours:
        if not is_ours:
            return
        if not stack.nodes():  # taken away meanwhile
            forget(stack)
            return
        say("a `make submit --grow` was killed: the stack's nodes go back to what they were")
        _bring_back(stack, folder, agreed=yes)


def say(text: str) -> None:
    """A line on stderr."""
    terminal.complain(f"submit: {terminal.shown(text)}")
