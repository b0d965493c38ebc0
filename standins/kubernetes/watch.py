"""Watches of Kubernetes collections: what changes arrives as it happens, without polling."""

from __future__ import annotations

import json
import queue
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from standins.call import StandinError

if TYPE_CHECKING:
    from standins.kubernetes.cluster import Cluster

# The server ends a watch after this long and it is begun again: a lost connection can't go unseen.
_WATCH_SECONDS = 120
_RETRY_SECONDS = 1.0

Objects = dict[str, dict[str, Any]]


class Watch:
    """Several collections under watch at once.

    `selections` is name -> (path of the collection, query such as a labelSelector). After each
    `wait`, `objects[name]` maps the name of each object in that selection to the object. Use it
    as a context manager: its threads end when the block does.
    """

    def __init__(self, cluster: Cluster, selections: dict[str, tuple[str, dict[str, str]]]) -> None:
        self.objects: dict[str, Objects] = {name: {} for name in selections}
        self._cluster = cluster
        self._selections = selections
        self._events: queue.SimpleQueue[tuple[str, Objects]] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._responses: dict[str, Any] = {}

    def __enter__(self) -> Watch:
        for name in self._selections:
            threading.Thread(target=self._run, args=(name,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with self._lock:
            for response in self._responses.values():
                _shut(response)

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for a change and take in all that came; whether anything did."""
        try:
            name, objects = self._events.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return False
        while True:
            self.objects[name] = objects
            try:
                name, objects = self._events.get_nowait()
            except queue.Empty:
                return True

    def _run(self, name: str) -> None:
        """Keep `name` up to date until the watch is closed: list, then follow, again and again."""
        path, query = self._selections[name]
        while not self._closed.is_set():
            try:
                listed = self._cluster.get(path, query)
                objects = {item["metadata"]["name"]: item for item in listed.get("items") or []}
                self._events.put((name, dict(objects)))
                self._follow(name, objects, listed["metadata"]["resourceVersion"])
            except (StandinError, OSError, ValueError):
                # The one who waits has a limit; until then a cluster that is away may come back.
                self._closed.wait(_RETRY_SECONDS)

    def _follow(self, name: str, objects: Objects, version: str) -> None:
        from urllib3 import exceptions

        path, query = self._selections[name]
        follow = {
            **query,
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        began = time.monotonic()
        response = self._cluster.open(path, follow, _WATCH_SECONDS + 10)
        with self._lock:
            self._responses[name] = response
            if self._closed.is_set():
                _shut(response)
        try:
            rest = b""
            while chunk := response.read1(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    if not self._take(name, objects, json.loads(line)):
                        return
        except exceptions.HTTPError:
            pass
        finally:
            with self._lock:
                self._responses.pop(name, None)
            response.close()
        if time.monotonic() - began < _RETRY_SECONDS:
            # Something in between that cuts connections at once must not make this a busy loop.
            self._closed.wait(_RETRY_SECONDS)

    def _take(self, name: str, objects: Objects, event: dict[str, Any]) -> bool:
        """Work one event in; False where the watch is too old and the list must be had anew."""
        if event["type"] == "ERROR":
            return False
        item = event["object"]
        if event["type"] == "DELETED":
            objects.pop(item["metadata"]["name"], None)
        elif event["type"] in ("ADDED", "MODIFIED"):
            objects[item["metadata"]["name"]] = item
        self._events.put((name, dict(objects)))
        return True


def _shut(response: Any) -> None:
    """End a read that another thread is in."""
    # The error of one that ended by itself is of no interest.
    with suppress(OSError, ValueError, RuntimeError):
        response.shutdown()
