"""`make ui`: forwards the stack's web pages to this machine and prints where, until Ctrl-C.

kubectl does the forwarding, to loopback only: from other machines nothing can be reached. What
comes up or goes meanwhile (an application, a pod that starts anew) is noticed.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from console.cluster import LOOPBACK, Cluster, connect, port_forward
from console.stack import ConsoleError, Stack, require_stack
from console.verb import Verb
from toolchain.terminal import shown

# Seconds between two looks at the cluster: when something is expected to answer, and otherwise.
_SOON, _LATER = 1, 5
#: What has pages: by the labels of its pods, what it is called here.
_NAMES = {
    ("app.kubernetes.io/component", "master"): "Spark master",
    ("app.kubernetes.io/component", "history"): "Spark history",
    ("app.kubernetes.io/name", "opex"): "Cost analytics",
}
_DRIVER_PORT = 4040


@dataclass(frozen=True)
class Page:
    """A pod that has web pages at a port."""

    name: str
    namespace: str
    pod: str
    port: int


@dataclass
class Forward:
    """A page and the kubectl that forwards it. address: where it is here."""

    page: Page
    address: str
    process: subprocess.Popen[str]
    #: What was printed of it, and of what it leads to.
    shown: set[str] = field(default_factory=set)


def page_of(pod: dict[str, Any]) -> Page | None:
    """The page of a pod as the API tells of it; None where it has none, or none yet."""
    metadata, spec = pod["metadata"], pod["spec"]
    conditions = pod["status"].get("conditions", [])
    if "deletionTimestamp" in metadata or not any(
        c["type"] == "Ready" and c["status"] == "True" for c in conditions
    ):
        return None
    labels = metadata.get("labels", {}).items()
    name = next((name for label, name in _NAMES.items() if label in labels), None)
    if name is not None:
        ports = [port for c in spec["containers"] for port in c.get("ports", [])]
        port = next((p["containerPort"] for p in ports if p.get("name") == "http"), None)
    elif _is_native_driver(metadata, spec):
        name, port = f"Driver {metadata['name']}", _DRIVER_PORT
    else:
        return None
    return None if port is None else Page(name, metadata["namespace"], metadata["name"], port)


def _is_native_driver(metadata: dict[str, Any], spec: dict[str, Any]) -> bool:
    """True for a driver whose executors are pods. The master's pages lead to all other drivers."""
    if metadata.get("labels", {}).get("spark-role") == "driver":
        return True  # of cluster mode: Spark made it
    arguments = [word for c in spec["containers"] for word in c.get("args", [])]
    return "spark.kubernetes.driver.pod.name=$(POD)" in arguments


def free_port(wished: int) -> int:
    """A port of the loopback address: the one that people know, if it is free and not root's."""
    for port in (wished, 0):
        if 0 < port < 1024:
            continue
        with socket.socket() as probe:
            # kubectl sets it, too: what a closed connection leaves is in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise ConsoleError("no port of 127.0.0.1 is free")


class Ui:
    """All forwards of a stack."""

    def __init__(self, stack: Stack, cluster: Cluster, config: str) -> None:
        self.stack = stack
        self.cluster = cluster
        self.config = config
        self.forwards: dict[Page, Forward] = {}

    def look(self) -> bool:
        """Starts and ends forwards as the cluster's pods ask for; prints what answers by now.

        True when all of it does. Raises ConsoleError when the cluster gives no answer.
        """
        pods = self.cluster.json("/api/v1/pods")["items"]
        wanted = {page for pod in pods if (page := page_of(pod))}
        for page, forward in list(self.forwards.items()):
            if page not in wanted or forward.process.poll() is not None:
                self._end(forward)
                if forward.shown:
                    print(f"{page.name} is gone from {forward.address}", flush=True)
        for page in sorted(wanted - self.forwards.keys(), key=lambda page: page.name):
            self.forwards[page] = self._start(page)
        return all([self._show(forward) for forward in self.forwards.values()])

    def end(self) -> None:
        """Ends all forwards."""
        for forward in list(self.forwards.values()):
            self._end(forward)

    def _start(self, page: Page) -> Forward:
        here = free_port(page.port)
        process = port_forward(
            self.config, page.namespace, f"pod/{page.pod}", f"{here}:{page.port}", self.stack.env
        )
        return Forward(page, f"http://{LOOPBACK}:{here}/", process)

    def _end(self, forward: Forward) -> None:
        del self.forwards[forward.page]
        forward.process.terminate()
        forward.process.wait()

    def _show(self, forward: Forward) -> bool:
        """Prints what is new of a page, once it answers."""
        try:
            lines = {f"{forward.page.name:<16} {forward.address}": None}
            if forward.page.name == _NAMES["app.kubernetes.io/component", "master"]:
                lines |= dict.fromkeys(led_to(forward.address))
            else:
                _fetch(forward.address)
        except (OSError, ValueError):
            return False
        for line in lines:
            if line not in forward.shown:
                print(line, flush=True)
        forward.shown = set(lines)
        return True


def led_to(master: str) -> list[str]:
    """Where the master at this address has the pages of its workers and running applications."""
    state = json.loads(_fetch(f"{master}json/"))
    alive = [worker for worker in state["workers"] if worker["state"] == "ALIVE"]
    workers = [f"  worker {w['host']}: {master}proxy/{w['id']}/" for w in alive]
    return workers + [
        f"  {shown(a['name'])}: {master}proxy/{a['id']}/" for a in state["activeapps"]
    ]


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def run(options: argparse.Namespace) -> None:
    """Forwards until it is interrupted. Raises ConsoleError where there is nothing to forward."""
    stack = Stack(options.stack)
    require_stack(stack)
    serve(stack, connect(stack))


def serve(stack: Stack, cluster: Cluster) -> None:
    """The same of a cluster."""
    with cluster.kubeconfig() as config:
        ui = Ui(stack, cluster, config)
        try:
            print("Web pages of the stack, here until Ctrl-C:", flush=True)
            time.sleep(_LATER if ui.look() else _SOON)
            said = ""
            while True:
                try:
                    complete = ui.look()
                    said = ""
                except ConsoleError as error:
                    # Such as while the control plane starts anew; kubectl forwards on meanwhile.
                    complete = False
                    if str(error) != said:
                        said = str(error)
                        print(f"For now: {shown(said)}", flush=True)
                time.sleep(_LATER if complete else _SOON)
        except KeyboardInterrupt:
            print()
        finally:
            ui.end()


VERB = Verb(
    what="Forwards the stack's web pages to this machine and prints where, until Ctrl-C.",
    examples=("", "--stack dev"),
    run=run,
    shows=True,
)
