"""Use and cost of a namespace from both engines' data; the table; the wait for the first data."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from console.costs import NotYet, Use, use_by_namespace, use_of
from console.stack import ConsoleError
from console.verbs import opex
from console.verbs.opex import costs, wait_for

REPORT, ANALYTICS = "kube-resource-report", "kube-opex-analytics"
MONTH = 24 * 30.4375

# Columns and rows of a report of the local cloud.
NODES = """\
Cluster ID\tNode\tRole\tInstance Type\tCost [USD]\r
10-96-0-1:443\tip-10-42-0-5\tworker\tt3.medium\t35.06\r
10-96-0-1:443\tip-10-42-0-6\tworker\tt3.medium\t35.06\r
"""
PODS = """\
Cluster ID\tNamespace\tName\tCPU Usage\tMemory Usage\tCPU Recommendation\tCost [USD]\r
10-96-0-1:443\tspark\tspark-master-0\t0.016033\t172802048.0\t0.02\t1.7532\r
10-96-0-1:443\tspark\tspark-worker-1\t0.359085\t334192640.0\t\t3.5064\r
10-96-0-1:443\tkube-system\tkube-proxy-8sszm\t0.001715\t14839808.0\t0.002\t0.0\r
10-96-0-1:443\tjobs\tpending\t0\t0\t\t0.0\r
"""

# As backend.py of kube-opex-analytics 25.10 writes them: percents of all nodes' capacity.
CAPACITY = {
    "ip-10-42-0-5": {"state": "Ready", "cpuCapacity": 2.0, "memCapacity": 4 * 2.0**30},
    "ip-10-42-0-6": {"state": "Ready", "cpuCapacity": 2.0, "memCapacity": 4 * 2.0**30},
}
EARLIER, LATER = "2026-11-21T14:30:00Z", "2026-11-21T14:35:00Z"


def point(name: str, at: str, usage: float) -> dict[str, Any]:
    return {"name": name, "dateUTC": at, "usage": usage}


CPU = [
    point("spark", EARLIER, 90.0),
    point("spark", LATER, 20.0),
    point("kube-system", LATER, 10.0),
    point("non-allocatable", LATER, 10.0),
    point("gone", "2026-11-20T09:00:00Z", 50.0),
]
MEMORY = [
    point("spark", LATER, 25.0),
    point("spark", EARLIER, 1.0),
    point("kube-system", LATER, 20.0),
    point("non-allocatable", LATER, 5.0),
    point("gone", "2026-11-20T09:00:00Z", 50.0),
]


def files(**texts: str) -> Callable[[str], str]:
    """Reads these; the names are the files' own without their folder and suffix."""

    def read(path: str) -> str:
        name = path.rpartition("/")[2].partition(".")[0]
        if name not in texts:
            raise NotYet(f"{path}: not found")
        return texts[name]

    return read


def report(nodes: str = NODES, pods: str = PODS) -> Callable[[str], str]:
    return files(nodes=nodes, pods=pods)


def analytics(cpu: list[Any] = CPU, memory: list[Any] = MEMORY) -> Callable[[str], str]:
    return files(
        nodes=json.dumps(CAPACITY),
        cpu_usage_trends=json.dumps(cpu),
        memory_usage_trends=json.dumps(memory),
    )


def test_a_report_has_a_namespaces_pods_summed_up():
    use = use_of("spark", REPORT, report(), None)
    assert use.cpu == pytest.approx(0.375118)
    assert use.memory == 172802048 + 334192640
    assert use.cost == pytest.approx((1.7532 + 3.5064) / MONTH)


def test_a_namespace_without_requests_costs_nothing_there():
    assert use_of("kube-system", REPORT, report(), None).cost == 0


@pytest.mark.parametrize("cost", ["0", "0.0"])
def test_a_node_that_costs_nothing_is_an_error(cost):
    free = NODES.replace("35.06\r\n", f"{cost}\r\n", 1)
    with pytest.raises(ConsoleError, match="node ip-10-42-0-5 costs 0: no price for its type"):
        use_of("spark", REPORT, report(nodes=free), None)


def test_analytics_have_their_latest_trends():
    use = use_of("spark", ANALYTICS, analytics(), hourly_rate=0.1)
    assert use.cpu == pytest.approx(0.2 * 4)
    assert use.memory == pytest.approx(0.25 * 8 * 2**30)
    # 20 of 40 percent of what is used of the CPU, 25 of 50 of the memory.
    assert use.cost == pytest.approx(0.1 * (20 / 40 + 25 / 50) / 2)


def test_analytics_leave_out_what_is_no_namespace_or_gone():
    found = use_by_namespace(ANALYTICS, analytics(), hourly_rate=1.0)
    assert set(found) == {"spark", "kube-system"}
    # The rest of the bill is for what no pod can have.
    assert sum(use.cost or 0 for use in found.values()) == pytest.approx(1 - (10 / 40 + 5 / 50) / 2)


def test_a_new_namespaces_series_may_be_ahead_of_the_hourly_ones():
    cpu = [point("old", "2026-11-21T14:00:00Z", 30.0), point("new", LATER, 10.0)]
    found = use_by_namespace(ANALYTICS, analytics(cpu, cpu), hourly_rate=1.0)
    assert {name: use.cost for name, use in found.items()} == {"old": 0.75, "new": 0.25}


def test_without_a_price_there_is_use_and_no_cost():
    use = use_of("spark", ANALYTICS, analytics(), hourly_rate=None)
    assert use.cpu > 0 and use.cost is None


@pytest.mark.parametrize(
    ("engine", "read", "missing"),
    [
        (REPORT, files(), "nodes.tsv: not found"),
        (REPORT, files(nodes=NODES), "pods.tsv: not found"),
        (REPORT, report(nodes=""), "no whole report"),
        (REPORT, report(nodes=NODES.splitlines()[0] + "\r\n"), "no whole report"),
        (REPORT, report(pods=PODS[:-20]), "no whole report"),
        (REPORT, report(pods=PODS.replace("spark", "other")), "does not list the namespace spark"),
        (
            REPORT,
            report(pods=PODS.replace("jobs", "spark-").replace("\tspark\t", "\tx\t")),
            "spark",
        ),
        (ANALYTICS, files(), "dataset/nodes.json: not found"),
        (ANALYTICS, analytics([], []), "no usage trends: the engine looks every 5 minutes"),
        (ANALYTICS, analytics([CPU[3]], [MEMORY[3]]), "no usage trends"),
        (ANALYTICS, files(nodes='{"ip'), "no whole dataset"),
        (ANALYTICS, analytics([CPU[2]], [MEMORY[2]]), "does not list the namespace spark"),
    ],
)
def test_what_is_missing_is_said(engine, read, missing):
    with pytest.raises(NotYet, match=missing):
        use_of("spark", engine, read, 0.1)


def test_a_namespace_that_is_not_measured_yet_says_who_measures():
    with pytest.raises(NotYet, match="no CPU and memory use of jobs .*metrics-server"):
        use_of("jobs", REPORT, report(), None)


# ---- the wait


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """Seconds that were waited for, one after another; nothing really waits."""
    pauses: list[float] = []
    monkeypatch.setattr(opex.time, "sleep", pauses.append)
    monkeypatch.setattr(opex.time, "monotonic", lambda: sum(pauses))
    return pauses


def answers(*given: Use | Exception) -> Callable[[], Use]:
    """Gives one after another; the last one for ever."""
    left = itertools.chain(given, itertools.repeat(given[-1]))

    def ask() -> Use:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_the_first_data_is_waited_for_and_each_reason_said_once(clock, capsys):
    use = Use(1.0, 2.0, 3.0)
    ask = answers(NotYet("no report"), NotYet("no report"), NotYet("no use"), use)
    assert wait_for(REPORT, ask) == use
    assert len(clock) == 3 and min(clock) >= 5
    assert capsys.readouterr().out.splitlines() == [
        "waiting for the first data (0 of at most 180 s): no report",
        "waiting for the first data (10 of at most 180 s): no use",
    ]


def test_what_is_waited_for_long_shows_that_it_lives(clock, capsys):
    with pytest.raises(ConsoleError):
        wait_for(ANALYTICS, answers(NotYet("no trends")))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 1200 // 15 and lines[1].endswith("(15 of at most 1200 s): no trends")


@pytest.mark.parametrize(("engine", "minutes"), [(REPORT, 3), (ANALYTICS, 20)])
def test_at_the_limit_it_says_what_is_missing(clock, engine, minutes):
    with pytest.raises(ConsoleError, match=f"no data within {minutes} minutes: no trends"):
        wait_for(engine, answers(NotYet("no trends")))
    assert minutes * 60 <= sum(clock) <= minutes * 60 + 30


def test_a_price_that_is_missing_is_not_waited_for(clock):
    with pytest.raises(ConsoleError, match="costs 0"):
        wait_for(REPORT, answers(ConsoleError("node a costs 0")))
    assert clock == []


# ---- the table


def test_the_dearest_namespace_is_first_and_all_are_summed_up():
    found = {"a": Use(0.25, 2**20, 0.001), "spark": Use(1.5, 2**30, 0.01)}
    assert costs(found).splitlines() == [
        "namespace  cores   MiB  USD/hour  USD/month",
        "spark      1.500  1024   0.01000       7.30",
        "a          0.250     1   0.00100       0.73",
        "all        1.750  1025   0.01100       8.04",
    ]


def test_no_cost_is_shown_as_none():
    assert costs({"a": Use(1, 2**20, None)}).splitlines()[1].split() == [
        "a",
        "1.000",
        "1",
        "-",
        "-",
    ]
