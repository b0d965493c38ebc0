"""`make usage`: the table, the picture, and that nothing else waits for matplotlib."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from console import picture, report, volume
from console.stack import ROOT, ConsoleError
from console.verbs import usage


def executor(id_: str, **more: Any) -> dict[str, Any]:
    told = {"id": id_, "host": "h", "cores": 2, "seconds": 9.0, "tasks": 3, "cpuSeconds": 4.0}
    return {**told, "peakMemoryMiB": 300.0, **more}


def told(*executors: dict[str, Any], usd: float | None = 0.0005) -> dict[str, Any]:
    """The content of a usage.json, as far as it is shown."""
    return {
        "application": "app-1",
        "name": "pi",
        "started": 102.0,
        "seconds": 10.0,
        "executorRunSeconds": 12.0,
        "executorCpuSeconds": 8.0,
        "bytesRead": 2048,
        "shuffleBytesWritten": 3 << 30,
        "driver": {"cores": 1, "seconds": 10.0},
        "executors": list(executors),
        "cost": {"usd": usd, "nodeHours": 0.01},
        "sampled": {"driver": {"cpuSeconds": 5.0, "peakCores": 0.9, "peakMemoryMiB": 500.0}},
    }


def samples(*processes: str) -> picture.Samples:
    """Ten seconds of each."""
    return {
        name: [{"at": 100.0 + s, "cpu": 1.5 * s, "memory": s << 26} for s in range(10)]
        for name in processes
    }


def test_a_row_for_each_process() -> None:
    head, driver, first, second = usage.processes(told(executor("0"), executor("1"))).splitlines()
    assert " ".join(head.split()) == (
        "process cores s tasks task CPU s all CPU s peak cores peak MiB"
    )
    assert driver.split() == ["driver", "1", "10.0", "5.0", "0.90", "500"]
    assert first.split() == ["executor", "0", "2", "9.0", "3", "4.0"]  # no samples of it
    assert len({len(head), len(driver)}) == 1
    assert second.startswith("executor 1")


def test_what_was_used_in_words() -> None:
    text = report.used(told(executor("0"), executor("1", peakMemoryMiB=None)))
    assert "2 executors: 8.0 s of CPU in 12.0 s of tasks, up to 300 MiB of memory each" in text
    assert "2.0 KiB read, 3.0 GiB shuffled" in text
    assert "0.01000 node-hours (0.000500 USD)" in text
    assert "no nodes.price is set" in report.used(told(usd=None))
    assert "not known" in report.used(None)


@pytest.mark.parametrize("executors", [1, 2, 40])
def test_the_picture_has_every_process_over_the_whole_run(tmp_path: Path, executors: int) -> None:
    names = ["driver", *(f"executor {number}" for number in range(executors))]
    figure = picture.draw(told(), samples(*names))
    cpu, memory = figure.axes
    for axes, unit in ((cpu, "cores"), (memory, "MiB")):
        assert unit in axes.get_ylabel()
        assert [line.get_label() for line in axes.lines] == names
    # 64 MiB more each second, and 1.5 cores from the first second to the last.
    assert np.array(memory.lines[0].get_xydata())[-1].tolist() == [9, 9 * 64]
    assert np.array(cpu.lines[1].get_xydata())[1:].tolist() == [[s, 1.5] for s in range(1, 10)]
    assert "pi" in cpu.get_title(loc="left")
    (legend,) = figure.legends or [None]
    assert (legend is None) == (executors == 40)
    png, svg = picture.save(figure, tmp_path / "app-1")
    assert png.read_bytes().startswith(b"\x89PNG") and png.stat().st_size > 10_000
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")


def test_executors_stand_in_the_order_of_their_numbers() -> None:
    figure = picture.draw(told(), samples("executor 10", "executor 9", "driver"))
    assert [line.get_label() for line in figure.axes[0].lines] == [
        "driver",
        "executor 9",
        "executor 10",
    ]


def test_without_samples_there_is_no_picture() -> None:
    with pytest.raises(ConsoleError, match="app-1 was not sampled"):
        picture.draw(told(), {})


def bash(folder: Path, *run: str) -> subprocess.CompletedProcess[str]:
    """What reads the volume, in the master's pod."""
    command = volume.command("latest_usage.sh", *run, folder=str(folder))
    return subprocess.run(command, capture_output=True, text=True)


def test_the_latest_run_is_read_unless_another_is_named(tmp_path: Path) -> None:
    assert bash(tmp_path).stderr == "no application has told yet what it used\n"
    for name in ("app-1", "app-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "usage.json").write_text(f'{{"is": "{name}"}}\n')
        (tmp_path / name / "driver.jsonl").write_text("{}\n")
    (tmp_path / "app-3").mkdir()  # still running
    os.utime(tmp_path / "app-1" / "usage.json", (1, 1))
    assert bash(tmp_path).stdout == '{"is": "app-2"}\n{}\n'
    assert bash(tmp_path, "app-1").stdout == '{"is": "app-1"}\n{}\n'
    assert "no usage of app-9; there is: app-1/ app-2/" in bash(tmp_path, "app-9").stderr


def test_nothing_but_the_picture_waits_for_matplotlib() -> None:
    check = "import sys, console.verbs.usage; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT)
