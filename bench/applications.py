"""Many small applications on a stack that is up, each as `make submit` runs it, in one process.

Each is accounted for: by its exit code, by its result, and by what is kept of what it used.
"""

from __future__ import annotations

import math
import os
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from bench.machine import busy
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

_RESULT, _USAGE = b"Pi is roughly", b"usage: "
_EXECUTOR = SparkPodSpec(cores=1, memory_mib=512, overhead_mib=384, cpu_request="200m")
# Seconds for those that run when the time is over, and until all that is left is gone.
_ENDS_WITHIN, _GONE_WITHIN = 60.0, 60.0
_TOLD_EVERY = 10.0
_LEFT = ("pod", "config_map", "service")


@dataclass(frozen=True)
class Ran:
    """One application. started, ended: seconds since Kubernetes was asked; None: it never ran.

    code: the driver's. is_right: whether it printed its result. why: what was said last. is_cut:
    whether it had not ended when the time was over. asked: when Kubernetes was, time.monotonic().
    usage: what the driver said of it.
    """

    started: float | None
    ended: float
    code: int | None
    is_right: bool
    why: str
    is_cut: bool = False
    asked: float = 0.0
    usage: str = ""

    @property
    def is_well(self) -> bool:
        """Whether it ended well, with its result."""
        return self.code == 0 and self.is_right


@dataclass(frozen=True)
class Measured:
    """Applications of one master: so many were asked for, of which at most so many at once.

    room: how many have room at once. ran: those that were begun. seconds: until the last that ended
    well was gone. used: of how many it is kept what they used. left: what is there afterwards. cpu,
    machine: seconds of this process, and of a local stack's machine, for each that ended well.
    """

    master: str
    asked: int
    at_once: int
    room: int
    ran: list[Ran]
    seconds: float
    cores: int
    used: int
    left: list[str]
    cpu: float
    machine: float | None

    @property
    def right(self) -> int:
        """How many ended well."""
        return sum(one.is_well for one in self.ran)

    @property
    def cut(self) -> int:
        """How many had not ended when the time was over."""
        return sum(one.is_cut for one in self.ran)

    @property
    def is_whole(self) -> bool:
        """True where every one that had the time is accounted for, and nothing is left."""
        return self.right == len(self.ran) - self.cut <= self.used and not self.left

    @property
    def a_minute(self) -> float:
        """How many were done."""
        return 60 * self.right / self.seconds if self.right else 0.0


class _Noted(Run):
    """A run that is noted and not shown. end: when the time is over, by time.monotonic()."""

    def __init__(self, api: client.ApiClient, name: str, resolved: Resolved, end: float) -> None:
        super().__init__(api, name, manifests(resolved, run=name), "bench", out=self._take)
        self._text, self._end = bytearray(), end
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

    def _keep(self, run: str, code: int | None, found: Any) -> None:
        if time.monotonic() < self._end:  # the bench's own end is no reason to keep
            super()._keep(run, code, found)

    def noted(self) -> Ran | None:
        """All of it; None where the time was over before it began."""
        self._asked, code = time.monotonic(), None
        if self._asked >= self._end:
            return None
        try:
            code = self.run(self._end - self._asked)
        except Exception as error:  # whatever it is, it is one that is not right
            self._said = f"{type(error).__name__}: {error}"
        over, is_right = time.monotonic(), _RESULT in self._text
        is_cut = over >= self._end and not (code == 0 and is_right)
        times = (self._started, over - self._asked)
        told = [one for one in self._text.splitlines() if one.startswith(_USAGE)]
        usage = told[-1].decode(errors="replace") if told else "usage: nothing was said"
        return Ran(*times, code, is_right, self._said, is_cut, self._asked, usage)


def measure(stack: Stack, master: str, count: int, at_once: int, limit: float) -> Measured:
    """Runs so many, at most so many at once, for so many seconds.

    Natively at most as many as have room: drivers that wait for room keep it from executors.
    """
    api, place = connect(stack, None)
    name = f"bench-{secrets.token_hex(3)}"
    resolved = resolve(application(name, master), place)
    most = room(api, resolved, place)
    if most < 1:
        raise ConsoleError("the stack has no room for even one application")
    runs_at_once = min(at_once, most) if master == KUBERNETES else at_once
    what = f"{master}, {at_once} at once (room for {most})"
    say(f"{what}: {count} applications, for at most {limit:.0f} s")
    before, at, cpu, machine = there(api, place.namespace), time.time(), time.process_time(), busy()
    began = time.monotonic()
    runs = [_Noted(api, f"{name}-{index}", resolved, began + limit) for index in range(count)]
    with ThreadPoolExecutor(runs_at_once) as pool:
        futures = [pool.submit(one.noted) for one in runs]
        try:
            while wait(futures, _TOLD_EVERY).not_done:
                say(f"{what}: {progress(futures)}, {time.monotonic() - began:.0f} s")
                if time.monotonic() > began + limit + _ENDS_WITHIN:
                    take_away(api, place.namespace, name)
        except BaseException:
            say("those that run come to their end, and no others begin")
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    ran = [found for one in futures if (found := one.result())]
    right = sum(one.is_well for one in ran)
    each = max(1, right)
    cpu, machine = (time.process_time() - cpu) / each, (busy() - machine) / each
    used = on_volume(api, "bill.sh", str(int(at)), folder=FOLDER)
    cores = os.cpu_count() or 1
    if not stack.is_local:
        nodes = rooms(listed(api, "list_node"), [], (), one_worker_each=False)
        cores = int(sum(one.free.has.cores for one in nodes))
    ends = [one.asked + one.ended - began for one in ran if one.is_well]
    return Measured(
        *(master, count, at_once, most, ran, max(ends, default=0.0), cores),
        used=sum(one["name"] == name for one in bill.read(used, workers_are_spot=False)[1]),
        left=left_over(api, place.namespace, before),
        cpu=cpu,
        machine=machine if stack.is_local else None,
    )


def progress(futures: Sequence[Future[Ran | None]]) -> str:
    """How far they are."""
    ended = [found for one in futures if one.done() and (found := one.result())]
    right = sum(one.is_well for one in ended)
    under_way = sum(one.running() for one in futures)
    return f"{len(ended)} of {len(futures)} ended, {right} right, {under_way} under way"


def take_away(api: client.ApiClient, namespace: str, name: str) -> None:
    """Ends those that run, and do not end by themselves."""
    jobs: Any = client.BatchV1Api(api)
    jobs.delete_collection_namespaced_job(
        namespace, label_selector=f"app={name}", propagation_policy="Background"
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


def there(api: client.ApiClient, namespace: str) -> set[str]:
    """The names of all that applications are made of, with their kinds."""
    core, batch = client.CoreV1Api(api), client.BatchV1Api(api)
    calls = {kind: getattr(core, f"list_namespaced_{kind}") for kind in _LEFT}
    calls["job"] = batch.list_namespaced_job
    return {
        f"{kind}/{one.metadata.name}"
        for kind, call in calls.items()
        for one in call(namespace).items
    }


def left_over(api: client.ApiClient, namespace: str, before: set[str]) -> list[str]:
    """What is there that was not, once that which is going is gone."""
    end = time.monotonic() + _GONE_WITHIN
    while True:
        left = sorted(there(api, namespace) - before)
        if not left or time.monotonic() > end:
            return left
        time.sleep(1)


def at(share: float, values: Sequence[float]) -> float:
    """The value that so large a share of them does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def table(measured: Sequence[Measured]) -> str:
    """Markdown: a row for each master and number at once."""
    lines = [
        "| master | at once | room for | ran | right | cut short | a minute | a minute and core"
        " | start: median, 99 % (s) | whole: median, 99 % (s) | usage kept | left over"
        " | our CPU for each (s) | the machine's (s) |",
        f"|{'---|' * 14}",
    ]
    for one in measured:
        started = [ran.started for ran in one.ran if ran.started is not None]
        spans = (started, [ran.ended for ran in one.ran if ran.is_well])
        times = [f"{at(0.5, span):.1f}, {at(0.99, span):.1f}" if span else "" for span in spans]
        cells: list[Any] = [one.master, one.at_once, one.room, f"{len(one.ran)} of {one.asked}"]
        cells += [one.right, one.cut, f"{one.a_minute:.1f}", f"{one.a_minute / one.cores:.1f}"]
        cells += [*times, one.used, len(one.left), f"{one.cpu:.2f}"]
        cells += ["" if one.machine is None else f"{one.machine:.0f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def of_both(stack: Stack, count: int, at_once: Sequence[int], limit: float) -> list[Measured]:
    """Natively, then on the stack's workers, with each number at once.

    count: of each; where more are to be at once it is so many. limit: seconds for all; each has its
    share of what is left.
    """
    end, found = time.monotonic() + limit, []
    rows = [(master, number) for master in (KUBERNETES, STANDALONE) for number in at_once]
    for done, (master, number) in enumerate(rows):
        last = found[-1] if found else None
        if last and last.master == master == KUBERNETES and last.room <= last.at_once:
            say(f"{master}, {number} at once would be as {last.at_once}: room for {last.room}")
            continue
        share = (end - time.monotonic()) / (len(rows) - done)
        one = measure(stack, master, max(count, number), number, share)
        for ran in one.ran:
            if not ran.is_well and not ran.is_cut:
                say(f"{master}: code {ran.code}, {ran.why}")
            if ran.is_well and not ran.usage.startswith("usage: {"):
                say(f"{master}: {ran.usage}")
        for name in one.left:
            say(f"{master}: left over: {name}")
        say(f"{master}: {one.right} of {len(one.ran)} right, {one.a_minute:.1f} a minute")
        found.append(one)
    return found
