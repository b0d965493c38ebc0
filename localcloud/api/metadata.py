"""The instance metadata service of the machines: IMDSv2, as far as a node asks.

    PUT /latest/api/token                              a token, which all others need
    GET /latest/meta-data/instance-id
    GET /latest/meta-data/spot/instance-action         404, until the instance is told to go

Machines ask at 169.254.169.254, which the host's table leads here (rules.py). Answers live for one
hop, as those of instances with a hop limit of 1, so that a pod gets none.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from localcloud.layout import HOST_ADDRESS, METADATA_PORT

TOKEN = "/latest/api/token"
ROOT = "/latest/meta-data/"
#: A token's header, and the one that says how long it is to last, in seconds.
HEADER, LASTS = "HTTP_X_AWS_EC2_METADATA_TOKEN", "HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS"
HOPS = 1


class Notices:
    """Which instances were told that they are taken away, and when that is."""

    def __init__(self, terminate: Callable[[str], None]) -> None:
        self._terminate = terminate
        self._known: dict[str, str] = {}

    def give(self, instance_id: str, seconds: float) -> None:
        """Tells one, and takes it away so many seconds later (AWS: 120)."""
        ends = datetime.now(UTC) + timedelta(seconds=seconds)
        action = {"action": "terminate", "time": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
        self._known[instance_id] = json.dumps(action)
        timer = threading.Timer(seconds, self._terminate, [instance_id])
        timer.daemon = True
        timer.start()

    def of(self, instance_id: str) -> str | None:
        """The answer to `spot/instance-action`."""
        return self._known.get(instance_id)


class Metadata:
    """The WSGI application. instance_at: the id of the instance that has a private address."""

    def __init__(self, instance_at: Callable[[str], str | None], notices: Notices) -> None:
        self._instance_at = instance_at
        self._notices = notices
        self._tokens: dict[str, str] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        status, text = self._answer(environ)
        start_response(status, [("Content-Type", "text/plain")])
        return [text.encode()]

    def _answer(self, environ: dict[str, Any]) -> tuple[str, str]:
        path, asks = environ["PATH_INFO"], environ["REMOTE_ADDR"]
        instance = self._instance_at(asks)
        if instance is None:
            return "403 Forbidden", ""
        if path == TOKEN:
            if environ["REQUEST_METHOD"] != "PUT" or not environ.get(LASTS, "").isdecimal():
                return "400 Bad Request", ""
            token = secrets.token_urlsafe(40)
            self._tokens[token] = instance
            return "200 OK", token
        if self._tokens.get(environ.get(HEADER, "")) != instance:
            return "401 Unauthorized", ""
        known = {"instance-id": instance, "spot/instance-action": self._notices.of(instance)}
        found = known.get(path.removeprefix(ROOT))
        return ("404 Not Found", "") if found is None else ("200 OK", found)


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Machines ask every few seconds."""


def serve(application: Metadata) -> None:
    """Serves it in a thread, until the process ends."""
    server = make_server(
        HOST_ADDRESS, METADATA_PORT, application, threaded=True, request_handler=_Quiet
    )
    server.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOPS)
    threading.Thread(target=server.serve_forever, daemon=True).start()
