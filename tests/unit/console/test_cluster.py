"""What the console asks of a cluster: an API server of the test's answers."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from console import cluster
from console.cluster import Cluster
from console.stack import ConsoleError, Stack
from console.verbs import status

Answers = Callable[[str, str], tuple[int, Any]]


class Server:
    """An API server whose answers, by path and Accept, are (status, object or text)."""

    def __init__(self) -> None:
        self.answer: Answers = lambda path, accept: (200, "ok")
        #: What a command in a pod says: (channel, up to 124 bytes).
        self.messages: list[tuple[int, str]] = []
        self.commands: list[list[str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if "Upgrade" in self.headers:
                    return self.exec()
                code, given = server.answer(self.path, self.headers["Accept"])
                body = (given if isinstance(given, str) else json.dumps(given)).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def exec(self) -> None:
                """As the API server: messages of a channel (the first byte), then the end."""
                key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
                self.send_response(101)
                self.send_header("Upgrade", "websocket")
                self.send_header("Connection", "Upgrade")
                self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
                digest = hashlib.sha1(key.encode()).digest()
                self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
                self.end_headers()
                server.commands.append(parse_qs(urlsplit(self.path).query)["command"])
                for channel, text in server.messages:
                    data = bytes([channel]) + text.encode()
                    self.wfile.write(b"\x82" + bytes([len(data)]) + data)
                self.wfile.write(b"\x88\x00")
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def kubeconfig(self) -> str:
        there = {"cluster": {"server": f"http://{self.host}"}, "name": "c"}
        context = {"context": {"cluster": "c", "user": "u"}, "name": "x"}
        user = {"name": "u", "user": {"token": "s3cr3t"}}
        return json.dumps(
            {"clusters": [there], "contexts": [context], "users": [user], "current-context": "x"}
        )


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def stack(server: Server, monkeypatch: pytest.MonkeyPatch) -> Stack:
    outputs: dict[str, Any] = {"kubeconfig": server.kubeconfig()}
    monkeypatch.setattr(Stack, "outputs", lambda *_, **__: outputs)
    return Stack("dev", env={"PATH": "/usr/bin:/bin"})


def test_an_update_ends_well_only_beside_a_cluster_that_answers(server, stack) -> None:
    server.http.server_close()
    server.http.shutdown()
    with pytest.raises(ConsoleError) as refused:
        cluster.require_answer(stack, stack.outputs(), seconds=0)
    said = str(refused.value)
    assert "does not answer (the cluster does not answer: " in said and "Connection refused" in said
    assert "`make status`" in said and "0x" not in said and len(said.splitlines()) == 1


def test_a_cluster_that_is_only_slow_is_waited_for(server, stack, capsys) -> None:
    left = [(503, {"message": "not\nyet"}), (200, "ok")]
    server.answer = lambda path, accept: left.pop(0)
    cluster.require_answer(stack, stack.outputs())
    assert left == []
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("waiting for the cluster to answer (") and line.endswith(": not yet")


def test_a_stack_without_a_cluster_is_told(stack, monkeypatch) -> None:
    monkeypatch.setattr(Stack, "outputs", lambda *_, **__: {})
    with pytest.raises(ConsoleError, match="stack dev has no cluster"):
        cluster.require_answer(stack, stack.outputs())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((403, {"message": "you may not"}), "^you may not$"),
        ((404, "<html>: no"), "^the API server answers 404 Not Found$"),
    ],
)
def test_what_is_refused_is_one_line(server, answer, said) -> None:
    server.answer = lambda path, accept: answer
    with pytest.raises(ConsoleError, match=said):
        Cluster(server.kubeconfig()).get("/x")


def test_a_kubeconfig_without_a_cluster_is_one_line() -> None:
    with pytest.raises(ConsoleError, match="^the stack's kubeconfig: "):
        Cluster("apiVersion: v1")


def test_the_kubeconfig_for_kubectl_is_its_owners_and_goes_again(server) -> None:
    with Cluster(server.kubeconfig()).kubeconfig() as name:
        assert Path(name).read_text() == server.kubeconfig()
        assert Path(name).stat().st_mode & 0o777 == 0o600
    assert not Path(name).exists()


FAILURE = json.dumps({"status": "Failure", "details": {"causes": [{"message": "3"}]}})
STDOUT, STDERR, ERROR = 1, 2, 3


def test_what_a_command_in_a_pod_prints(server) -> None:
    server.messages = [(STDOUT, "one\n"), (STDERR, "x"), (STDOUT, "two\n")]
    server.messages += [(ERROR, '{"status": "Success"}')]
    assert Cluster(server.kubeconfig()).run("n", "pod", ["a", "b c"], 20) == "one\ntwo\n"
    assert server.commands == [["a", "b c"]]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([(STDERR, "noise\nno such run\n"), (ERROR, FAILURE)], "^no such run$"),
        ([(ERROR, FAILURE)], "^exit code 3 in pod pod$"),
        ([(STDOUT, "half")], "^the connection to pod pod broke off$"),
    ],
)
def test_a_command_in_a_pod_that_fails_is_one_line(server, messages, said) -> None:
    server.messages = messages
    with pytest.raises(ConsoleError, match=said):
        Cluster(server.kubeconfig()).run("n", "pod", ["a"], 20)


POD_COLUMNS = ["Name", "Status", "Nominated Node", "IP"]
PODS = [("spark", ["pi\x1b[2J", "Running", "<none>", "10.1.1.1"]), ("a", ["b", "", "<none>", ""])]


def test_a_list_has_the_columns_of_the_api_server_but_for_empty_ones(server) -> None:
    def answer(path: str, accept: str) -> tuple[int, Any]:
        assert (path, accept) == ("/api/v1/pods", "application/json;as=Table;v=v1;g=meta.k8s.io")
        columns = [{"name": name} for name in POD_COLUMNS]
        rows = [{"cells": cells, "object": {"metadata": {"namespace": n}}} for n, cells in PODS]
        return 200, {"columnDefinitions": columns, "rows": rows}

    server.answer = answer
    columns, rows = Cluster(server.kubeconfig()).table("/api/v1/pods")
    assert columns == ["Namespace", "Name", "Status", "IP"]
    assert rows == [["spark", "pi\x1b[2J", "Running", "10.1.1.1"], ["a", "b", "", ""]]
    assert r"pi\x1b[2J  Running" in status.table(columns, rows)


def test_status_says_what_the_master_says_or_that_it_does_not_answer(server) -> None:
    worker = {"state": "ALIVE"}
    master = {"url": "spark://m:7077", "workers": [worker, {"state": "DEAD"}], "cores": 2}
    master |= {"coresused": 1, "activeapps": [{}], "completedapps": []}
    server.answer = lambda path, accept: (200, master)
    found = status.spark(Cluster(server.kubeconfig()))
    assert found == (
        "Spark at spark://m:7077: 1 of 2 workers alive,"
        " 1 of 2 cores in use, 1 applications running, 0 done"
    )
    server.answer = lambda path, accept: (503, {"message": "no endpoints available"})
    found = status.spark(Cluster(server.kubeconfig()))
    assert found.startswith("Spark's master does not answer: ") and "no endpoints" in found


def test_a_node_that_is_short_of_something_is_named_with_what_its_kubelet_says() -> None:
    def node(name: str, **states: str) -> dict[str, Any]:
        found = [{"type": t, "status": s, "message": f"about {t}"} for t, s in states.items()]
        return {"metadata": {"name": name}, "status": {"conditions": found}}

    well = node("a", MemoryPressure="False", DiskPressure="False", Ready="True")
    full = node("b", MemoryPressure="False", DiskPressure="True", Ready="True")
    lost = node("c", DiskPressure="Unknown", Ready="Unknown")
    assert status.troubles([well, full, lost]) == [
        "b: DiskPressure True: about DiskPressure",
        "c: DiskPressure Unknown: about DiskPressure",
        "c: Ready Unknown: about Ready",
    ]
