"""moto's server as an AWS API, in a process of its own: it reads its images once."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from tests.processes import bound

#: The one Debian image, in moto's form.
IMAGE = {
    "ami_id": "ami-0deb13000000000",
    "name": "debian-13-amd64-20261101-0000",
    "owner_id": "136693071363",
    "architecture": "x86_64",
    "root_device_name": "/dev/xvda",
    "root_device_type": "ebs",
    "virtualization_type": "hvm",
    "hypervisor": "xen",
    "image_location": "debian",
    "image_type": "machine",
    "public": True,
    "state": "available",
    "description": "Debian 13",
    "platform": "",
    "sriov": "simple",
    "creation_date": "2026-11-01T00:00:00.000Z",
}


@contextlib.contextmanager
def aws_api(images: list[dict[str, Any]], folder: Path) -> Generator[str]:
    """The URL of an API that offers these machine images (moto's form), and has nothing made."""
    file = folder / "images.json"
    file.write_text(json.dumps(images))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with moto("127.0.0.1", port, folder, MOTO_AMIS_PATH=str(file)) as url:
        yield url


@contextlib.contextmanager
def moto(host: str, port: int, folder: Path, **env: str) -> Generator[str]:
    """The URL of moto at that address of this machine; what it says is in the folder."""
    with (folder / "moto.log").open("w") as log:
        server = subprocess.Popen(
            bound([sys.executable, "-m", "moto.server", "-H", host, "-p", str(port)]),
            env={**os.environ, **env},
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection((host, port), timeout=1).close()
                break
            assert server.poll() is None, f"moto has ended: see {folder}/moto.log"
            assert time.monotonic() < deadline, "moto does not start"
            time.sleep(0.05)
        yield f"http://{host}:{port}"
    finally:
        server.terminate()
        server.wait()
