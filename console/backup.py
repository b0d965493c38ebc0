"""Snapshots and certificates as the console sees them: the control plane does the work.

Its programs are called by SSH with the key of the stack's state, which every checkout has; what it
tells of them is in the cluster.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from console.stack import ConsoleError, Stack

_NAME = "%Y-%m-%dT%H-%M-%SZ.snapshot"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
# So many times the interval without a new one, and something is wrong.
_LATE = 3
# Two thirds of a year have gone by then, and renewals have failed for months.
_SOON = 30


def control_plane(stack: Stack) -> dict[str, Any]:
    """The node's record in the outputs. Raises ConsoleError where the stack made no cluster."""
    nodes = stack.nodes()
    if not nodes:
        raise ConsoleError(f"stack {stack.name} has no control plane of its own; see `make up`")
    return nodes[0]


def on_control_plane(stack: Stack, *command: str, capture: bool = False) -> str:
    """Runs a command there as root, and returns what it prints if asked to.

    Raises ConsoleError when it fails; it has said why by then.
    """
    where = f"admin@{control_plane(stack)['publicIp']}"
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
    options += ["BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=15"]
    given = [part for option in options for part in ("-o", option)]
    with tempfile.NamedTemporaryFile("w", prefix="key-") as key:  # its owner's only
        key.write(_private_key(stack))
        key.flush()
        done = subprocess.run(
            ["ssh", "-i", key.name, *given, where, shlex.join(["sudo", *command])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if capture else None,
            env=stack.env,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise ConsoleError(f"{command[0]} on the control plane failed ({done.returncode})")
    return done.stdout or ""


def _private_key(stack: Stack) -> str:
    """As scripts/make_key.sh printed it, whose last line is the public one."""
    for made in stack.state(secrets=True)["deployment"]["resources"]:
        if re.search(r":KubeNodes\$command:local:Command::[^:]*-key$", made["urn"]):
            printed = made["outputs"]["stdout"]
            text = json.loads(printed["plaintext"]) if isinstance(printed, dict) else printed
            return "".join(f"{line}\n" for line in text.strip().splitlines()[:-1])
    raise ConsoleError(f"the state of stack {stack.name} has no key; `make up` makes one")


def describe(kept: Mapping[str, Mapping[str, str]], now: datetime) -> list[str]:
    """For `make status`: a line on snapshots and one on certificates, with warnings.

    kept: by name, the ConfigMaps in which the control plane tells of both.
    """
    said = []
    if backup := kept.get("tinderbox-backup"):
        age = now - _when(backup["newest"], _NAME)
        said.append(
            f"Snapshots: {backup['kept']}, the newest {_words(age)} old ({backup['newest']})"
        )
        if age > _LATE * timedelta(minutes=int(backup["minutes"])):
            said.append(
                f"WARNING: one is due every {backup['minutes']} minutes; on the control plane"
                " `journalctl -u tinderbox-snapshot` says what is wrong"
            )
    if certificates := kept.get("tinderbox-certificates"):
        left, ca = (_when(certificates[key], _TIME) - now for key in ("until", "ca"))
        said.append(f"Certificates: {left.days} days left, the CA's {ca.days}")
        if left.days < _SOON and left < timedelta(days=int(certificates["days"])) / 3:
            said.append(
                "WARNING: they are not renewed; on the control plane"
                " `journalctl -u tinderbox-certificates` says why"
            )
    return said


def _when(text: str, pattern: str) -> datetime:
    return datetime.strptime(text, pattern).replace(tzinfo=UTC)


def _words(age: timedelta) -> str:
    minutes = max(0, int(age.total_seconds() // 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"
