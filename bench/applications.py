"""Many small applications on a stack that is up, each as `make submit` runs it, in one process.

Each is accounted for: by its exit code, by its result, and by what is kept of what it used.
"""

from __future__ import annotations

import math
import os
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from bench.words import say
from console import bill
from console.run import Run
from console.stack import ConsoleError, Stack
from console.verbs.submit import connect, listed
from console.volume import on_volume
from submission.application import Application, SparkPodSpec
from submission.growth import rooms
from submission.manifests import manifests
from submission.measuring import FOLDER
from submission.place import KUBERNETES, STANDALONE, Place
from submission.resolve import Resolved, resolve
from submission.sizes import NOTHING, Pod

_RESULT = b"Pi is roughly"
_EXECUTOR = SparkPodSpec(cores=1, memory_mib=512, overhead_mib=384, cpu_request="200m")
# Seconds that a driver may take until it runs, and all that is left until it is gone.
_STARTS_WITHIN, _GONE_WITHIN = 300.0, 60.0
_LEFT = ("pod", "config_map", "service")


@dataclass(frozen=True)
class Ran:
    """One application. started, ended: seconds since Kubernetes was asked; None: it never ran.

    code: the driver's. is_right: whether it printed its result. why: what was said last.
    """

    started: float | None
    ended: float
    code: int | None
    is_right: bool
    why: str


@dataclass(frozen=True)
class Measured:
    """A kind of applications: of one master, so many at once, done in so many seconds.

    used: of how many it is kept what they used. left: what is there afterwards. cpu: seconds of
    this process for each of them.
    """

    master: str
    at_once: int
    ran: list[Ran]
    seconds: float
    cores: int
    used: int
    left: int
    cpu: float

    @property
    def right(self) -> int:
        """How many ended well, with their result."""
        return sum(one.code == 0 and one.is_right for one in self.ran)

    @property
    def is_whole(self) -> bool:
        """True where every one is accounted for, and nothing is left."""
        return self.right == self.used == len(self.ran) and self.left == 0

    @property
    def a_minute(self) -> float:
        """How many were done."""
        return 60 * self.right / self.seconds


class _Noted(Run):
    """A run that is noted and not shown."""

    def __init__(self, api: client.ApiClient, name: str, resolved: Resolved) -> None:
        super().__init__(api, name, manifests(resolved, run=name), "bench", out=self._take)
        self._text = bytearray()
        self._asked, self._started, self._said = 0.0, None, ""

    def _take(self, piece: bytes) -> None:
        self._text += piece

    def say(self, text: str) -> None:
        """Keeps the last line."""
        self._said = text

    def follow(self, pod: str) -> int:
        """The same, from when its driver was seen to run."""
        self._started = time.monotonic() - self._asked
        return super().follow(pod)

    def noted(self) -> Ran:
        """All of it."""
        self._asked, code = time.monotonic(), None
        try:
            code = self.run(_STARTS_WITHIN)
        except Exception as error:  # whatever it is, it is one that is not right
            self._said = f"{type(error).__name__}: {error}"
        ended = time.monotonic() - self._asked
        return Ran(self._started, ended, code, _RESULT in self._text, self._said)


def measure(stack: Stack, master: str, count: int, at_once: int) -> Measured:
    """Runs so many, at most so many at once, as far as they have room."""
    api, place = connect(stack, None)
    name = f"bench-{secrets.token_hex(3)}"
    resolved = resolve(application(name, master), place)
    at_once = min(at_once, room(api, resolved, place))
    if at_once < 1:
        raise ConsoleError("the stack has no room for even one application")
    say(f"{count} applications, {master}, {at_once} at once")
    began, at, cpu = time.monotonic(), time.time(), time.process_time()
    with ThreadPoolExecutor(at_once) as pool:
        runs = [_Noted(api, f"{name}-{number}", resolved) for number in range(count)]
        try:
            ran = list(pool.map(_Noted.noted, runs))
        except BaseException:
            say("those that run come to their end, and no others begin")
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    used = on_volume(api, "bill.sh", str(int(at)), folder=FOLDER)
    cores = os.cpu_count() or 1
    if not stack.is_local:
        nodes = rooms(listed(api, "list_node"), [], (), one_worker_each=False)
        cores = int(sum(one.free.has.cores for one in nodes))
    return Measured(
        *(master, at_once, ran, seconds, cores),
        used=sum(one["name"] == name for one in bill.read(used, workers_are_spot=False)[1]),
        left=left_over(api, place.namespace, name),
        cpu=cpu / count,
    )


def application(name: str, master: str) -> Application:
    """A small one: pi by a thousand points, with one executor of one core."""
    return Application(
        name, "spark_jobs/pi.py", ("1000",), master=master, instances=1, executor=_EXECUTOR
    )


def room(api: client.ApiClient, resolved: Resolved, place: Place) -> int:
    """How many have room at once, with what is there."""
    executor = resolved.executor_pod
    drivers = [pod.amount for pod in resolved.drivers]
    each = sum(drivers, NOTHING if executor is None else executor.amount)
    found = rooms(
        *(listed(api, call) for call in ("list_node", "list_pod_for_all_namespaces")),
        (),
        one_worker_each=False,
    )
    most = sum(one.free.holds(Pod("one", each)) for one in found)
    if executor is not None:
        return most
    asks = resolved.executor
    worker = min(place.worker_cores, place.worker_memory_mib // asks.memory_mib)
    return min(most, place.workers * worker)


def left_over(api: client.ApiClient, namespace: str, name: str) -> int:
    """How many objects of theirs are there, once those that are going are gone."""
    core, batch = client.CoreV1Api(api), client.BatchV1Api(api)
    calls = [getattr(core, f"list_namespaced_{kind}") for kind in _LEFT]
    calls.append(batch.list_namespaced_job)
    end = time.monotonic() + _GONE_WITHIN
    while True:
        left = sum(len(call(namespace, label_selector=f"app={name}").items) for call in calls)
        if not left or time.monotonic() > end:
            return left
        time.sleep(1)


def at(share: float, values: Sequence[float]) -> float:
    """The value that so large a share of them does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def table(measured: Sequence[Measured]) -> str:
    """Markdown: a row a master."""
    lines = [
        "| master | applications | at once | right | a minute | a minute and core | start: median,"
        " 99 % (s) | whole: median, 99 % (s) | usage kept | left over | our CPU for each (s) |",
        f"|{'---|' * 11}",
    ]
    for one in measured:
        started = [ran.started for ran in one.ran if ran.started is not None]
        spans = (started, [ran.ended for ran in one.ran])
        times = [f"{at(0.5, span):.1f}, {at(0.99, span):.1f}" if span else "" for span in spans]
        cells: list[Any] = [one.master, len(one.ran), one.at_once, one.right]
        cells += [f"{one.a_minute:.1f}", f"{one.a_minute / one.cores:.1f}", *times]
        cells += [one.used, one.left, f"{one.cpu:.2f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def of_both(stack: Stack, count: int, at_once: int) -> list[Measured]:
    """Natively, then on the stack's workers."""
    found = []
    for master in (KUBERNETES, STANDALONE):
        one = measure(stack, master, count, at_once)
        for ran in one.ran:
            if ran.code != 0 or not ran.is_right:
                say(f"{master}: code {ran.code}, {ran.why}")
        say(f"{master}: {one.right} of {count} right, {one.a_minute:.1f} a minute")
        found.append(one)
    return found
