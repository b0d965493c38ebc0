#!/usr/bin/env python3
"""Submits an application in cluster mode, shows its driver's log, and ends as its driver ended.

    cluster_driver.py TEMPLATE DRIVER -- spark-submit ARGUMENTS...

spark-submit itself returns 0 even where the driver fails. TEMPLATE is the driver's pod template;
the pod that comes of it, DRIVER, gets this pod as its owner, so that Kubernetes takes it away with
this one, and the same POD and JOB in its environment. UPLOADS, if set, is a folder for what
spark-submit uploads; it goes when the driver ended.

Runs in a pod: POD and POD_UID are its name and uid, JOB is its Job's name, and the mounted account
may read pods and their logs and delete pods. Exit code: the driver's; spark-submit's where that
failed; 1 where the pod of the driver has none, with the reason on stderr. Only the standard
library, Python 3.10.
"""

from __future__ import annotations

import argparse
import copy
import functools
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import last_words
import why

ACCOUNT = Path(os.environ.get("ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))

#: Seconds between two looks at a pod that has not started or not ended yet.
LOOK_EVERY = 1.0

#: Seconds without a byte of the log after which it is asked for anew: the connection may be gone.
QUIET_WITHIN = 60.0

#: How often the end of a log is tried to read, once its container has ended.
LAST_TRIES = 10

#: Seconds that the API may be away, as when the control plane starts anew.
BACK_WITHIN = 120.0


class Stopped(BaseException):
    """SIGTERM: this pod is to go."""


def say(text: str) -> None:
    """One line on stderr."""
    print(f"cluster mode: {text}", file=sys.stderr, flush=True)


class Api:
    """The Kubernetes API, as this pod's account may use it."""

    def __init__(self, server: str) -> None:
        self.address = urlsplit(server)
        self.namespace = (ACCOUNT / "namespace").read_text().strip()

    def request(
        self, method: str, path: str, timeout: float = 300, **query: str
    ) -> http.client.HTTPResponse:
        """The answer, with its body still to be read."""
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        connection = http.client.HTTPSConnection(
            self.address.hostname or "", self.address.port, context=context, timeout=timeout
        )
        # Read anew each time: tokens are renewed.
        token = (ACCOUNT / "token").read_text().strip()
        pods = f"/api/v1/namespaces/{quote(self.namespace)}/pods/"
        connection.request(
            method,
            f"{pods}{path}?{urlencode(query)}",
            headers={"Authorization": f"Bearer {token}"},
        )
        return connection.getresponse()

    def pod(self, name: str) -> dict[str, Any] | None:
        """A pod; None where there is none (any more)."""
        body = self._ask("GET", name)
        return None if body is None else json.loads(body)

    def _ask(self, method: str, name: str) -> bytes | None:
        """What is said of a pod; None where there is none.

        Waits for an API that is away, or too busy, for a while.
        """
        end = time.monotonic() + BACK_WITHIN
        while True:
            try:
                response = self.request(method, name)
                body = response.read()
                if response.status == 404:
                    return None
                if response.status < 300:
                    return body
                answer = f"the API answers {response.status}: {body[:300].decode()}"
                if response.status < 500 and response.status != 429:
                    sys.exit(f"cluster mode: {answer}")
                raise OSError(answer)
            except (OSError, http.client.HTTPException):
                if time.monotonic() >= end:
                    raise
            time.sleep(LOOK_EVERY)

    def log(self, name: str, container: str, since: str | None) -> Iterator[bytes]:
        """The pieces of a container's log, each line with its time, until the reply ends."""
        query = {"container": container, "follow": "true", "timestamps": "true"}
        if since is not None:
            query["sinceTime"] = since
        try:
            response = self.request("GET", f"{name}/log", QUIET_WITHIN, **query)
            if response.status != 200:
                raise LogError(f"the API answers {response.status} for the driver's log")
            while piece := response.read1(65536):
                yield piece
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException) as error:
            raise LogError(f"the driver's log broke off: {error}") from error

    def delete(self, name: str) -> None:
        """Delete a pod, whether there is one or not."""
        self._ask("DELETE", name)


class LogError(Exception):
    """A log can't be read, for now; the message is one line."""


_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
_SECOND = 10**9


@functools.lru_cache(maxsize=8)
def _seconds(text: bytes, zone: bytes) -> int:
    zone = b"+00:00" if zone == b"Z" else zone
    return round(datetime.fromisoformat((text + zone).decode()).timestamp())


def _time(stamp: re.Match[bytes]) -> int:
    """In nanoseconds."""
    text, fraction, zone = stamp.groups()
    return _seconds(text, zone) * _SECOND + int((fraction or b"").ljust(9, b"0"))


class Log:
    """A container's log in one piece, out of replies that overlap: nothing twice, nothing lost.

    A reply ends early when the kubelet turns the file over (each 10 MiB), when the API server or a
    proxy has had enough of it, or the network. The next one is asked for from a second before the
    last line, since the API counts in seconds, and lines of stdout and stderr may have changed
    places; what was shown of it is left out, by the lines' times. show: takes the container's
    bytes as they come, in whatever encoding, lines of any length; tell: a line that is not its.
    """

    def __init__(self, show: Callable[[bytes], object], tell: Callable[[str], None]) -> None:
        self.show = show
        self.tell = tell
        self.last: int | None = None  # the time of the last line, in ns
        self.part = 0  # bytes shown of it
        self.is_open = False  # its end was not seen
        self.shown: Counter[int] = Counter()  # lines by their times, back to `since`

    @property
    def since(self) -> str | None:
        """The moment from which the log has to be read to go on; None for all of it."""
        if self.last is None:
            return None
        moment = datetime.fromtimestamp(self.last // _SECOND - 1, timezone.utc)
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"

    def join(self, pieces: Iterable[bytes]) -> int:
        """Shows what is new in a reply; how many bytes. LogError: some were not the container's."""
        new = 0
        known, before, met = Counter(self.shown), self.last, self.last is None
        head, odd = b"", b""
        skip: float | None = None  # bytes of the line to leave out; None while its time is read
        for piece in pieces:
            fresh = []
            for part in piece.splitlines(keepends=True):
                ends = part.endswith(b"\n")
                if skip is None:
                    head += part
                    stamp = _STAMP.match(head)
                    if stamp is None:
                        odd, head = (head, b"") if ends else (odd, head)
                        continue
                    at, part, head = _time(stamp), head[stamp.end() :], b""
                    skip = float("inf")
                    if known[at]:
                        known[at] -= 1
                        met = True
                        if self.is_open and at == self.last and not known[at]:
                            skip = self.part
                    # Before the first that is known: the rest of a long line from before `since`.
                    elif met or before is None or at > before:
                        if not met:
                            self.tell("the log was turned over meanwhile; lines may be missing")
                        met, skip = True, 0
                        self._begin(at)
                if skip < len(part):
                    fresh.append(part[int(skip) :])
                    self.part += len(fresh[-1])
                    self.is_open = not ends
                skip = None if ends else max(0, skip - len(part))
            if fresh:
                self.show(b"".join(fresh))
                new += sum(map(len, fresh))
        # The kubelet's own words have no time; a time that was cut off is no words.
        if odd := odd or (b"" if head[:4].isdigit() else head):
            raise LogError(odd.decode(errors="replace").strip())
        return new

    def _begin(self, at: int) -> None:
        """A line that was never shown."""
        oldest = (at // _SECOND - 1) * _SECOND
        if self.last is not None and self.last // _SECOND != at // _SECOND:
            self.shown = Counter({one: n for one, n in self.shown.items() if one >= oldest})
        self.shown[at] += 1
        self.last, self.part, self.is_open = at, 0, True


def follow_log(
    log: Log,
    read: Callable[[str | None], Iterable[bytes]],
    ended: Callable[[], int | None],
) -> int:
    """Show a container's log until it has ended; the exit code that `ended` tells then.

    read: the pieces of the log from a moment on; raises LogError where there are none.
    """
    said, code, left = None, None, LAST_TRIES
    while True:
        # After its end is known the log is read until nothing new comes: then it was all.
        code = ended() if code is None else code
        try:
            if log.join(read(log.since)):
                continue
            left = 0
        except LogError as error:
            left = left - 1 if code is not None else LAST_TRIES
            if str(error) != said:
                log.tell(str(error))
                said = str(error)
        if code is not None and left <= 0:
            return code
        time.sleep(LOOK_EVERY)


def with_owner(template: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """A pod template whose pods belong to the pod of that environment."""
    name, uid = environment["POD"], environment["POD_UID"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
    made = copy.deepcopy(dict(template))
    made["metadata"]["ownerReferences"] = [owner]
    known = [{"name": key, "value": environment[key]} for key in ("POD", "JOB")]
    made["spec"]["containers"][0].setdefault("env", []).extend(known)
    return made


def exit_code(pod: Mapping[str, Any] | None, container: str) -> int | None:
    """The driver's; None while it runs. 1, with a line that says why, where it left none."""
    if pod is None:
        say("the driver's pod is gone")
        return 1
    for status in pod["status"].get("containerStatuses", []):
        ended = status["state"].get("terminated")
        if status["name"] == container and ended:
            if ended["exitCode"] != 0:
                # What the driver's pod tells of its end is this one's reason, too.
                tell(pod, ended["exitCode"], ended.get("message", ""))
            return ended["exitCode"]
    if pod["status"]["phase"] == "Failed":
        tell(pod, None, "")
        return 1
    return None


def tell(pod: Mapping[str, Any], code: int | None, told: str) -> None:
    """Why the driver failed, on stderr and in this pod's status."""
    found = why.cause({"pods": [pod], "code": code, "told": told})
    if found["line"] != told.strip():
        say(found["line"])
    last_words.tell(found["line"])


def started(api: Api, name: str) -> bool:
    """Wait until a pod runs, or has run; false where there is none (any more)."""
    said = None
    while (pod := api.pod(name)) is not None:
        if pod["status"]["phase"] != "Pending":
            return True
        waits = why.waits_for(pod)
        if waits and waits["line"] != said:
            said = waits["line"]
            say(f"the driver's pod waits: {said}")
        time.sleep(LOOK_EVERY)
    return False


def follow(api: Api, name: str, container: str) -> int:
    """Show the driver's log until it ends; its exit code."""
    if not started(api, name):
        say("the driver's pod is gone")
        return 1

    def show(piece: bytes) -> None:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    return follow_log(
        Log(show, say),
        lambda since: api.log(name, container, since),
        lambda: exit_code(api.pod(name), container),
    )


def stop(*_: object) -> None:
    """Signal handler."""
    raise Stopped


def main(argv: Sequence[str] | None = None) -> int:
    """The program; the exit code."""
    parser = argparse.ArgumentParser(prog="cluster_driver.py")
    parser.add_argument("template", type=Path)
    parser.add_argument("driver", help="the name of the driver's pod")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, stop)
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    api = Api(f"https://{f'[{host}]' if ':' in host else host}:{port}")
    template = json.loads(args.template.read_text())
    container = template["spec"]["containers"][0]["name"]
    owned = with_owner(template, os.environ)
    uploads = os.environ.get("UPLOADS")
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(owned, file)
            file.flush()
            submit, *rest = args.command
            conf = f"spark.kubernetes.driver.podTemplateFile={file.name}"
            done = subprocess.run([submit, "--conf", conf, *rest])
        if done.returncode != 0:
            say("spark-submit failed, so there is no driver")
            return done.returncode if done.returncode > 0 else 128 - done.returncode
        return follow(api, args.driver, container)
    except Stopped:
        api.delete(args.driver)
        say("stopped, and the driver with it")
        return 143
    finally:
        if uploads:
            shutil.rmtree(uploads, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
