"""The container registry: Debian's docker-registry over a folder."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.host.shell import wait_until

PROGRAM = "docker-registry"

CONFIG = """\
version: 0.1
log:
  level: warn
  accesslog: {{disabled: true}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  maintenance:
    uploadpurging: {{enabled: false}}
    readonly: {{enabled: {readonly}}}
http:
  # The command line says which address: REGISTRY_HTTP_ADDR.
  addr: 127.0.0.1:5000
"""


def write_config(path: Path, folder: Path, readonly: bool) -> None:
    """Write docker-registry's configuration for a store in `folder`."""
    path.write_text(CONFIG.format(folder=folder, readonly=str(readonly).lower()))


def serve_command(config: Path, address: str) -> list[str]:
    """The command that serves the registry at `address` (host:port, plain HTTP)."""
    return ["env", f"REGISTRY_HTTP_ADDR={address}", PROGRAM, "serve", str(config)]


@contextlib.contextmanager
def running(config: Path) -> Generator[str]:
    """Serve a registry on a free port of the loopback; yields its host:port.

    It ends with the block, and with this process however that ends.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["setpriv", "--pdeathsig", "KILL", *serve_command(config, address)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if not wait_until(lambda: _answers(address) or process.poll() is not None, seconds=20):
            raise CloudError(f"{PROGRAM} does not answer at {address}")
        if process.poll() is not None:
            raise CloudError(f"{PROGRAM} ended at once with code {process.returncode}")
        yield address
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
