"""`make ui`, with a kubectl that forwards to pages of this test."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from console.verbs.ui import Page, free_port, page_of

CHECKOUT = Path(__file__).parents[3]

# Forwards to a page that tells the pod's name, or the master's state.
KUBECTL = """#!{python}
import http.server, os, pathlib, sys
folder = pathlib.Path({folder!r})
class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        master = self.path == "/json/"
        text = (folder / "master.json").read_text() if master else sys.argv[-2]
        self.wfile.write(text.encode())
    def log_message(self, *args): pass
with (folder / "pids").open("a") as pids:
    print(os.getpid(), file=pids)
assert sys.argv[-4:-2] == ["--address", "127.0.0.1"], sys.argv
port = int(sys.argv[-1].partition(":")[0])
http.server.HTTPServer(("127.0.0.1", port), Pages).serve_forever()
"""
# The cluster has the pods that are in a file.
RUN = """
import contextlib, json, os, pathlib, sys
from console.stack import ConsoleError, Stack
from console.verbs import ui
folder = pathlib.Path(sys.argv[1])
class Cluster:
    def kubeconfig(self):
        return contextlib.nullcontext("config")
    def json(self, path):
        assert path == "/api/v1/pods"
        if (folder / "away").exists():
            raise ConsoleError("the cluster does not answer")
        return json.loads((folder / "pods.json").read_text())
ui._LATER = 0.2
ui._SOON = 0.1
ui.serve(Stack("dev", env=dict(os.environ)), Cluster())
"""


def pod(
    name: str, labels: dict[str, str], container: dict[str, Any], ready: str = "True"
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "spark", "labels": labels},
        "spec": {"containers": [container]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def web(port: int) -> dict[str, Any]:
    return {"name": "main", "ports": [{"name": "http", "containerPort": port}]}


MASTER = pod("spark-master-0", {"app.kubernetes.io/component": "master"}, web(8080))
NATIVE = {"name": "driver", "args": ["--conf", "spark.kubernetes.driver.pod.name=$(POD)"]}
SUBMITTER = {"name": "driver", "args": ["--conf", "spark.kubernetes.driver.pod.name=$(POD)-driver"]}


@pytest.mark.parametrize(
    ("found", "page"),
    [
        (MASTER, Page("Spark master", "spark", "spark-master-0", 8080)),
        (
            pod("h", {"app.kubernetes.io/component": "history"}, web(18080)),
            Page("Spark history", "spark", "h", 18080),
        ),
        (
            pod("o", {"app.kubernetes.io/name": "opex"}, web(5483)),
            Page("Cost analytics", "spark", "o", 5483),
        ),
        (pod("pi-1", {}, NATIVE), Page("Driver pi-1", "spark", "pi-1", 4040)),
        (
            pod("pi-2", {"spark-role": "driver"}, {"name": "driver"}),
            Page("Driver pi-2", "spark", "pi-2", 4040),
        ),
        (pod("pi-3", {}, SUBMITTER), None),
        # Its pages are made to be seen by way of the master's.
        (pod("wordcount", {}, {"name": "driver", "args": ["--master", "spark://m"]}), None),
        (pod("dns", {}, web(8080)), None),
        (pod("h", {"app.kubernetes.io/component": "history"}, web(18080), "False"), None),
    ],
)
def test_which_pods_have_pages(found: dict[str, Any], page: Page | None):
    assert page_of(found) == page


def test_a_port_that_is_taken_is_left_alone():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(80) >= 1024


def test_what_comes_and_goes_is_told(tmp_path: Path):
    def write(pods: list[dict[str, Any]], apps: list[dict[str, str]]) -> None:
        workers = [{"id": "worker-1", "host": "10.1.1.1", "state": "ALIVE"}]
        workers.append({"id": "worker-0", "host": "10.1.1.1", "state": "DEAD"})
        state = {"workers": workers, "activeapps": apps}
        for name, content in (("master", state), ("pods", {"items": pods})):
            draft = tmp_path / f"{name}.part"
            draft.write_text(json.dumps(content))
            draft.rename(tmp_path / f"{name}.json")

    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable, folder=str(tmp_path)))
    kubectl.chmod(0o755)
    write([MASTER], [])
    printed = tmp_path / "printed"
    with printed.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path)],
            cwd=CHECKOUT,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            stdout=out,
        )

    def lines(count: int) -> list[str]:
        limit = time.monotonic() + 30
        while len(found := printed.read_text().splitlines()) < count:
            assert time.monotonic() < limit and process.poll() is None, found
            time.sleep(0.1)
        return found

    try:
        _, master, worker = lines(3)
        address = master.split()[-1]
        assert master == f"Spark master     {address}"
        assert worker == f"  worker 10.1.1.1: {address}proxy/worker-1/"
        write([MASTER, pod("pi-1", {}, NATIVE)], [{"id": "app-1", "name": "count"}])
        assert lines(5)[3:4] == [f"  count: {address}proxy/app-1/"]
        assert lines(5)[4].startswith("Driver pi-1 ")
        write([MASTER], [])
        assert lines(6)[5].startswith("Driver pi-1 is gone from ")
        (tmp_path / "away").touch()
        said = "For now: the cluster does not answer"
        assert lines(7)[6] == said
        (tmp_path / "away").unlink()
        write([MASTER, pod("pi-2", {}, NATIVE)], [])
        assert lines(8)[7].startswith("Driver pi-2 ")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


def test_no_kubectl_stays_when_the_reader_goes(tmp_path: Path):
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable, folder=str(tmp_path)))
    kubectl.chmod(0o755)
    (tmp_path / "master.json").write_text(json.dumps({"workers": [], "activeapps": []}))
    (tmp_path / "pods.json").write_text(json.dumps({"items": [MASTER]}))
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path)],
        cwd=CHECKOUT,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert process.stdout.readline().startswith(b"Spark master ")
    process.stdout.close()
    draft = tmp_path / "more"
    draft.write_text(json.dumps({"items": [MASTER, pod("pi-1", {}, NATIVE)]}))
    draft.rename(tmp_path / "pods.json")
    assert process.wait(timeout=60) != 0
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
