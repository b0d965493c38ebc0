"""The stack's Spark Connect server, as a port of this machine's loopback address."""

from __future__ import annotations

import base64
import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import why

from components.spark.places import CONNECT_SECRET, NAMESPACE
from console.cluster import LOOPBACK, Cluster, is_ready, port_forward
from console.stack import ConsoleError, Stack
from console.verbs.ui import free_port
from console.waiting import Wait
from submission.programs import script

_PORT = 15002
_TARGET = f"deployment/{CONNECT_SECRET}"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io/component%3Dconnect"
# Seconds for a pod that starts; for the versions in its image; for kubectl to listen.
_STARTS, _TELLS, _LISTENS = 180, 60, 30


@dataclass(frozen=True)
class Server:
    """A server, from here. url: with its token. spark, python: what its image has (4.2.0, 3.13)."""

    url: str
    spark: str
    python: str


@contextlib.contextmanager
def forwarded(stack: Stack, cluster: Cluster) -> Generator[Server]:
    """The server, as long as this lasts, also when its pod is another one meanwhile.

    Raises ConsoleError where the stack has none, or it does not start.
    """
    pod = _ready(stack, cluster)
    spark, python = cluster.run(NAMESPACE, pod, ["sh", "-c", script("versions.sh")], _TELLS).split()
    secret = cluster.json(f"/api/v1/namespaces/{NAMESPACE}/secrets/{CONNECT_SECRET}")
    token = base64.b64decode(secret["data"]["secret"]).decode()
    port = free_port(_PORT)
    with cluster.kubeconfig() as config, _kept(stack, config, port):
        # By this name: pyspark takes 127.0.0.1 for another host, where a token needs TLS.
        yield Server(f"sc://localhost:{port}/;token={token}", spark, python)


@contextlib.contextmanager
def _kept(stack: Stack, config: str, port: int) -> Generator[None]:
    """kubectl forwards, and is started anew when its pod was another's."""
    over = threading.Event()
    running: list[subprocess.Popen[str]] = []

    def forward() -> None:
        process = port_forward(config, NAMESPACE, _TARGET, f"{port}:{_PORT}", stack.env)
        running[:] = [process]

    def keep() -> None:
        while not over.wait(1):
            if running[0].poll() is not None:
                forward()

    forward()
    keeper = threading.Thread(target=keep, daemon=True)
    try:
        _wait_for(port)
        keeper.start()
        yield
    finally:
        over.set()
        if keeper.ident is not None:
            keeper.join()
        running[0].terminate()
        running[0].wait()


def _wait_for(port: int) -> None:
    wait = Wait(f"a port of {LOOPBACK}", _LISTENS)
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        if wait.is_over():
            raise ConsoleError(f"kubectl has not listened on port {port} within {_LISTENS} s")
        time.sleep(0.1)


def _ready(stack: Stack, cluster: Cluster) -> str:
    """The name of its pod, once it answers."""
    wait = Wait("the Spark Connect server", _STARTS)
    while True:
        pods = [
            pod
            for pod in cluster.json(_PODS)["items"]
            if "deletionTimestamp" not in pod["metadata"]
        ]
        if not pods:
            raise ConsoleError(
                f"stack {stack.name} has no Spark Connect server: set spark.connect to true in"
                f" {stack.shipped_file.name}, then `make up`"
            )
        if is_ready(pods[0]):
            return pods[0]["metadata"]["name"]
        reason = reason_of(pods[0])
        if wait.is_over():
            raise ConsoleError(f"the Spark Connect server did not start in {_STARTS} s: {reason}")
        wait.tell(reason)
        time.sleep(1)


def reason_of(pod: dict[str, Any]) -> str:
    """Why a pod is not ready, in one line: what its last container said, or Kubernetes."""
    for status in pod["status"].get("containerStatuses", []):
        for state in (status["state"], status.get("lastState", {})):
            said = (state.get("terminated") or {}).get("message", "").strip()
            if said:
                return said.splitlines()[-1]
    waits = why.waits_for(pod)
    return waits["line"] if waits else "it does not answer yet"
