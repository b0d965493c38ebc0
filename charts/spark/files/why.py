"""Why an application failed: one cause, from what is known of its pods, its log and its executors.

`cause` is a pure function. measured.py calls it in the driver's pod and leaves the line as that
pod's message, which Pulumi and `make submit` show; cluster_driver.py, first_executor.py and the
console call it for what only Kubernetes knows. Only the standard library, Python 3.10.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any

#: {cause: one of CAUSES, line: what to say, more: lines that say where}.
Cause = dict[str, Any]
#: What is known; each key may be missing.
#:
#: code: the driver's exit code (128 + n or -n: by a signal). log: its last lines. told: its pod's
#: message. executors: [{id, host, ended: Spark's words, oomKills, limitMiB,
#: peakMiB, heapMiB, askedMiB}]. pods, events: the run's, as Kubernetes' API has them, and the
#: workers' pods, where executors are none. job: the Job.
Facts = Mapping[str, Any]
_Look = Callable[[Facts], "Cause | None"]

CAUSES = {
    "done": "it did not fail",
    "running": "it has not ended",
    "limit": "a time limit",
    "memory": "killed for memory, or a heap that is too small",
    "node": "a node that was lost, drained or full",
    "no node": "no node that fits",
    "image": "an image that can't be pulled",
    "refused": "Kubernetes does not make the pod",
    "quota": "a quota",
    "missing": "a class, module or file that is not there",
    "exception": "an exception",
    "signal": "ended from outside",
    "other": "the last that was said",
}
#: Characters of a line that are kept.
LONGEST = 1000
_MIB = 1 << 20

#: Log4j's lines, by the chart's pattern: what Spark does, rather than what its program says.
_LOGGED = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d [A-Z]+ ")
_HEAD = "Traceback (most recent call last):"
_PYTHON_FRAME = re.compile(r'\s+File "([^"]+)", line (\d+)(?:, in (.+))?')
_JAVA_FRAME = re.compile(r"\s+at (?:\S+/)?([\w.$<>]+)\(([^()]*)\)")
_NOT_THE_USERS = (
    *("/pyspark", "/py4j", "/lib/python", "/site-packages/", "/dist-packages/", "<frozen "),
    "<string>",
)
_NOT_THE_USERS_JAVA = r"(java|javax|jdk|sun|scala|org\.apache|py4j|org\.spark_project)\."
_IS_MISSING = re.compile(
    r"FileNotFound|NoSuchFile|PATH_NOT_FOUND|[Pp]ath does not exist|can't open file"
    r"|No such file or directory|ClassNotFound|NoClassDefFound|Failed to load class"
    r"|ModuleNotFoundError|ImportError"
)
#: How a failure looks that comes of an executor's end, rather than of the program.
_OF_A_LOSS = re.compile(
    r"ExecutorLostFailure|Python worker exited unexpectedly|Python worker failed to connect"
    r"|exited caused by one of the running tasks|[Mm]ax number of executor failures"
    r"|Lost executor|Remote RPC client disassociated|FetchFailed|MetadataFetchFailed"
    r"|Connection reset|Application has been killed|Master removed our application"
)
#: Exit code of a native driver most of whose executors failed.
_TOO_MANY_LOST = 11
_KILLED = re.compile(r"OOMKilled|(?:exit code|exit status|with code) 137\b|SIGKILL")
_HEAP = re.compile(r"OutOfMemoryError|(?:exit code|with code) 52\b")
_LOST = re.compile(
    r"[Ww]orker lost|[Hh]eartbeat timed out|Worker shutting down|[Nn]ode ?[Ll]ost"
    r"|worker .* was lost|was deleted by a user or the framework|Remote RPC client disassociated"
)
#: How the lines below begin, or what stands in them.
_OWN_LINES = (
    (r"(^|: )no node fits ", "no node"),
    (r" can't be pulled: ", "image"),
    (r"(^|: )the namespace's quota ", "quota"),
    (r"^ended by SIG", "signal"),
    (r"^ended at its time limit", "limit"),
    (r"was killed for memory: |ran out of its heap", "memory"),
    (r"took it away: |was taken away: |^executor \S+ on .* was lost: ", "node"),
    (_IS_MISSING, "missing"),
    (r"^[\w.$]*(Error|Exception)\b", "exception"),
)
_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_IMAGE |= {"ImageInspectError", "RegistryUnavailable"}
_STARTS = {"ContainerCreating", "PodInitializing"}


def cause(facts: Facts) -> Cause:
    """The one cause that the facts tell of; "done" or "running" where nothing failed."""
    known: tuple[_Look, ...] = (_limit, _done, _ends_of_drivers, _refusals, _waiting, _told)
    ended: tuple[_Look, ...] = (_of_executors, _of_the_log, _signalled)
    code = facts.get("code")
    has_ended = code is not None or _failed_job(facts) is not None
    for look in (*known, *(ended if has_ended else ())):
        found = look(facts)
        if found:
            return found
    if not has_ended:
        return _cause("running", "it has not ended, or nobody saw its end")
    failed = (_failed_job(facts) or {}).get("message") or "it failed"
    return _cause("other", failed if code is None else f"it ended with exit code {code}")


def _cause(kind: str, line: str, more: Iterable[str] = ()) -> Cause:
    line = " ".join(line.split())
    return {"cause": kind, "line": line[:LONGEST], "more": [one[:LONGEST] for one in more if one]}


# -- Kubernetes


def _conditions(thing: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for one in (thing.get("status") or {}).get("conditions") or []:
        if one.get("status") == "True":
            yield one


def _failed_job(facts: Facts) -> Mapping[str, Any] | None:
    """The condition that says that the Job failed."""
    ends = [one for one in _conditions(facts.get("job") or {}) if one["type"] == "Failed"]
    return ends[0] if ends else None


def _name(pod: Mapping[str, Any]) -> str:
    return (pod.get("metadata") or {}).get("name", "a pod")


def _labels(pod: Mapping[str, Any]) -> Mapping[str, str]:
    return (pod.get("metadata") or {}).get("labels") or {}


def _created(pod: Mapping[str, Any]) -> str:
    return (pod.get("metadata") or {}).get("creationTimestamp") or ""


def _is_worker(pod: Mapping[str, Any]) -> bool:
    return _labels(pod).get("app.kubernetes.io/component") == "worker"


def _is_driver(pod: Mapping[str, Any]) -> bool:
    return _labels(pod).get("spark-role", "driver") == "driver" and not _is_worker(pod)


def _containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status") or {}
    for key in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(key) or []


def _limit(facts: Facts) -> Cause | None:
    ends = [_failed_job(facts) or {}, *((pod.get("status") or {}) for pod in _pods(facts))]
    for end in ends:
        if end.get("reason") == "DeadlineExceeded":
            return _cause("limit", f"ended at its time limit: {end.get('message') or 'it is over'}")
    return None


def _done(facts: Facts) -> Cause | None:
    complete = any(one["type"] == "Complete" for one in _conditions(facts.get("job") or {}))
    return _cause("done", "it did not fail") if complete or facts.get("code") == 0 else None


def _pods(facts: Facts) -> Sequence[Mapping[str, Any]]:
    return facts.get("pods") or []


def _ends_of_drivers(facts: Facts) -> Cause | None:
    """A driver that Kubernetes or the kernel ended; its own pod goes before one that submits it."""
    drivers = [pod for pod in _pods(facts) if _is_driver(pod)]
    for pod in sorted(drivers, key=lambda pod: "spark-role" not in _labels(pod)):
        for container in _containers(pod):
            ended = (container.get("state") or {}).get("terminated") or {}
            if ended.get("reason") == "OOMKilled":
                return _cause("memory", f"the driver was killed for memory: {_sizes(pod)}")
        status = pod.get("status") or {}
        moved = [one for one in _conditions(pod) if one["type"] == "DisruptionTarget"]
        if status.get("reason") in ("Evicted", "NodeLost", "Shutdown", "Terminated", "Preempting"):
            why = f"{status['reason']}: {status.get('message') or 'no more is known'}"
            return _cause("node", f"the driver's node took it away: {why}", [_on(pod)])
        if moved and facts.get("code") != 0:
            why = f"{moved[0].get('reason')}: {moved[0].get('message') or 'no more is known'}"
            return _cause("node", f"the driver was taken away: {why}", [_on(pod)])
    return None


def _on(pod: Mapping[str, Any]) -> str:
    node = (pod.get("spec") or {}).get("nodeName")
    return f"{_name(pod)} was on node {node}" if node else ""


def _sizes(pod: Mapping[str, Any]) -> str:
    """What its main container asked for and had."""
    for container in (pod.get("spec") or {}).get("containers") or []:
        sizes = container.get("resources") or {}
        asked = (sizes.get("requests") or {}).get("memory", "nothing")
        had = (sizes.get("limits") or {}).get("memory", "none")
        return f"it asked for {asked} and had a limit of {had} (--driver-memory)"
    return "its limit is not known (--driver-memory)"


def waits_for(pod: Mapping[str, Any]) -> Cause | None:
    """Why a pod does not run yet, in the scheduler's or the kubelet's words; None where it does."""
    status = pod.get("status") or {}
    if status.get("phase") not in (None, "Pending"):
        return None
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _cause("no node", f"no node fits {_name(pod)}: {condition.get('message')}")
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting")
        if not waiting or waiting.get("reason") in _STARTS:
            continue
        reason, said = waiting.get("reason", ""), waiting.get("message") or "no more is known"
        if reason in _IMAGE:
            image = container.get("image") or "the image"
            return _cause("image", f"{image} of {_name(pod)} can't be pulled: {reason}: {said}")
        return _cause("refused", f"{_name(pod)} can't be started: {reason}: {said}")
    return None


def _waiting(facts: Facts) -> Cause | None:
    """Only while no driver has ended: later, a pod that waits is not what it failed of."""
    if facts.get("code") is not None:
        return None
    own = [pod for pod in _pods(facts) if not _is_worker(pod)]
    found = (waits_for(pod) for pod in sorted(own, key=lambda pod: not _is_driver(pod)))
    return next((one for one in found if one), None)


def refused(message: str) -> Cause:
    """What Kubernetes said when it made no pod."""
    if "exceeded quota" in message:
        return _cause("quota", f"the namespace's quota is used up: {message}")
    return _cause("refused", message)


def _refusals(facts: Facts) -> Cause | None:
    """Only where no driver was made: later, others may have had room again."""
    if _pods(facts):
        return None
    for event in reversed(facts.get("events") or []):
        if event.get("reason") == "FailedCreate":
            return refused(event.get("message") or "")
    return None


def _told(facts: Facts) -> Cause | None:
    """The pod's message, where it is a line that an earlier look left, and no log's end."""
    told = (facts.get("told") or "").strip()
    if not told or "\n" in told:
        return None
    return _cause(_kind_of(told), told)


def _kind_of(line: str) -> str:
    """The cause that a line of this module's own tells of."""
    return next((kind for pattern, kind in _OWN_LINES if re.search(pattern, line)), "other")


# -- executors


def _of_executors(facts: Facts) -> Cause | None:
    """An executor's end, where the log says that this is what the application failed of."""
    last = final(_lines(facts))[0]
    if not (_OF_A_LOSS.search(last) if last else facts.get("code") == _TOO_MANY_LOST):
        return None
    executors = facts.get("executors") or []
    for one in executors:
        name, ended = f"executor {one['id']}", one.get("ended") or ""
        if one.get("oomKills") or _KILLED.search(ended):
            what = name if _KILLED.search(ended) else f"a process of {name}"
            return _cause("memory", f"{what} was killed for memory: {_memory(one)}", [ended])
        if _HEAP.search(ended):
            heap = f" of {one['heapMiB']} MiB" if one.get("heapMiB") else ""
            return _cause("memory", f"{name} ran out of its heap{heap} (--executor-memory)")
    began = min((_created(pod) for pod in _pods(facts) if _is_driver(pod)), default="")
    for pod in filter(_is_worker, _pods(facts)):
        ended = ((next(_containers(pod), {}).get("lastState") or {}).get("terminated")) or {}
        if ended.get("reason") == "OOMKilled" and (ended.get("finishedAt") or began) >= began:
            sizes = _sizes(pod).replace("--driver-memory", "--executor-memory")
            return _cause("memory", f"{_name(pod)} was killed for memory: {sizes}")
    for one in executors:
        if _LOST.search(one.get("ended") or ""):
            where = f"executor {one['id']} on {one.get('host') or 'an unknown node'}"
            return _cause("node", f"{where} was lost: {one['ended']}")
    return None


def _memory(one: Mapping[str, Any]) -> str:
    """What an executor asked for, had, and was last seen with."""
    parts = []
    if one.get("askedMiB"):
        heap = f" ({one['heapMiB']} MiB of heap)" if one.get("heapMiB") else ""
        parts.append(f"it asked for {one['askedMiB']} MiB{heap}")
    if one.get("limitMiB"):
        parts.append(f"had a limit of {one['limitMiB']:.0f} MiB")
    if one.get("peakMiB"):
        parts.append(f"was seen with {one['peakMiB']:.0f} MiB")
    sizes = ", ".join(parts) or "its sizes are not known"
    return f"{sizes} (--executor-memory, spark.executor.memoryOverhead)"


# -- the log


def _lines(facts: Facts) -> list[str]:
    return str(facts.get("log") or facts.get("told") or "").splitlines()


def is_said(line: str) -> bool:
    """Whether a line is of the program's own words: no log's, no stack's, no plan's, no JSON."""
    return re.match(r"[\w/\[]", line) is not None and _LOGGED.match(line) is None


def final(lines: Sequence[str]) -> tuple[str, str]:
    """(the exception that ended a driver, the user's own line in its stack); "" for either."""
    found = _python(lines) or _java(lines)
    return (_inmost(found[0]), found[1]) if found else ("", "")


def _python(lines: Sequence[str]) -> tuple[str, str] | None:
    """Of the last traceback with a line of the user's own, else of the last one."""
    best: tuple[str, str] | None = None
    is_its_own = False
    for start, line in enumerate(lines):
        # Of a task that failed Spark's log tells, too; the program may have gone on.
        if line == _HEAD or _LOGGED.match(line):
            is_its_own = line == _HEAD
        if not (is_its_own and line.endswith(_HEAD)):
            continue
        own, error = "", ""
        for at in range(start + 1, len(lines)):
            frame = _PYTHON_FRAME.match(lines[at])
            if frame and not any(part in frame[1] for part in _NOT_THE_USERS):
                code = lines[at + 1].strip() if at + 1 < len(lines) else ""
                inside = f", in {frame[3]}" if frame[3] else ""
                own = f"{PurePath(frame[1]).name}, line {frame[2]}{inside}: {code}"
            if lines[at][:1].strip():
                error = _whole(lines, at)
                break
        if error and (own or best is None or not best[1]):
            best = error, own
    return best


def _whole(lines: Sequence[str], at: int) -> str:
    """An exception's line; of some the words stand in the next one."""
    line, after = lines[at].rstrip(), (lines[at + 1].strip() if at + 1 < len(lines) else "")
    if line.startswith("py4j.") and after.startswith(": "):
        return after[2:]
    return f"{line} {after}" if line.endswith(":") else line


def _java(lines: Sequence[str]) -> tuple[str, str] | None:
    for start in range(len(lines) - 1, -1, -1):
        words = re.match(r'Exception in thread "[^"]*" (.+)', lines[start])
        if not words:
            continue
        for line in lines[start + 1 :]:
            frame = _JAVA_FRAME.match(line)
            if frame and not re.match(_NOT_THE_USERS_JAVA, frame[1]):
                return words[1], f"{frame[2]}, in {frame[1]}"
        return words[1], ""
    return None


def _inmost(error: str) -> str:
    """Of an aborted job, what its last task failed of."""
    task = re.search(r"most recent failure: Lost task .*?\): (.+)", error)
    return task[1] if task else error


def _of_the_log(facts: Facts) -> Cause | None:
    lines = _lines(facts)
    error, own = final(lines)
    said = next((line.rstrip() for line in reversed(lines) if is_said(line)), "")
    if "OutOfMemoryError" in error or (not error and "OutOfMemoryError" in said):
        where, option = "the driver", "--driver-memory"
        if re.search(r"Lost task .*executor \w+\)", "\n".join(lines)):
            where, option = "an executor", "--executor-memory"
        return _cause("memory", f"{where} ran out of its heap: {error or said} ({option})", [own])
    text = error or said
    # Whoever asked it to end knows more than what it then said.
    if not text or (not error and _signal_of(facts)):
        return None
    kind = "missing" if _IS_MISSING.search(text) else "exception" if error else "other"
    return _cause(kind, f"{text} ({own})" if own else text, [own])


def _signal_of(facts: Facts) -> str:
    code = facts.get("code") or 0
    number = -code if code < 0 else code - 128
    with suppress(ValueError):
        return signal.Signals(number).name
    return ""


def _signalled(facts: Facts) -> Cause | None:
    name = _signal_of(facts)
    return _cause("signal", f"ended by {name}") if name else None
