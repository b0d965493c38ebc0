"""bench/nodes.py: whose processor time it is, and what the page says."""

import subprocess
import sys
from contextlib import nullcontext

from bench.moto import against_moto
from bench.nodes import Planned, Watch, more, part_of, table

SPIN = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"


def test_its_stand_ins_start_as_a_users_do(monkeypatch):
    """And not by what only a run of tests has."""
    monkeypatch.setattr("tests.aws_api.aws_api", lambda *_: nullcontext("http://127.0.0.1:9"))
    with against_moto() as engine:
        assert not {name for name in engine.env if name.startswith("TINDERBOX_WARM")}


def test_what_started_meanwhile_counts_and_what_was_there_does_not():
    command = [sys.executable, "-c", SPIN]
    with subprocess.Popen([*command, "standins."]) as before:
        with Watch() as watch:
            subprocess.run(["sh", "-c", '"$@"; :', "sh", *command, "language_python"], check=True)
        before.wait()
    assert 0.2 < watch.cpu["program"] < 1
    assert watch.cpu["plugins"] == 0


def test_a_part_is_told_by_its_command_line():
    told = {
        "/home/bin/pulumi --non-interactive preview": "Pulumi",
        "python -P -m standins.language_python 127.0.0.1:1": "program",
        "/opt/pulumi-language-python 127.0.0.1:1": "program",
        "python -P -m standins.aws 127.0.0.1:1": "plugins",
        "/root/plugins/pulumi-resource-kubernetes 127.0.0.1:1": "plugins",
        "sh -c true": None,
    }
    assert {command: part_of(command) for command in told} == told


def test_what_each_node_more_takes_is_without_what_all_begin_with():
    few = Planned(10, 100, 2.0, {"program": 1.0, "plugins": 0.5, "Pulumi": 0.5})
    many = Planned(110, 1100, 8.0, {"program": 6.0, "plugins": 1.5, "Pulumi": 4.5})
    assert more(few, many) == 0.1
    rows = table([few, many]).splitlines()
    assert rows[-1] == "| 110 | 1,100 | 8.0 | 12.0 | 6.0 | 1.5 | 4.5 | 100 |"
    assert {row.count("|") for row in rows} == {9}
