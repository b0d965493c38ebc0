"""What became of applications, from what the cluster has of them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from submission.runs import CRON_MARK, ENDLESS_MARK, JOB_MARK, Found, find, outcome, read_log

NOW = datetime(2026, 11, 26, 12, 30, 20, tzinfo=UTC)


def at(time: str) -> str:
    return f"2026-11-26T{time}:00Z"


def job(
    name: str, made: str, end: str | None = None, due: str | None = None, **more: Any
) -> dict[str, Any]:
    """A Job, made at that time; end: Complete or Failed. due: when it was, by its schedule."""
    annotations = {"batch.kubernetes.io/cronjob-scheduled-timestamp": at(due)} if due else {}
    conditions = [{"type": end, "status": "True", "message": "why"}] if end else []
    metadata = {
        "name": name,
        "namespace": "spark",
        "uid": f"uid-{name}",
        "creationTimestamp": at(made),
        "labels": {"app": "a"},
        "annotations": annotations | more.get("mark", {}),
        "ownerReferences": [{"uid": f"uid-{of}"} for of in more.get("of", ())],
    }
    status = {"startTime": at(made), "conditions": conditions, "active": 0}
    status |= {key: value for key, value in more.items() if key not in ("mark", "of")}
    return {"metadata": metadata, "status": status, "spec": {}}


def cron(
    schedule: str = "*/10 * * * *", made: str = "11:00", keep: int = 3, **more: Any
) -> dict[str, Any]:
    metadata = {
        "name": "a",
        "uid": "uid-a",
        "creationTimestamp": at(made),
        "labels": {"app": "a"},
        "annotations": CRON_MARK,
        "managedFields": [
            {"time": at(made)},
            {"time": at("12:29"), "subresource": "status"},
            *({"time": at(time)} for time in more.get("changed", ())),
        ],
    }
    spec = {"schedule": schedule, "timeZone": "UTC", "successfulJobsHistoryLimit": keep}
    return {"metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("run", "state"),
    [
        (job("a", "12:00", "Complete"), "succeeded"),
        (job("a", "12:00", "Failed"), "failed"),
        (job("a", "12:00", active=1), "running"),
        # Its pod has ended, and Kubernetes has not said yet that it has, or there will be another.
        (job("a", "12:00", uncountedTerminatedPods={"succeeded": ["uid"]}), "running"),
        (job("a", "12:00", succeeded=1), "running"),
        (job("a", "12:00", failed=1), "running"),
        (job("a", "12:00", uncountedTerminatedPods={}), "waiting"),
        (job("a", "12:00"), "waiting"),
        ({"metadata": {}, "spec": {}}, "waiting"),
    ],
)
def test_the_state_is_that_of_the_last_run(run: dict[str, Any], state: str) -> None:
    assert Found(run, [job("b", "11:00", "Failed"), run]).state == state


def test_what_never_ran_waits() -> None:
    found = Found(cron(), [])
    assert (found.state, found.started) == ("waiting", None)
    assert found.next(NOW) == datetime(2026, 11, 26, 12, 40, tzinfo=UTC)
    assert Found(job("a", "12:00"), [job("a", "12:00")]).next(NOW) is None


def due(*times: str, end: str = "Complete") -> list[dict[str, Any]]:
    return [job(f"a-{time}", time, end, time) for time in times]


@pytest.mark.parametrize(
    ("owner", "done", "missed"),
    [
        (cron(), due("11:10", "11:20", "11:30", "11:40", "11:50", "12:00"), 2),  # 12:10, 12:20
        # The last one that is due may still come.
        (cron(made="12:25"), [], 0),
        (cron(made="12:15"), [], 1),
        (cron(made="11:00"), [], 8),
        # As many are kept as there may be: what was before is not known.
        (cron(), due("12:10", "12:20", "12:30"), 0),
        (cron(), due("11:10", "12:20", "12:30"), 6),
        (cron(keep=1), [*due("11:10", end="Failed"), *due("12:30")], 0),
        (cron(keep=2), [*due("12:00", end="Failed"), *due("12:30")], 7),
        # Another schedule counts from when it is there.
        (cron(changed=["12:15"]), due("11:10"), 1),
        # Runs by hand are none that were due.
        (cron(made="12:05"), [job("by-hand", "12:10", "Complete")], 2),
        (cron("* * * * *", made="01:00"), [], 100),
        (job("a", "12:00", "Complete"), [job("a", "12:00", "Complete")], 0),
    ],
)
def test_how_many_runs_were_missed(owner: Any, done: list[Any], missed: int) -> None:
    assert Found(owner, done).missed(NOW) == missed


class Core:
    """The API of pods: those of a run, and their logs."""

    def __init__(self, *pods: Any, logs: dict[str, str] | None = None) -> None:
        self.pods, self.logs = pods, logs or {}

    def list_namespaced_pod(self, namespace: str, **_: Any) -> Any:
        return {"items": list(self.pods)}

    def list_namespaced_event(self, namespace: str, **_: Any) -> Any:
        return {"items": []}

    def read_namespaced_pod_log(self, name: str, namespace: str, container: str, **_: Any) -> Any:
        assert (namespace, container) == ("spark", "driver")
        if name not in self.logs:
            raise ApiException(status=404)
        return SimpleNamespace(data=self.logs[name].encode())


def pod(name: str, phase: str, made: str, message: str | None = None) -> Any:
    state = {"terminated": {"exitCode": int(phase == "Failed"), "message": message}}
    labels = {"batch.kubernetes.io/job-name": "a-1"}
    metadata = {"name": name, "labels": labels, "creationTimestamp": made}
    status = {"phase": phase, "containerStatuses": [{"name": "driver", "state": state}]}
    return {"metadata": metadata, "status": status}


LOG = """\
pi: counting points
Pi is roughly 3.14
26/11/26 12:00:00 INFO SparkContext: done
\tat scala.Something
usage: {"tasks": 3}
"""


def told(end: str, core: Core, monkeypatch: pytest.MonkeyPatch) -> Any:
    run = job("a-1", "12:00", end)
    batch = SimpleNamespace(read_namespaced_job=lambda name, namespace, **_: run)
    monkeypatch.setattr(client, "CoreV1Api", lambda api: core)
    monkeypatch.setattr(client, "BatchV1Api", lambda api: batch)
    return outcome(client.ApiClient(), Found(run, [run]))


def test_the_line_and_the_usage_of_the_try_that_ended_well(monkeypatch) -> None:
    pods = [pod("b", "Succeeded", "1"), pod("c", "Failed", "2")]
    assert told("Complete", Core(*pods, logs={"b": LOG, "c": "no"}), monkeypatch) == (
        "Pi is roughly 3.14",
        {"tasks": 3},
    )


def test_why_it_failed_is_what_make_why_says(monkeypatch) -> None:
    pods = [pod("b", "Failed", "1", "first"), pod("c", "Failed", "2", "no such file\n")]
    logs = {"b": "", "c": LOG}
    assert told("Failed", Core(*pods, logs=logs), monkeypatch) == ("no such file", {"tasks": 3})
    # Where no program left a line, Kubernetes has the log's end.
    frame = '  File "/a.py", line 3, in <module>\n    f()'
    trace = f"Traceback (most recent call last):\n{frame}\nValueError: 3"
    pods[1] = pod("c", "Failed", "2", trace)
    assert (
        told("Failed", Core(*pods, logs=logs), monkeypatch)[0]
        == "ValueError: 3 (a.py, line 3, in <module>: f())"
    )
    pods[1]["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
    line = told("Failed", Core(*pods), monkeypatch)[0]
    assert line.startswith("the driver was killed for memory")
    assert told("Failed", Core(), monkeypatch) == ("why", None)


def test_a_log_that_is_gone_tells_nothing(monkeypatch) -> None:
    assert told("Complete", Core(pod("b", "Succeeded", "1")), monkeypatch) == (None, None)
    assert told("Complete", Core(), monkeypatch) == (None, None)


@pytest.mark.parametrize(
    ("log", "wanted"),
    [
        ([], (None, None)),
        (['{"words": 3}', 'usage: {"a": 1}', ""], ('{"words": 3}', {"a": 1})),
        (["done", "usage: not known: no event log"], ("done", None)),
        (['usage: {"cut'], (None, None)),
    ],
)
def test_the_end_of_a_log(log: list[str], wanted: Any) -> None:
    assert read_log(log) == wanted


def test_which_are_the_stacks_own_and_which_runs_are_whose(monkeypatch) -> None:
    jobs = [
        job("count-2", "11:40", mark=JOB_MARK),
        job("count-1", "11:30", mark=JOB_MARK),  # which goes
        job("by-hand", "11:50", of=["count-2"]),
        job("a-1", "11:10", of=["a"]),
        job("submitted", "11:59"),
        job("stream-1", "11:20", mark=ENDLESS_MARK),
    ]
    for one in jobs:
        one["metadata"]["labels"] = {"app": one["metadata"]["name"].partition("-")[0]}
    lists = {"list_namespaced_job": jobs, "list_namespaced_cron_job": [cron()]}
    made = {name: lambda *_, _items=items, **__: {"items": _items} for name, items in lists.items()}
    monkeypatch.setattr(client, "BatchV1Api", lambda api: SimpleNamespace(**made))
    found = find(client.ApiClient(), "spark")
    names = {name: [run["metadata"]["name"] for run in one.runs] for name, one in found.items()}
    assert names == {"count": ["count-2", "by-hand"], "a": ["a-1"], "stream": ["stream-1"]}
    assert [name for name, one in found.items() if one.is_endless] == ["stream"]
