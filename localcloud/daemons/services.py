"""The daemons of the local cloud: how each is started, and when it is ready."""

from __future__ import annotations

import http.client
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcloud import mirror, releases
from localcloud.api.client import changes
from localcloud.daemons import names, processes
from localcloud.daemons.processes import Process
from localcloud.errors import CloudError
from localcloud.host import network
from localcloud.host.shell import wait_until
from localcloud.layout import HOST_ADDRESS, LOGS
from localcloud.mirror import own_images
from toolchain.paths import CHECKOUT

#: How long a daemon may take until it is ready, in seconds.
PATIENCE = 60


@dataclass(frozen=True)
class Service:
    """A daemon: its name in the record and of its log, its command line, and its test."""

    name: str
    command: list[str]
    ready: Callable[[], bool]

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return LOGS / f"{self.name}.log"


def services(cloud: str, rootfs: Path) -> list[Service]:
    """All daemons, in the order of their start; `cloud` is this cloud's id."""
    python = [sys.executable, "-m"]
    own = [
        Service("api", [*python, "localcloud.api.server", cloud], lambda: answers(cloud)),
        Service("resolver", names.command(), lambda: listens(53)),
        Service(
            "reconciler",
            [*python, "localcloud.control.reconcile", cloud, str(rootfs)],
            network.has_host_rules,
        ),
    ]
    # Not the mirror's folders: further releases and images of the user's own come in beside.
    packages, registry = releases.serve_command(), own_images.serve_command()
    return [
        *own,
        Service("packages", packages, lambda: listens(mirror.STATIC_PORT)),
        Service("registry", registry, lambda: listens(mirror.REGISTRY_PORT)),
    ]


def answers(cloud: str) -> bool:
    """Whether the API answers and is that of this cloud."""
    try:
        return changes(-1, 5)["cloud"] == cloud
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return False


def listens(port: int) -> bool:
    """Whether the host takes TCP connections on the port at its address on the bridge."""
    try:
        socket.create_connection((HOST_ADDRESS, port), timeout=1).close()
    except OSError:
        return False
    return True


def start(service: Service) -> Process:
    """Start the daemon without waiting for it."""
    return processes.start(
        service.command, service.log, {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"}
    )


def wait_ready(service: Service, process: Process) -> None:
    """Wait until the daemon is ready; CloudError with its last words if it ends or takes long."""
    done = wait_until(lambda: service.ready() or not process.alive, PATIENCE)
    if not done or not process.alive:
        words = service.log.read_text(errors="replace").strip().splitlines() or ["no message"]
        state = "ended" if done else f"is not ready after {PATIENCE} s"
        raise CloudError(f"the local cloud's {service.name} {state}: {words[-1]}")
