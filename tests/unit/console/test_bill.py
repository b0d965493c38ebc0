"""`make bill`: rows that are together what the nodes cost, whatever ran on them, and who pays."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from console import __main__, bill, nodes, picture
from console.bill import IDLE, Node
from console.stack import ConsoleError
from console.verbs import bill as verb
from submission.programs import script
from toolchain import terminal

DAY = date(2026, 11, 20)
START = bill.midnight(DAY)
HOUR, DAYS = 3600.0, 86400.0


def node(since: float, until: float, **more: Any) -> Node:
    """One of two cores, between hours of the day."""
    told: dict[str, Any] = {
        "uid": f"{since}-{until}",
        "name": "n",
        "cores": 2.0,
        "type": "t3.medium",
    }
    told |= {"region": "us-east-1", "is_spot": False, **more}
    return Node(since=START + since * HOUR, until=START + until * HOUR, **told)


def used(name: str, since: float, hours: float, *executors: int, **more: Any) -> dict[str, Any]:
    """usage.json of a driver of a core and of executors with so many, all for that time."""
    at, seconds = START + since * HOUR, hours * HOUR
    rows = [{"cores": cores, "started": at, "seconds": seconds} for cores in executors]
    told = {"name": name, "namespace": "spark", "user": None, "labels": {}, "started": at}
    return {**told, "driver": {"cores": 1, "seconds": seconds}, "executors": rows, **more}


def rows(found: bill.Bill) -> dict[str, float]:
    return {row.name: round(row.usd, 9) for row in found.rows}


def made(runs: list[dict[str, Any]], there: list[Node], by: str = "name", days: int = 3) -> Any:
    price = {False: 0.04, True: 0.01}
    until = START + days * DAYS
    return bill.bill(runs, there, lambda n: price[n.is_spot], START, until, bill.named_by(by))


def test_what_ran_pays_for_what_it_reserved_and_the_rest_is_idle() -> None:
    # Two nodes, four cores, 0.08 an hour: of three cores for an hour that is 0.06.
    found = made([used("pi", 1, 1, 2)], [node(0, 10), node(0, 10)])
    assert rows(found) == {"pi": 0.06, IDLE: 0.74}
    (pi, idle) = found.rows
    assert (pi.runs, pi.core_hours, pi.node_hours) == (1, pytest.approx(3), pytest.approx(1.5))
    assert idle.core_hours == pytest.approx(37)
    assert found.total == pytest.approx(0.8)


def test_more_than_there_is_goes_by_what_is_reserved() -> None:
    found = made([used("a", 0, 1, 2), used("b", 0, 1, 4, 4)], [node(0, 1), node(0, 1)])
    assert rows(found) == {"b": 0.06, "a": 0.02, IDLE: 0.0}


def test_a_spot_node_is_cheaper_for_all_while_it_is_there() -> None:
    found = made([used("a", 0, 2, 1)], [node(0, 2), node(1, 2, is_spot=True)])
    # The first hour all of 0.04, the second half of 0.05.
    assert rows(found) == {"a": 0.065, IDLE: 0.025}


def test_what_ran_over_midnight_is_in_two_days_and_the_bill_cuts_at_its_ends() -> None:
    found = made(
        [used("a", 23, 2, 1), used("b", -1, 2, 1), used("c", 100, 1)], [node(-5, 99)], days=2
    )
    assert {row.name for row in found.rows} == {"a", "b", IDLE}
    assert {day: round(of["a"], 6) for day, of in found.days.items() if "a" in of} == {
        DAY: 0.04,
        date(2026, 11, 21): 0.04,
    }
    assert rows(found)["b"] == 0.04
    assert sum(rows(found).values()) == pytest.approx(48 * 0.04) == found.total


def test_time_without_nodes_costs_nothing() -> None:
    found = made([used("a", 0, 10, 1)], [node(0, 1), node(9, 10)])
    assert rows(found) == {"a": 0.08, IDLE: 0.0}


@pytest.mark.parametrize("seed", range(60))
def test_the_rows_are_together_nodes_times_hours_times_price(seed: int) -> None:
    """And so are the days; nobody pays less than nothing."""
    source = random.Random(seed)
    there = [
        node(
            (since := source.uniform(-30, 60)),
            since + source.expovariate(0.05),
            cores=source.choice([2.0, 4.0, 16.0]),
            is_spot=source.random() < 0.4,
        )
        for _ in range(source.randrange(1, 12))
    ]
    runs = [
        used(
            source.choice("abcdefgh"),
            source.uniform(-10, 80),
            source.expovariate(0.3),
            *(source.randrange(1, 9) for _ in range(source.randrange(5))),
        )
        for _ in range(source.randrange(60))
    ]
    for run in runs:  # executors that come and go while it runs
        for one in run["executors"]:
            one["started"] += source.uniform(0, one["seconds"])
            one["seconds"] *= source.random()
    found = made(runs, there)
    prices = {False: 0.04, True: 0.01}
    end = START + 3 * DAYS
    spent = sum(
        prices[one.is_spot] * max(0.0, min(end, one.until) - max(START, one.since)) / HOUR
        for one in there
    )
    assert sum(row.usd for row in found.rows) == pytest.approx(spent, rel=1e-6) or spent == 0
    assert found.total == pytest.approx(spent)
    by_day = sum(usd for of in found.days.values() for usd in of.values())
    assert by_day == pytest.approx(spent, rel=1e-6)
    assert all(row.usd > -1e-12 and row.node_hours > -1e-9 for row in found.rows)
    assert all(DAY <= day < date(2026, 11, 23) for day in found.days)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("namespace", ["(not known)", "etl", "spark"]),
        ("name", ["pi", "report"]),
        ("user", ["(the stack)", "ann"]),
        ("label:team", ["(none)", "data"]),
    ],
)
def test_by_whom(by: str, expected: list[str]) -> None:
    old = used("report", 0, 1)
    for key in ("namespace", "user", "labels"):  # of before they were noted
        del old[key]
    del old["driver"], old["executors"]
    old |= {"driver": {"cores": 1, "seconds": 60.0}, "executors": [{"cores": 1, "seconds": 60.0}]}
    runs = [old, used("pi", 0, 1, namespace="etl", user="ann", labels={"team": "data"})]
    found = made([*runs, used("pi", 0, 1)], [node(0, 3, cores=8.0)], by=by)
    assert sorted(row.name for row in found.rows if row.name != IDLE) == expected
    with pytest.raises(ValueError, match="none of namespace, name, user"):
        bill.named_by("label:")


def test_prices_of_the_list_of_the_setting_and_of_spot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [node(0, 1), node(0, 1, is_spot=True)]
    nothing: dict[str, Any] = {"nodes": {}}
    on_demand, spot = (("us-east-1", "t3.medium", one, "worker") for one in (False, True))
    assert bill.prices(there, nothing)[0] == {on_demand: 0.0416, spot: 0.0416}
    (note,) = bill.prices(there, nothing)[1]
    assert note == (
        "spot nodes (t3.medium) at the price on demand, which is their upper bound: nodes.spotPrice"
        " or `make prices` tells theirs"
    )
    # The price of nodes on demand is none of spot ones, but it is their bound.
    found, notes = bill.prices(there, {"nodes": {"price": "0.05"}})
    assert (found, len(notes)) == ({on_demand: 0.05, spot: 0.05}, 1)
    given = {"nodes": {"price": 0.05, "spotPrice": "0.015"}}
    assert bill.prices(there, given) == ({on_demand: 0.05, spot: 0.015}, [])
    listed = [{"region": "us-east-1", "usd": {"t3.medium": 0.0416}, "spot": {"t3.medium": 0.0125}}]
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(listed))
    monkeypatch.setattr(bill, "PRICES", file)
    assert bill.prices(there, nothing) == ({on_demand: 0.0416, spot: 0.0125}, [])
    assert bill.prices(there, {"nodes": {"price": 0.05}})[0] == {on_demand: 0.05, spot: 0.0125}
    assert bill.prices(there, given)[0][spot] == 0.015
    with pytest.raises(
        ConsoleError, match="no price of x9.huge in us-east-1 is known: the setting"
    ):
        bill.prices([*there, node(0, 1, type="x9.huge")], nothing)


def test_a_group_has_its_own_price() -> None:
    settings = {
        "nodes": {"price": 0.05, "spotPrice": 0.015},
        "workers": {
            "big": {"price": "0.2", "spot": True},
            "same": None,
            "list": {"type": "t3.l"},
            "spot": {"spot": True},
        },
    }
    there = [
        node(0, 1, role="control-plane"),
        node(0, 1, role="big", type="t3.2xlarge", is_spot=True),
        node(0, 1, role="same"),
        node(0, 1, role="list", type="t3.large"),
        node(0, 1, role="gone", type="t3.xlarge"),
        node(0, 1, role="spot", is_spot=True),
        node(0, 1, role="spot", type="t3.large", is_spot=True),
    ]
    found, notes = bill.prices(there, settings)
    # What a spot node of the group costs is said by its price.
    assert [found[bill.priced(one)] for one in there] == [
        *(0.05, 0.2, 0.05, 0.0832, 0.05, 0.015, 0.0832)
    ]
    (note,) = notes
    assert note.startswith("spot nodes (t3.large)") and "workers.spot.price or" in note


def test_the_list_of_prices_says_of_when_and_whence_it_is() -> None:
    for one in json.loads(bill.PRICES.read_text()):
        assert date.fromisoformat(one["date"]) <= date(2026, 11, 26)
        assert one["source"] and one["usd"]
        # Within a family prices go by size.
        large = {t: usd for t, usd in one["usd"].items() if t.endswith(".large")}
        for type_, usd in large.items():
            assert one["usd"][type_.replace(".large", ".xlarge")] == pytest.approx(2 * usd), type_


def test_nodes_count_until_now_and_those_that_nobody_noted_since_they_were_made() -> None:
    noted = [node(0, 1, uid="a"), node(0, 1, uid="gone")]
    there = [node(0, 0, uid="a"), node(5, 5, uid="b")]
    now = START + 1 * HOUR + 600
    found = bill.up_to_now(noted, there[:1], now)
    assert [(one.uid, one.until) for one in found] == [("a", now), ("gone", START + HOUR)]
    later = bill.up_to_now(noted, there, START + 8 * HOUR)
    assert [(one.uid, (one.until - one.since) / HOUR) for one in later] == [
        *(("a", 1), ("gone", 1)),
        ("a", 0),  # it was off since
        ("b", 3),
    ]


# ---- the whole of it


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Spark's folder; what would run in the master's pod runs here."""

    def run_in_pod(api: Any, namespace: str, pod: str, command: list[str], within: float) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    folder = tmp_path / "spark"
    (folder / "usage").mkdir(parents=True)
    monkeypatch.setattr("console.volume.run_in_pod", run_in_pod)
    monkeypatch.setattr(verb, "FOLDER", str(folder))
    cluster = type("Cluster", (), {"api": None, "json": lambda self, path: {"items": []}})
    monkeypatch.setattr(verb, "connect_spark", lambda stack: (cluster(), {}))
    monkeypatch.setattr(nodes, "settings", lambda stack: {"nodes": {"price": 0.04}})
    monkeypatch.setattr(verb.time, "time", lambda: START + 30 * DAYS)
    monkeypatch.setattr(__main__, "enter", lambda local: None)
    monkeypatch.setattr(terminal, "_prepare", lambda: None)
    return folder


def store(folder: Path, app: str, told: dict[str, Any]) -> None:
    (folder / "usage" / app).mkdir()
    file = folder / "usage" / app / "usage.json"
    file.write_text(json.dumps(told) + "\n")
    end = told["started"] + told["driver"]["seconds"]
    os.utime(file, (end, end))


LINE = "{uid}\t{since}\t{until}\tn\t2\tt3.medium\tus-east-1\t\tworker\n"


def note(folder: Path, *spans: tuple[float, float]) -> None:
    lines = (
        LINE.format(uid=at, since=int(START + s * HOUR), until=int(START + u * HOUR))
        for at, (s, u) in enumerate(spans)
    )
    (folder / "nodes.tsv").write_text("".join(lines))


def test_a_bill_from_the_volume_as_table_csv_and_picture(
    volume: Path, capfd, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(verb.Stack, "folder", tmp_path / "stack")
    monkeypatch.setattr(verb, "ROOT", tmp_path)
    note(volume, (0, 30), (0, 30))
    store(volume, "app-1", used("pi", 1, 2, 2))
    store(volume, "app-2", used("report", 23, 2, 1, 1))
    store(volume, "app-0", used("older", -90, 1, 1))
    words = ["bill", "--from=2026-11-20", "--to=2026-11-21", "--by=name"]
    assert __main__.main(words) == 0
    said = capfd.readouterr().out
    table = [line.split() for line in said.splitlines()]
    assert ["pi", "1", "6.00", "3.000", "0.1200", "5.0%"] in table
    assert ["report", "1", "6.00", "3.000", "0.1200", "5.0%"] in table
    assert [IDLE, "108.00", "54.000", "2.1600", "90.0%"] in table
    assert ["together", "2", "120.00", "60.000", "2.4000"] in table
    assert "older" not in said
    files = [
        tmp_path / line.split(": ")[1]
        for line in said.splitlines()
        if line.startswith(("Rows", "Picture"))
    ]
    assert [file.suffix for file in files] == [".csv", ".png", ".svg"]
    with files[0].open() as text:
        found = list(csv.DictReader(text))
    assert sum(float(row["usd"]) for row in found) == pytest.approx(2.4, abs=1e-5)
    assert {row["day"] for row in found} == {"2026-11-20", "2026-11-21"}
    assert files[1].read_bytes().startswith(b"\x89PNG") and files[1].stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from=x"], "x is no day: write 2026-11-01"),
        (["--by=owner"], "owner is none of namespace, name, user and label:NAME"),
    ],
)
def test_bad_input_is_a_line(words: list[str], said: str, capfd) -> None:
    with pytest.raises(SystemExit):
        __main__.main(["bill", *words])
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith(said)


def test_times_without_nodes_are_a_line(volume: Path, capfd) -> None:
    assert __main__.main(["bill", "--from=2026-12-02", "--to=2026-12-01"]) == 1
    assert capfd.readouterr().err == "bill: FROM=2026-12-02 is after TO=2026-12-01\n"
    assert __main__.main(["bill", "--from=", "--to=", "--by="]) == 1
    assert "bill: no node is known from 2026-12-01 to 2026-12-20" in capfd.readouterr().err


def test_a_volume_without_anything_is_read_all_the_same(tmp_path: Path) -> None:
    command = ["bash", "-c", script("bill.sh"), "usage", str(tmp_path), "0"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert bill.read(printed, False) == ([], [])


def test_workers_are_spot_by_the_setting() -> None:
    line = LINE.format(uid="a", since=1, until=2)
    control = line.replace("worker", "control-plane")
    found = [node.is_spot for node in bill.read(f"{line}{control}\n", True)[0]]
    assert found == [True, False]
    assert [node.is_spot for node in bill.read(f"{line}\n", False)[0]] == [False]


def test_of_a_group_the_notes_know_the_name_and_how_it_is_bought() -> None:
    line = LINE.format(uid="a", since=1, until=2).replace("\t\tworker", "\tyes\tbig")
    on_demand = line.replace("yes", "")
    found = bill.read(f"{line}{on_demand}\n", True)[0]
    assert [(one.role, one.is_spot) for one in found] == [("big", True), ("big", False)]


def test_the_picture_has_each_day_and_the_dearest_by_name() -> None:
    runs = [used(f"app{n}", n, 5 + n / 10, 2) for n in range(12)]
    found = made(runs, [node(0, 70, cores=8.0)], days=3)
    figure = picture.costs(found, bill.days_of(DAY, date(2026, 11, 23)), "name")
    (axes,) = figure.axes
    heights = [sum(bar[day].get_height() for bar in axes.containers) for day in range(3)]
    assert sum(heights) == pytest.approx(found.total)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:2] == [IDLE, "others"] and len(names) == 9
