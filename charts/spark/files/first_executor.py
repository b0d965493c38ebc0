#!/usr/bin/env python3
"""Runs a driver, and ends it where none of its executors starts.

    first_executor.py --within SECONDS -- COMMAND...

Without this a driver whose executors find no room waits for ever. (Those that Kubernetes refuses
to make, for a quota, Spark counts as failed; it gives up after spark.executor.maxNumFailures.) The
time counts from the first sign that pods are wanted: one that is pending, or one that is refused.
Once an executor has run, the command is left alone.

Runs in a pod: POD is its name, with which the names of its executors (and, in cluster mode, of its
driver) begin; the mounted account may list pods. Exit code: the command's; 1 where it was ended,
with the scheduler's, the kubelet's or the quota's own reason on stderr. Only the standard library,
Python 3.10.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import last_words
import why

ACCOUNT = Path(os.environ.get("ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))

#: Seconds between two looks at the pods: every driver that has no executor yet looks.
LOOK_EVERY = 5.0

#: Seconds that the command has to end by itself when it is told to.
ENDS_WITHIN = 30.0

#: Bytes that are kept of a line of the log; some have no end.
LONGEST = 2**16

#: What Kubernetes says of a pod that it does not take, in a line of Spark's log.
REFUSED = b" is forbidden: "


def say(text: str) -> None:
    """One line on stderr."""
    print(f"first executor: {text}", file=sys.stderr, flush=True)


def say_why(text: str) -> None:
    """The line that tells why the command came to nothing, in the pod's status as well."""
    say(text)
    last_words.tell(text)


Pods = list[dict[str, Any]]


def list_pods() -> Pods:
    """All pods of this namespace that Spark made."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    namespace = (ACCOUNT / "namespace").read_text().strip()
    # Read anew each time: tokens are renewed.
    token = (ACCOUNT / "token").read_text().strip()
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    request = urllib.request.Request(
        f"{server}/api/v1/namespaces/{namespace}/pods?labelSelector=spark-role",
        headers={"Authorization": f"Bearer {token}"},
    )
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=30, context=context) as response:
        return json.load(response)["items"]


class Watch:
    """Looks for the first executor. `refusal` is the last refusal in the command's log."""

    def __init__(self, pod: str, within: float, look: Callable[[], Pods] = list_pods) -> None:
        self.pod = pod
        self.within = within
        self.look = look
        self.refusal: str | None = None
        self.wanted_since: float | None = None
        self.reason: str | None = None

    def started(self, now: float) -> bool | None:
        """True: an executor runs, or has run. False: none has in time. None: not yet."""
        try:
            mine = [pod for pod in self.look() if self._is_mine(pod)]
        except OSError as error:
            say(f"the API does not answer: {error}")
            return None
        executors = [pod for pod in mine if _role(pod) == "executor"]
        if any(pod["status"]["phase"] != "Pending" for pod in executors):
            return True
        pending = [pod for pod in mine if pod["status"]["phase"] == "Pending"]
        if pending:
            waits = why.waits_for(pending[0])
            name = pending[0]["metadata"]["name"]
            self.reason = waits["line"] if waits else f"{name} waits, Kubernetes tells not for what"
        elif self.refusal is not None:
            self.reason = why.refused(self.refusal)["line"]
        else:
            self.wanted_since = None  # the program has not asked for any yet
            return None
        if self.wanted_since is None:
            self.wanted_since = now
        return False if now - self.wanted_since >= self.within else None

    def _is_mine(self, pod: dict[str, Any]) -> bool:
        return pod["metadata"]["name"].startswith(f"{self.pod}-")


def _role(pod: dict[str, Any]) -> str | None:
    return pod["metadata"].get("labels", {}).get("spark-role")


def pump(source: BufferedReader, target: BinaryIO, watch: Watch) -> None:
    """Pass the command's log on as it comes, and keep what it says of pods that are refused."""
    line = b""
    while piece := source.read1(2**16):
        target.write(piece)
        target.flush()
        *lines, line = (line + piece).split(b"\n")
        line = line[-LONGEST:]
        for refused in (line for line in lines if REFUSED in line):
            text = refused.decode(errors="replace").strip()
            # Spark's client puts Kubernetes' words behind its own.
            words = text.partition("Message: ")[2] or text
            watch.refusal = words.partition(" Received status: ")[0]


def ended(process: subprocess.Popen[bytes], within: float) -> bool:
    """Whether the command has ended, or ends within some seconds."""
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        return False
    return True


def run(command: Sequence[str], watch: Watch) -> int:
    """The command's exit code, or 1 where it had to be ended."""
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: process.terminate() if process else early.append(1))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if early:
        process.terminate()
    assert process.stdout and process.stderr
    pumps = [
        threading.Thread(target=pump, args=(source, target, watch), daemon=True)
        for source, target in (
            (process.stdout, sys.stdout.buffer),
            (process.stderr, sys.stderr.buffer),
        )
    ]
    for thread in pumps:
        thread.start()
    started: bool | None = None
    while started is None and not ended(process, LOOK_EVERY):
        started = watch.started(time.monotonic())
    if started is False:
        # Before it ends: measured.py, which may be what is ended, keeps it with what else it knows.
        say_why(f"no executor within {watch.within:.0f} s: {watch.reason}")
        process.terminate()
        if not ended(process, ENDS_WITHIN):
            process.kill()
    code = process.wait()
    for thread in pumps:
        thread.join(5)  # a process of the command's own may hold the pipe open
    if started is False:
        return 1
    if code != 0 and not started and watch.refusal:
        say_why(f"no executor: {why.refused(watch.refusal)['line']}")
    return code if code >= 0 else 128 - code


def main(argv: Sequence[str] | None = None) -> int:
    """The program; the exit code."""
    parser = argparse.ArgumentParser(prog="first_executor.py")
    parser.add_argument("--within", type=float, required=True, metavar="SECONDS")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args(argv)
    return run(args.command, Watch(os.environ["POD"], args.within))


if __name__ == "__main__":
    sys.exit(main())
