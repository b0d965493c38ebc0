"""Another instance type: EC2 stops a node for it, so they go one after the other, and drained.

A node's stop and start are one update of its instance, which the engine would do for all of them at
once. So hooks do what has to be done before and after, and let one at a time through:

    before: a turn ─ drain (a worker) │ EC2 stops, changes, starts │ after: Ready ─ uncordon

They reach the cluster by SSH to the control plane's address. A kubeconfig they don't have: the step
that reads it waits for the control plane's instance, which may be the one that is to change.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.cluster.steps import read_script, shell_input
from patience import factor

_AWAY = ("drain_lib.sh", "away_lib.sh", "roll-away.sh")
_BACK = ("away_lib.sh", "roll-back.sh")
# Seconds for the control plane to be reached, such as after its own start.
_REACHED_WITHIN = 600
# ssh's exit code for a connection that could not be made, or was cut off.
_NO_CONNECTION = 255


@dataclass(frozen=True)
class Entrance:
    """The way to the control plane: its address, known before it is made, and who logs in."""

    address: pulumi.Output[str]
    user: str
    private_key: pulumi.Output[str]

    async def run(self, script: str, within: float) -> str:
        """What a script prints there, run as root; it is sent again while there is no connection.

        within: seconds after which that is the end. Raises RuntimeError with its last line.
        """
        address, key = await self.address.future(), await self.private_key.future()
        end = time.monotonic() + within
        with tempfile.NamedTemporaryFile("w") as file:  # its owner's only
            file.write(key or "")
            file.flush()
            while True:
                code, printed, said = await _ssh(f"{self.user}@{address}", file.name, script)
                if code == 0:
                    return printed
                if code != _NO_CONNECTION or time.monotonic() > end:
                    raise RuntimeError(said.strip().splitlines()[-1] if said.strip() else str(code))
                await asyncio.sleep(1)


async def _ssh(where: str, key_file: str, script: str) -> tuple[int, str, str]:
    """Runs ssh once; its exit code, standard output and standard error."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": f"{10 * factor()}",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "LogLevel": "ERROR",
        "ServerAliveInterval": "10",
        "StrictHostKeyChecking": "no",  # as in all other steps
        "UserKnownHostsFile": "/dev/null",
    }
    said = [f"-o{name}={value}" for name, value in options.items()]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *("ssh", "-F", "none", "-i", key_file, *said, where, "sudo bash -s"),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        printed, errors = await process.communicate(script.encode())
    finally:
        if process.returncode is None:
            process.terminate()
    return await process.wait(), printed.decode(), errors.decode()


class Roll:
    """The hooks of all nodes of a cluster.

    name: of the hooks, once in a program. control_plane: the name of its instance.
    offered: by a node's name, what its settings are below, and the zones that offer its type.
    """

    def __init__(
        self,
        name: str,
        control_plane: str,
        entrance: Entrance,
        offered: Mapping[str, tuple[str, Collection[str]]],
    ) -> None:
        self._control_plane = control_plane
        self._entrance = entrance
        self._offered = offered
        self._turn = asyncio.Lock()
        self._away: dict[str, str] = {}  # the node whose turn it is: the boot that it ran
        self._failed: str | None = None
        self._told: set[tuple[str, str]] = set()
        look = pulumi.ResourceHook(
            f"{name}-look", self._look, pulumi.ResourceHookOptions(on_dry_run=True)
        )
        away = pulumi.ResourceHook(f"{name}-away", self._let_go)
        back = pulumi.ResourceHook(f"{name}-back", self._take_back)
        failed = pulumi.ErrorHook(f"{name}-failed", self._give_up)
        self.options = pulumi.ResourceOptions(
            hooks=pulumi.ResourceHookBinding(
                before_update=[look, away], after_update=[back], on_error=[failed]
            )
        )

    def _look(self, update: pulumi.ResourceHookArgs) -> None:
        """Says once which change it is. Raises ValueError for one that EC2 would refuse halfway."""
        types = _types(update)
        if types is None:
            return
        was, wanted = types
        zone = (update.old_outputs or {}).get("availabilityZone")
        key, zones = self._offered[update.name]
        if zone is not None and zone not in zones:
            raise ValueError(
                f"{key}.type is {was} in this cluster, and {wanted} is asked for: {zone}, where the"
                f" nodes are, does not offer it ({', '.join(sorted(zones))} do)"
            )
        if types not in self._told:
            self._told.add(types)
            pulumi.log.info(f"{was} becomes {wanted}, one node after the other")

    async def _let_go(self, update: pulumi.ResourceHookArgs) -> None:
        """Returns once it is the node's turn, and it may stop."""
        if _types(update) is None:
            return
        is_worker = update.name != self._control_plane
        if is_worker:
            # Before its turn: what is away may be the control plane.
            await self._run("true", {})
        await self._turn.acquire()
        if self._failed is not None:
            self._turn.release()
            raise RuntimeError(f"not begun, since {self._failed}; the next up goes on")
        values = {"WORKER": _host_name(update), "IS_WORKER": str(is_worker).lower()}
        try:
            printed = await self._run(_scripts(_AWAY), values, _REACHED_WITHIN if is_worker else 0)
        except Exception as error:
            if is_worker:
                self._end(f"{update.name} failed")
                raise
            pulumi.log.warn(f"{update.name} is off already: {error}")
            printed = ""
        self._away = {update.name: "".join(printed.splitlines()[-1:])}

    async def _take_back(self, update: pulumi.ResourceHookArgs) -> None:
        """Returns once the node is Ready again; the next one's turn comes."""
        if update.name not in self._away:
            return
        values = {"WORKER": _host_name(update), "BOOT": self._away[update.name]}
        try:
            await self._run(_scripts(_BACK), values)
        except Exception:
            self._end(f"{update.name} did not come back")
            raise
        pulumi.log.info(f"{update.name} is back")
        self._end()

    async def _give_up(self, update: pulumi.ErrorHookArgs) -> bool:
        """EC2 did not do it: the node takes pods again, if it still runs; no other one begins."""
        if update.name in self._away:
            values = {"WORKER": _host_name(update)}
            try:
                text = f"{read_script(_BACK[0])}\n[[ ! -e $KUBECONFIG ]] || let_back"
                await self._run(text, values, 0)
            except (RuntimeError, OSError) as error:
                pulumi.log.warn(f"{update.name} may take no pods: {error}")
            self._end(f"{update.name} failed")
        return False

    def _end(self, why: str | None = None) -> None:
        """The node's turn is over; why: it failed, and no other one is to begin."""
        self._failed = self._failed or why
        self._away = {}
        self._turn.release()

    async def _run(
        self, script: str, values: Mapping[str, str], within: float = _REACHED_WITHIN
    ) -> str:
        patience = f"export PATIENCE={factor()}\n" if factor() > 1 else ""
        return await self._entrance.run(patience + shell_input(script, values), within * factor())


def _scripts(names: Collection[str]) -> str:
    return "\n".join(read_script(name) for name in names)


def _types(update: pulumi.ResourceHookArgs) -> tuple[str, str] | None:
    """The instance type before and after; None where it stays, so that EC2 stops nothing."""
    was, wanted = (
        (inputs or {}).get("instanceType") for inputs in (update.old_inputs, update.new_inputs)
    )
    if isinstance(was, str) and isinstance(wanted, str) and was != wanted:
        return was, wanted
    return None


def _host_name(update: pulumi.ResourceHookArgs | pulumi.ErrorHookArgs) -> Any:
    """The node's name in the cluster."""
    return (update.old_outputs or {}).get("privateDns", "")
