"""`make connect` and `make notebook`, with a kubectl and a cluster of this test's."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pytest

from console import session
from console.cluster import Cluster
from console.session import Server, forwarded, reason_of
from console.stack import ConsoleError, Stack
from console.verbs import connect, notebook
from toolchain import venv

TOKEN = "s3cr3t-t0k3n"
# Says its process and what it forwards to, to each that connects.
KUBECTL = """#!{python}
import os, socket, sys
assert "{token}" not in " ".join(sys.argv), sys.argv
*_, host, target, ports = sys.argv[1:]
here, there = ports.split(":")
with socket.create_server((host, int(here))) as server:
    while True:
        client, _ = server.accept()
        client.sendall(f"{{os.getpid()}} {{target}} {{there}}".encode())
        client.close()
"""


class Fake:
    """A cluster with these pods."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.pods = [*pods]

    def json(self, path: str) -> dict[str, Any]:
        pods, _, selector = path.partition("/pods?labelSelector=")
        if selector:
            assert pods == "/api/v1/namespaces/spark"
            chosen = dict([unquote(selector).split("=")])
            found = [
                pod for pod in self.pods if chosen.items() <= pod["metadata"]["labels"].items()
            ]
            return {"items": found}
        assert path == "/api/v1/namespaces/spark/secrets/spark-connect"
        return {"data": {"secret": base64.b64encode(TOKEN.encode()).decode()}}

    def run(self, namespace: str, pod: str, command: Sequence[str], within: float) -> str:
        assert (namespace, pod, command[:2]) == ("spark", "connect-1", ["sh", "-c"])
        return "4.2.0 3.13\n"

    def kubeconfig(self) -> contextlib.AbstractContextManager[str]:
        return contextlib.nullcontext("config")


def pod(ready: bool = True, component: str = "connect", **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    labels = {"app.kubernetes.io/component": component}
    return {
        "metadata": {"name": "connect-1", "labels": labels},
        "status": {"conditions": conditions, **status},
    }


@contextlib.contextmanager
def serving(tmp_path: Path, *pods: dict[str, Any]) -> Generator[Server]:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable, token=TOKEN))
    kubectl.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with forwarded(Stack("dev", env=env), cast(Cluster, Fake(*pods))) as server:
        yield server


def said(server: Server) -> list[str]:
    """What the port says: kubectl's process, what it forwards to, and the port there."""
    found = re.fullmatch(rf"sc://localhost:(\d+)/;token={TOKEN}", server.url)
    assert found
    with socket.create_connection(("127.0.0.1", int(found[1])), timeout=10) as client:
        return client.makefile().read().split()


def test_it_is_forwarded_also_to_the_pod_that_follows(tmp_path: Path):
    with serving(tmp_path, pod(component="master"), pod()) as server:
        assert (server.spark, server.python) == ("4.2.0", "3.13")
        first, *target = said(server)
        assert target == ["deployment/spark-connect", "15002"]
        os.kill(int(first), signal.SIGTERM)
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(ConnectionError, IndexError):
                if (second := said(server)[0]) != first:
                    break
            assert time.monotonic() < end
            time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(int(second), 0)


@pytest.mark.parametrize(
    ("pods", "limit", "words"),
    [
        ([], 180, "stack dev has no Spark Connect server: set spark.connect to true"),
        ([{**pod(), "metadata": {**pod()["metadata"], "deletionTimestamp": "x"}}], 180, "has no "),
        ([pod(ready=False)], -1, "did not start in -1 s: it does not answer yet"),
    ],
)
def test_without_a_server_it_says_so(tmp_path: Path, monkeypatch, pods, limit: int, words: str):
    monkeypatch.setattr(session, "_STARTS", limit)
    with pytest.raises(ConsoleError, match=re.escape(words)), serving(tmp_path, *pods):
        pass


def test_why_it_does_not_start():
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}
    ended = {"terminated": {"message": "one\nthis image has no Spark Connect\n"}}
    status = {"name": "connect", "state": waiting}
    assert "can't be pulled: ErrImagePull: no such host" in reason_of(
        pod(phase="Pending", containerStatuses=[status])
    )
    status["lastState"] = ended
    assert (
        reason_of(pod(phase="Running", containerStatuses=[status]))
        == "this image has no Spark Connect"
    )


def test_what_is_told_is_python_that_has_the_address():
    server = Server(f"sc://localhost:15002/;token={TOKEN}", "4.2.0", "3.13")
    lines = connect.told(server).splitlines()
    assert server.url in lines
    assert "pyspark-client==4.2.0 " in connect.told(server)
    assert "Python 3.13," in connect.told(server)
    code = compile("\n".join(lines[-2:]), "told", "exec")
    assert server.url in [const for const in code.co_consts if isinstance(const, str)]


def test_notebooks_have_the_way_to_spark_and_nothing_of_the_state():
    env = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "a", "PULUMI_HOME": "b", "JUPYTER_TOKEN": ""}
    found = notebook.surroundings(env, "sc://localhost:1/;token=t")
    assert (found["SPARK_REMOTE"], found["PATH"]) == ("sc://localhost:1/;token=t", "/bin")
    assert not {"AWS_SECRET_ACCESS_KEY", "PULUMI_HOME", "JUPYTER_TOKEN"} & found.keys()


def test_a_python_is_the_version_that_it_says(tmp_path: Path, monkeypatch):
    here = "{}.{}".format(*sys.version_info[:2])
    assert venv.python_of(here) == venv.base_python()
    other = tmp_path / "python3.99"  # as pyenv has them: a name that leads to nothing
    other.write_text("#!/bin/sh\necho not chosen >&2\nexit 127\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert venv.python_of("3.99") is None
    other.write_text("#!/bin/sh\necho 3.99\n")
    assert venv.python_of("3.99") == str(other)
