"""Waiting for objects: until they are ready, or until they are gone.

The waiting is driven by watches, ends at once when the engine cancels, and shows beside the
resource what is being waited for.
"""

from __future__ import annotations

import time
from typing import Any

from standins.call import Call, StandinError
from standins.kubernetes.cluster import Cluster
from standins.kubernetes.kinds import Kind
from standins.kubernetes.readiness import RULES, Object, Verdict, pod_problems, related_selections

SKIP_AWAIT = "pulumi.com/skipAwait"
TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"
_DELETE_SECONDS = 600.0
# How soon a cancellation is noticed.
_BREATH = 0.25
_LOG_LINES = 10


class NotReady(StandinError):
    """The object exists but did not become ready; `live` is how it was seen last."""

    def __init__(self, message: str, live: Object) -> None:
        super().__init__(message)
        self.live = live


def annotation(manifest: Object, name: str) -> str:
    """The annotation `name` of a manifest; "" where it has none."""
    metadata = manifest.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    value = annotations.get(name) if isinstance(annotations, dict) else None
    return value if isinstance(value, str) else ""


def time_limit(call: Call, manifest: Object, default: float) -> float:
    """Seconds to wait: custom_timeouts, else the annotation for it, else `default`.

    Raises StandinError for an annotation that is no number of seconds.
    """
    if call.timeout:
        return call.timeout
    text = annotation(manifest, TIMEOUT_SECONDS)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise StandinError(
            f"annotation {TIMEOUT_SECONDS}: '{text}' is no number of seconds above 0"
        )
    return seconds


def wait_ready(cluster: Cluster, kind: Kind, live: Object, call: Call) -> Object:
    """Wait until `live` (as just applied) is ready; the object as it then is.

    Raises NotReady when it fails, or is not ready in time; Cancelled when asked to stop.
    """
    if kind.name not in RULES or annotation(live, SKIP_AWAIT) == "true":
        return live
    rule, default = RULES[kind.name]
    if rule(live, {}).ready:
        return live
    limit = time_limit(call, live, default)
    metadata = live["metadata"]
    own = (
        kind.path(metadata.get("namespace")),
        {"fieldSelector": f"metadata.name={metadata['name']}"},
    )
    deadline = time.monotonic() + limit
    with cluster.watch(own=own, **related_selections(live)) as watch:
        shown, seen = "", False
        while True:
            current = watch.objects["own"].get(metadata["name"])
            related = {name: list(found.values()) for name, found in watch.objects.items()}
            if current and current["metadata"].get("uid") == metadata.get("uid"):
                seen = True
                live = {"apiVersion": kind.api_version, "kind": kind.name, **current}
            elif seen:
                raise NotReady("it was deleted while it was waited for", live)
            verdict = rule(live, related)
            if verdict.ready:
                return live
            pods = related.get("pods", [])
            if verdict.failed:
                raise NotReady(_explain(cluster, live, verdict, pods), live)
            if time.monotonic() >= deadline:
                late = Verdict(False, f"not ready after {limit:g} s: {verdict.message}")
                raise NotReady(_explain(cluster, live, late, pods), live)
            message = "; ".join([verdict.message, *pod_problems(pods)[:1]])
            if message != shown:
                call.status(f"Waiting: {message}")
                shown = message
            call.check_cancelled()
            watch.wait(min(_BREATH, deadline - time.monotonic()))


def wait_gone(cluster: Cluster, kind: Kind, namespace: str | None, name: str, call: Call) -> None:
    """Wait until the object is gone after its deletion; raises StandinError when it stays."""
    live = cluster.find(kind.path(namespace, name))
    if live is None:
        return
    limit = time_limit(call, live, _DELETE_SECONDS)
    deadline = time.monotonic() + limit
    own = (kind.path(namespace), {"fieldSelector": f"metadata.name={name}"})
    with cluster.watch(own=own) as watch:
        listed, shown = False, ""
        while True:
            current = watch.objects["own"].get(name)
            # Another object of the same name, made meanwhile by somebody else, is not ours.
            ours = current and current["metadata"].get("uid") == live["metadata"].get("uid")
            if listed and not ours:
                return
            live = current or live
            if time.monotonic() >= deadline:
                raise StandinError(
                    f"still there {limit:g} s after its deletion: {_why_left(kind, live)}"
                )
            message = f"Waiting for its end: {_why_left(kind, live)}"
            if message != shown:
                call.status(message)
                shown = message
            call.check_cancelled()
            listed |= watch.wait(min(_BREATH, deadline - time.monotonic()))


def _why_left(kind: Kind, live: Object) -> str:
    """What holds an object that is being deleted."""
    conditions = (live.get("status") or {}).get("conditions") or []
    reasons = [
        entry["message"]
        for entry in conditions
        if entry.get("status") == "True" and entry.get("message") and kind.name == "Namespace"
    ]
    finalizers = live["metadata"].get("finalizers") or (live.get("spec") or {}).get("finalizers")
    if not reasons and finalizers:
        reasons = [f"finalizers {', '.join(finalizers)}"]
    return "; ".join(reasons) or "it is being deleted"


def _explain(cluster: Cluster, live: Object, verdict: Verdict, pods: list[Object]) -> str:
    """The verdict with what a person would look up next: Pods, events, the last log lines."""
    lines = [verdict.message]
    suspects = [live] if live["kind"] == "Pod" else pods
    lines += [f"  {problem}" for problem in pod_problems(suspects)[:5]]
    lines += [f"  event: {text}" for text in _warnings(cluster, live)]
    for pod, container in _ended_badly(suspects)[-1:]:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        tail = cluster.log_tail(namespace, name, container, _LOG_LINES)
        if tail:
            lines.append(f"  last lines of Pod {name}, container {container}:")
            lines += [f"    {line}" for line in tail.splitlines()]
    return "\n".join(lines)


def _ended_badly(pods: list[Object]) -> list[tuple[Object, str]]:
    """Pods and the containers in them that ended with an error, the newest last."""
    found = []
    for pod in sorted(pods, key=lambda one: one["metadata"].get("creationTimestamp") or ""):
        status = pod.get("status") or {}
        for group in ("initContainerStatuses", "containerStatuses"):
            for container in status.get(group) or []:
                states = [container.get("state") or {}, container.get("lastState") or {}]
                if any((state.get("terminated") or {}).get("exitCode") for state in states):
                    found.append((pod, container["name"]))
    return found


def _warnings(cluster: Cluster, live: Object) -> list[str]:
    """The newest warnings about the object, three at most."""
    metadata = live["metadata"]
    namespace = metadata.get("namespace") or "default"
    selector = f"involvedObject.uid={metadata.get('uid')},type=Warning"
    try:
        events = cluster.get(f"/api/v1/namespaces/{namespace}/events", {"fieldSelector": selector})
    except StandinError:
        return []

    def when(event: dict[str, Any]) -> str:
        return event.get("lastTimestamp") or event.get("eventTime") or ""

    newest = sorted(events.get("items") or [], key=when)[-3:]
    return list(dict.fromkeys(f"{e.get('reason', '')}: {e.get('message', '')}" for e in newest))
