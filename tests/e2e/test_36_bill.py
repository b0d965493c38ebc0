"""`make bill`: together what the nodes cost by their number, hours and price; who ran what."""

from __future__ import annotations

import re
import subprocess
import time
from datetime import datetime

import pytest

from console.stack import ROOT
from tests.e2e.conftest import Up

PRICE = 0.048  # Pulumi.local.yaml's
NOTES = "/srv/shared/spark/nodes.tsv"


def rows(printed: str) -> dict[str, list[str]]:
    """The lines of the table by their names."""
    return {line.split("  ")[0]: line.split()[1:] for line in printed.splitlines() if line.strip()}


def test_the_rows_are_together_what_the_nodes_cost(up: Up) -> None:
    one = [*("spark_jobs/pi.py", "1000"), "--name", "billed", "--label", "team=data"]
    words = [".venv/bin/python", "-m", "console", "submit", *one[2:], *one[:2]]
    subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=300)
    control_plane = up.control_plane()
    noted = up.ssh(control_plane, "sudo systemctl start tinderbox-nodes.service")
    assert noted.returncode == 0, noted.stderr
    lines = up.ssh(control_plane, f"cat {NOTES}").stdout.splitlines()
    roles = sorted(line.split("\t")[-1] for line in lines)
    assert roles == ["control-plane", "worker", "worker"]

    began = time.time()
    printed = up.make("bill", "BY=name")
    made = [
        datetime.fromisoformat(node["metadata"]["creationTimestamp"]).timestamp()
        for node in up.get("nodes")["items"]
    ]
    # The whole of this stack's life, if it was not begun in another month.
    hours = sum(began - at for at in made) / 3600
    found = rows(printed)
    total = float(found["together"][3])
    assert total == pytest.approx(hours * PRICE, rel=0.02)
    others = sum(float(cells[-2]) for name, cells in found.items() if cells[-1].endswith("%"))
    # The table has four places of each.
    assert others == pytest.approx(total, rel=0.01, abs=0.0001 * len(found))
    assert {"wordcount", "billed", "(idle)"} <= found.keys()
    assert float(found["wordcount"][3]) > 0

    by_user = rows(up.make("bill", "BY=user"))
    assert "(the stack)" in by_user
    # Whom the API server takes the stack's kubeconfig for: its number grows as it is renewed.
    assert any(re.match(r"tinderbox:operator-\d+$", name) for name in by_user), by_user
    assert {"data", "(none)"} <= rows(up.make("bill", "BY=label:team")).keys()
    assert "spark" in rows(up.make("bill", "BY=namespace"))
    files = re.findall(r"^(?:Rows|Picture): (\S+)$", printed, re.M)
    assert [name.rpartition(".")[2] for name in files] == ["csv", "png", "svg"]
    assert all((ROOT / name).stat().st_size > 50 for name in files)
