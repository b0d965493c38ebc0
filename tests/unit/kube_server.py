"""The little of Kubernetes' API that `make submit` asks for, with a kubelet's log behind it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.unit.kubelet import Kubelet


class Kube:
    """One Job at most, whose pod runs at once and writes what the kubelet has.

    replies: what becomes of the replies for its log, in their order: {"bytes": after so many it
    breaks, "status": what is answered instead, "follows": it goes on until the pod has ended}; all
    later ones are whole. away: how many looks at the pod get a 503. code, why: of its end. pod: its
    name. has_room: until it is set the pod is pending. watched: the queries of all watches; listed:
    what was listed. refused: why no pod is made. is_busy: while there is a Job, each question is
    answered only when it is asked for the second time.
    """

    def __init__(self) -> None:
        self.kubelet = Kubelet()
        self.replies: list[dict[str, Any]] = []
        self.away = 0
        self.pod = "pod"
        self.code: int | None = None
        self.why = ""
        self.jobs: list[str] = []
        self.deleted: list[str] = []
        self.was_read, self.ended = threading.Event(), threading.Event()
        self.has_room = threading.Event()
        self.has_room.set()
        self.watched: list[dict[str, list[str]]] = []
        self.listed: list[str] = []
        self.refused = ""
        self.is_busy = False
        self._put_off: set[str] = set()

    def puts_off(self, question: str) -> bool:
        """Whether a question is to be asked again."""
        if not (self.is_busy and self.jobs):
            return False
        self._put_off ^= {question}
        return question in self._put_off

    def end(self, code: int, why: str = "") -> None:
        """The driver ends."""
        self.code, self.why = code, why
        self.ended.set()

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Of anything but a log: status and object."""
        if path.endswith("/selfsubjectreviews"):
            return 201, {"status": {"userInfo": {"username": "ann"}}}
        kind, name = re.findall(
            r"/(jobs|pods|configmaps|services|nodes|events)(?:/([^/]+))?", path
        )[0]
        if method == "POST" and kind == "jobs":
            self.jobs.append(body["metadata"]["name"])
            return 201, {**body, "metadata": {**body["metadata"], "uid": "uid"}}
        if method == "DELETE" and kind == "jobs" and not name:
            for name in [*self.jobs]:
                self.answer(method, f"{path}/{name}", body)
            return 200, {}
        if method == "DELETE" and kind == "jobs":
            if name not in self.jobs:
                return 404, {"message": f"no job {name}"}
            self.jobs.remove(name)
            self.deleted.append(name)
            self.ended.set()
            return 200, {}
        if kind == "pods" and name and not self.jobs:
            return 404, {"message": f"no pod {name}"}
        if kind == "pods" and name:
            self.away -= 1
            return (503, {"message": "starting"}) if self.away >= 0 else (200, self._pod())
        if kind == "pods":
            return 200, {"items": [self._pod()] if self.jobs and not self.refused else []}
        if kind == "events" and self.refused:
            event = {"reason": "FailedCreate", "message": self.refused, "involvedObject": {}}
            return 200, {"items": [{"metadata": {}, **event}]}
        if method == "GET" and not name:
            names = self.jobs if kind == "jobs" else []
            return 200, {"items": [{"metadata": {"name": name}} for name in names]}
        return (200, {"items": []}) if method == "GET" else (200, body)

    def _pod(self) -> dict[str, Any]:
        ended = {"exitCode": self.code, "message": self.why} if self.code is not None else None
        state = {"terminated": ended} if ended else {"running": {}}
        required = {"image": "x", "imageID": "x", "ready": True, "restartCount": 0}
        container = {"name": "driver", "state": state, **required}
        status: dict[str, Any] = {"phase": "Running", "containerStatuses": [container]}
        if not self.has_room.is_set():
            told = {"type": "PodScheduled", "status": "False", "message": "too full"}
            status = {"phase": "Pending", "conditions": [told]}
        labels = {"batch.kubernetes.io/job-name": (self.jobs or ["gone"])[0]}
        return {"metadata": {"name": self.pod, "labels": labels}, "status": status}


@contextmanager
def serving(kube: Kube) -> Generator[str]:
    """Its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(size)) if size else None
            url = urlsplit(self.path)
            if url.path.endswith("/log"):
                return self.log(parse_qs(url.query))
            if self.command == "GET" and kube.puts_off(self.path):
                late = "Timeout: Too large resource version: 2, current: 1"
                return self.reply(504, {"message": late})
            if "watch" in parse_qs(url.query):
                return self.watch(url.path, parse_qs(url.query))
            status, found = kube.answer(self.command, url.path, body)
            if "items" in found:
                kube.listed.append(unquote(self.path))
            self.reply(status, found)

        def reply(self, status: int, found: Any) -> None:
            text = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def watch(self, path: str, query: dict[str, list[str]]) -> None:
            """What there is, then a pod that gets room, or the Job that goes."""
            kube.watched.append(query)
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.tell("ADDED", kube.answer("GET", path, None)[1]["items"])
            if path.endswith("/jobs"):
                self.tell("DELETED", [{"metadata": {"name": name}} for name in kube.deleted])
            elif not kube.has_room.is_set() and kube.has_room.wait(int(query["timeoutSeconds"][0])):
                self.tell("MODIFIED", kube.answer("GET", path, None)[1]["items"])
            self.wfile.write(b"0\r\n\r\n")

        def tell(self, kind: str, objects: list[Any]) -> None:
            for one in objects:
                text = json.dumps({"type": kind, "object": one}).encode() + b"\n"
                self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text))
                self.wfile.flush()

        def log(self, query: dict[str, list[str]]) -> None:
            assert query["timestamps"] == query["follow"] == ["true"]
            reply = kube.replies.pop(0) if kube.replies else {}
            text = kube.kubelet.read(query.get("sinceTime", [None])[0])
            self.send_response(reply.get("status", 200))
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            text = text[: reply.get("bytes")]
            if text:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text))
            kube.was_read.set()
            if reply.get("follows"):
                kube.ended.wait()
            if "bytes" in reply:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        kube.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
