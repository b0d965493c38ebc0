"""Stacks of one and of several control planes, on a local cloud of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console.stack import ROOT, Stack
from localcloud.layout import STATE
from tests.e2e.conftest import Up

#: So many seconds at most the API is away, whatever becomes of a control plane.
AWAY = 10


@contextmanager
def made_with(number: int, text: Path, folder: Path) -> Generator[Up]:
    """The stack with so many control planes and a worker; gone afterwards. folder: for events."""
    assert not STATE.exists(), "there is a local cloud already: make destroy"
    made = Up(Stack("local"))
    try:
        subprocess.run([sys.executable, "-m", "localcloud", "up"], cwd=ROOT, check=True)
        made.stack.prepare(str(text))
        choose(made, number)
        made.stack.up(folder / "events.jsonl")
        yield made
    finally:
        subprocess.run(["make", "destroy"], cwd=ROOT, check=True)
    assert not STATE.exists()


def choose(up: Up, number: int) -> None:
    """Asks for so many control planes, and a worker."""
    up.configure({"nodes": {"controlPlanes": number, "count": number + 1}})


def control_planes(up: Up) -> list[dict[str, Any]]:
    """The nodes as the outputs have them."""
    return [node for node in up.outputs()["nodes"] if node["role"] == "control plane"]


def members(up: Up) -> dict[str, str]:
    """State by name of etcd's members, by the first one's word."""
    pod = f"etcd-{up.control_plane()['hostName']}"
    pki = "/etc/kubernetes/pki/etcd"
    keys = ("--cacert", f"{pki}/ca.crt", "--cert", f"{pki}/healthcheck-client.crt")
    keys += ("--key", f"{pki}/healthcheck-client.key", "--endpoints", "https://127.0.0.1:2379")
    told = up.kubectl("-n", "kube-system", "exec", pod, "--", "etcdctl", *keys, "member", "list")
    fields = [line.split(", ") for line in told.splitlines()]
    return {one[2]: one[1] for one in fields}
