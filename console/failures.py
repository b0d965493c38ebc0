"""Why an application failed: the facts, from Kubernetes' API and from the volume, for why.cause."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import why
from kubernetes import client

from console.cluster import connect_spark, said_in_one_line
from console.stack import ConsoleError, Stack
from console.volume import NAMESPACE, on_volume
from submission.facts import facts


@dataclass(frozen=True)
class Kept:
    """What the volume has of a run.

    folder: below usage/. told: its why.json; empty while it has none. log: the end of the driver's.
    """

    folder: str
    told: dict[str, Any]
    log: str


def kept(api: client.ApiClient, run: str | None) -> Kept | None:
    """What the volume has of a run, else of the latest one; None where there is none."""
    printed = on_volume(api, "kept_run.sh", run or "", "why")
    if not printed:
        return None
    folder, told, log = (*printed.split("\n", 2), "", "")[:3]
    return Kept(folder, json.loads(told) if told else {}, log)


def keep(api: client.ApiClient, run: str, code: int | None, found: why.Cause, at: float) -> None:
    """Leaves a cause on the volume, where it is not the one that is there.

    run: the Job's pod, or the Job where it has none. at: Unix seconds.
    """
    known = kept(api, run)
    told = known.told if known else {}
    if told.get("line") == found["line"]:
        return
    about = {"run": run, "application": None, "at": round(at, 3), "executors": []}
    record = {**about, **told, "code": code, **found}
    on_volume(api, "keep_why.sh", known.folder if known else run, json.dumps(record))


@dataclass(frozen=True)
class Live:
    """A Job that the cluster has, and its last attempt.

    began: Unix seconds. pod: the Job's; None where it has none. known: as `facts` gives it.
    """

    namespace: str
    job: str
    began: float
    pod: str | None
    known: dict[str, Any]

    def is_called(self, run: str) -> bool:
        """Whether a run is named by it."""
        return run in (self.job, self.pod)


def jobs(api: client.ApiClient, namespaces: Sequence[str]) -> list[Live]:
    """The Jobs of applications there, the latest first."""
    batch: Any = client.BatchV1Api(api)
    found = []
    for namespace in namespaces:
        for item in api.sanitize_for_serialization(batch.list_namespaced_job(namespace))["items"]:
            name = item["metadata"]["name"]
            known = facts(api, namespace, name)
            first = known["pods"][0] if known["pods"] else item
            began = datetime.fromisoformat(first["metadata"]["creationTimestamp"]).timestamp()
            pod = known["pods"][0]["metadata"]["name"] if known["pods"] else None
            found.append(Live(namespace, name, began, pod, known))
    return sorted(found, key=lambda live: live.began, reverse=True)


@dataclass(frozen=True)
class Found:
    """A run, and why it ended. told: as in why.json, as far as it is known. live: its Job, if it
    is still there. log: the end of the driver's."""

    name: str
    cause: why.Cause
    told: dict[str, Any]
    live: Live | None
    log: str


def choose(api: client.ApiClient, namespaces: Sequence[str], run: str | None) -> Found:
    """A run by its application, pod or Job; without a name the latest. Raises ConsoleError."""
    with said_in_one_line():
        known = jobs(api, namespaces)
    live = next((one for one in known if run is None or one.is_called(run)), None)
    try:
        stored = kept(api, run)
        why_not = ""
    except ConsoleError as error:
        stored, why_not = None, f" (the volume can't be asked: {error})"
    if stored and live and stored.told.get("run", stored.folder) != live.pod:
        # Two runs, of which the name, or the time, says which is meant.
        if run is not None or stored.told.get("at", 0.0) < live.began:
            stored = kept(api, live.pod) if live.pod else None
        else:
            live = None
    if stored and live is None:
        pod = stored.told.get("run", stored.folder)
        live = next((one for one in known if one.is_called(pod)), None)
    if live is None and stored is None:
        what = f"no run {run}" if run else "no application that has run"
        raise ConsoleError(f"there is {what}{why_not}; one is named by application, pod or Job")
    return found_of(live, stored)


def found_of(live: Live | None, stored: Kept | None) -> Found:
    """What both sides tell of a run: Kubernetes, and the volume."""
    told, log = (stored.told, stored.log) if stored else ({}, "")
    cause = why.cause({**(live.known if live else {}), **({"log": log} if log else {})})
    # What the driver's own pod wrote down of it tells more than the line that its status has.
    if told and cause["line"] in (told["line"], _UNSEEN):
        cause = {key: told[key] for key in ("cause", "line", "more")}
    pod = (live.pod or live.job) if live else ""
    name = told.get("run") or (stored.folder if stored else pod)
    return Found(name, cause, told or dict(live.known if live else {}), live, log)


_UNSEEN = why.cause({})["line"]


def of_stack(api: client.ApiClient, namespaces: Sequence[str]) -> list[str]:
    """A line for each application that has failed or does not start."""
    causes = ((live, why.cause(live.known)) for live in jobs(api, namespaces))
    return [
        f"{live.job} failed: {found['line']}"
        for live, found in causes
        if found["cause"] not in ("done", "running")
    ]


def options(parser: argparse.ArgumentParser) -> None:
    """Of the verbs that are about a run."""
    parser.add_argument(
        "--run", metavar="ID", help="its application, pod or Job; else that of the latest one"
    )


def connect(stack: Stack) -> tuple[client.ApiClient, list[str]]:
    """The stack's cluster, and the namespaces that applications run in."""
    cluster, outputs = connect_spark(stack)
    return cluster.api, [NAMESPACE, *outputs.get("namespaces", {})]
