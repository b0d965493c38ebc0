"""A change is played on a local cloud of its own, and nothing is left of it: `make rehearse`.

The stack whose change it is was made by an update with its settings, and has nothing else.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from console.stack import PROJECT, ROOT, Stack
from localcloud.daemons.sweep import leftovers
from tests.seen import see
from toolchain.env import environment

NAME = "played"
FILE = ROOT / f"Pulumi.{NAME}.yaml"
REPORT = ROOT / ".tinderbox" / "rehearse" / f"{NAME}.md"


class Played:
    """A stack that was updated once, with backend and passphrase of its own."""

    def __init__(self, folder: Path) -> None:
        state = folder / "state"
        state.mkdir()
        self.own = {
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": "of the stack that is played",
        }
        (folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
        (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
        (folder / "__main__.py").write_text("")
        stack = Stack(NAME, {**environment(), **self.own})
        stack.pulumi("stack", "init", NAME, cwd=folder)
        self.set(count=2)
        stack.pulumi(*("up", "--yes", "--skip-preview"), own=True, cwd=folder)

    def set(self, **changes: object) -> None:
        """Writes the stack's settings; changes: of nodes and the cluster's podCidr."""
        groups = {
            "aws": {"region": "us-east-1"},
            "network": {"operatorCidr": "198.51.100.7/32"},
            "nodes": {"count": changes.get("count", 2), "type": "m5.large"},
            "cluster": {"podCidr": changes.get("podCidr", "10.244.0.0/16")},
        }
        config = {f"{PROJECT}:{name}": group for name, group in groups.items()}
        FILE.write_text(yaml.safe_dump({"config": config}))

    def rehearse(self, *, interrupt_at: str | None = None) -> tuple[int, str]:
        """`make rehearse`: its exit code, and what it printed. It gets Ctrl-C at a text."""
        process = subprocess.Popen(
            ["make", "rehearse", f"STACK={NAME}"],
            cwd=ROOT,
            env={**os.environ, **self.own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if interrupt_at and interrupt_at in line:
                os.killpg(process.pid, signal.SIGINT)  # to all of them, as a terminal does
                interrupt_at = None
        print(printed)
        return process.wait(), printed


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    # The other files' stack: only one local cloud can be here.
    subprocess.run(["make", "destroy"], cwd=ROOT, check=True)
    try:
        yield Played(tmp_path_factory.mktemp("played"))
    finally:
        FILE.unlink(missing_ok=True)
        subprocess.run(["make", "destroy"], cwd=ROOT, check=True)


def test_a_local_cloud_that_stands_is_left_alone(played: Played):
    played.set(count=3)
    cloud = [sys.executable, "-m", "localcloud"]
    subprocess.run([*cloud, "up"], cwd=ROOT, check=True)
    try:
        code, printed = played.rehearse()
        assert code != 0
        line = "rehearse: a local cloud runs on this host, and there can be one: make destroy"
        assert line in printed.splitlines()
        subprocess.run([*cloud, "status"], cwd=ROOT, check=True)
    finally:
        subprocess.run([*cloud, "down"], cwd=ROOT, check=True)


def test_ctrl_c_takes_all_of_it_down(played: Played):
    played.set(count=3)
    code, printed = played.rehearse(interrupt_at="rehearsal-control-plane created")
    assert code != 0 and "rehearse: interrupted; what was made is taken away" in printed
    assert leftovers() == []
    assert REPORT.read_text().endswith("Not finished.\n")


def test_what_is_refused_is_a_line_and_all_is_taken_down(played: Played):
    played.set(podCidr="10.200.0.0/16")
    code, printed = played.rehearse()
    refused = "cluster.podCidr is 10.244.0.0/16 in this cluster, and 10.200.0.0/16 is asked for"
    assert code != 0
    assert [line for line in printed.splitlines() if line.startswith(f"rehearse: {refused}")]
    assert leftovers() == []
    assert f"Failed: {refused}" in REPORT.read_text()


def test_a_node_more_is_played(played: Played):
    played.set(count=3)
    inventory = ROOT / "inventory.json"
    inventory.write_text("that of another stack")
    try:
        code, printed = played.rehearse()
        assert inventory.read_text() == "that of another stack"
    finally:
        inventory.unlink()
    assert code == 0, printed[-4000:]
    assert leftovers() == []
    report = REPORT.read_text()
    assert report in printed
    assert "| nodes.count | 2 | 3 | 2 → 3 |" in report
    assert "| nodes.type | m5.large | m5.large | t3.medium |" in report
    assert re.search(r"^\| is new \| .*`worker-2`", report, re.M)
    before, after = re.findall(r"^(?:Before|After): ([\d,]+ words, [\d,]+ different)", report, re.M)
    assert before == after
    assert report.endswith("All of it went well.\n")
    (seconds,) = re.findall(r"^\| up with the settings of now \| ([\d.]+) \|$", report, re.M)
    see("a node more", float(seconds))
