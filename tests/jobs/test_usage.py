"""charts/spark/files/usage.py and measured.py, with the event log of a real run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measured
import pyspark
import pytest
import usage

CHECKOUT = Path(__file__).parents[2]
SUBMIT = str(Path(pyspark.__file__).parent / "bin" / "spark-submit")
TEXT = "to be or not to be\n" * 200_000
PRICE = 0.25


@dataclass
class Run:
    """A count in local mode, where the driver does the executors' work."""

    folder: Path
    output: Path
    text: Path
    stderr: str
    usage: dict[str, Any]
    log: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    base = tmp_path_factory.mktemp("usage")
    folder, output, text = base / "spark", base / "out", base / "text.txt"
    (folder / "events").mkdir(parents=True)
    # Another application's log, written to later than ours.
    other = folder / "events" / "eventlog_v2_other" / "events_1_other"
    other.parent.mkdir()
    other.write_text('{"Event":"SparkListenerApplicationStart","App ID":"o","App Name":"o"}\n')
    os.utime(other.parent, (4e9, 4e9))
    text.write_text(TEXT)
    conf = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file://{folder}/events",
        "spark.eventLog.rolling.enabled": "true",
        "spark.eventLog.compress": "true",
        "spark.eventLog.logStageExecutorMetrics": "true",
        "spark.executor.processTreeMetrics.enabled": "true",
        "spark.executor.metrics.pollingInterval": "1s",
        usage.PRICE_PROPERTY: str(PRICE),
    }
    done = subprocess.run(
        [
            *(sys.executable, measured.__file__, "--every", "0.5", "--beside", str(output)),
            *(str(folder), "pod-a", "--", SUBMIT),
            *(item for key, value in conf.items() for item in ("--conf", f"{key}={value}")),
            *(str(CHECKOUT / "spark_jobs" / "wordcount.py"), str(text), str(output)),
        ],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((output / "usage.json").read_text())
    log = folder / "events" / f"eventlog_v2_{found['application']}"
    return Run(folder, output, text, done.stderr, found, log)


@pytest.fixture
def unpack() -> Iterator[usage.Unpacker]:
    with usage.unpacker() as made:
        yield made


def test_it_tells_of_the_run_and_of_no_other(run: Run) -> None:
    assert (run.usage["run"], run.usage["name"]) == ("pod-a", "wordcount.py")
    kept = run.folder / "usage" / run.usage["application"]
    assert json.loads((kept / "usage.json").read_text()) == run.usage
    assert run.stderr.splitlines()[-1] == f"usage: {json.dumps(run.usage)}"
    names = {"driver.jsonl", "usage.json", "driver.log", "why.json"}
    assert {file.name for file in run.folder.glob("usage/**/*.*")} == names
    told = json.loads((kept / "why.json").read_text())
    assert (told["cause"], told["code"], told["run"]) == ("done", 0, "pod-a")


def test_what_was_read_and_done(run: Run) -> None:
    assert run.usage["bytesRead"] >= run.text.stat().st_size
    # The text, and the result's top words.
    assert 200_000 <= run.usage["recordsRead"] <= 200_000 + 100
    assert run.usage["bytesWritten"] == sum(file.stat().st_size for file in run.output.glob("p*"))
    # Some is read twice: once to find out where the parts of the order begin.
    assert run.usage["shuffleBytesRead"] >= run.usage["shuffleBytesWritten"] > 0
    assert run.usage["failedTasks"] == 0 < run.usage["tasks"]
    assert 0 < run.usage["executorCpuSeconds"] < run.usage["executorRunSeconds"]


def test_it_cost_what_was_reserved(run: Run) -> None:
    driver = run.usage["driver"]
    assert (driver["cores"], driver["seconds"]) == (2, run.usage["seconds"])
    hours = 2 * driver["seconds"] / 3600 / os.cpu_count()
    assert run.usage["cost"]["nodeHours"] == pytest.approx(hours, rel=1e-4)
    assert run.usage["cost"]["usd"] == pytest.approx(hours * PRICE, rel=1e-4) != 0


def test_samples_agree_with_spark(run: Run) -> None:
    sampled = run.usage["sampled"]["driver"]
    # All that the tasks used, and the JVM's own work; no more than the machine has.
    assert run.usage["executorCpuSeconds"] < sampled["cpuSeconds"]
    assert sampled["cpuSeconds"] < sampled["seconds"] * os.cpu_count()
    assert sampled["seconds"] > run.usage["seconds"]
    # Spark looks while tasks run; the process goes on a little.
    assert sampled["peakMemoryMiB"] > 0.8 * run.usage["driver"]["peakMemoryMiB"]


def test_the_log_is_compressed_and_its_price_may_be_another(run: Run) -> None:
    (part,) = run.log.glob("events_*")
    assert part.suffix == ".zstd"
    assert part.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    done = subprocess.run(
        [sys.executable, usage.__file__, run.log, "--node-cores", "8", "--node-price", "2"],
        check=True,
        capture_output=True,
    )
    cost = json.loads(done.stdout)["cost"]
    assert (cost["nodeCores"], cost["nodePrice"]) == (8, 2)
    # Both are rounded, to a millionth of an hour and to a billionth of a dollar.
    assert cost["usd"] == pytest.approx(cost["nodeHours"] * 2, rel=1e-4)


def test_rolled_plain_and_cut_off_logs(run: Run, unpack: usage.Unpacker, tmp_path: Path) -> None:
    whole = usage.summarize(usage.read_events(run.log, unpack), 2)
    lines = [line for file in usage.files_of(run.log) for line in unpack.lines(file)]
    (tmp_path / "plain").write_text("".join(lines))
    assert usage.summarize(usage.read_events(tmp_path / "plain", unpack), 2) == whole

    rolled = tmp_path / "eventlog_v2_x"
    rolled.mkdir()
    for number in range(12):  # 10 comes after 9
        size = len(lines) // 12 + 1
        part = "".join(lines[number * size : (number + 1) * size])
        (rolled / f"events_{number + 1}_x").write_text(part)
    (rolled / "appstatus_x").touch()
    assert usage.summarize(usage.read_events(rolled, unpack), 2) == whole

    killed = [line for line in lines if "ApplicationEnd" not in line]
    (tmp_path / "killed").write_text("".join(killed))
    left = usage.summarize(usage.read_events(tmp_path / "killed", unpack), 2)
    assert left["executorRunSeconds"] == whole["executorRunSeconds"]
    assert 0 < left["seconds"] <= whole["seconds"]
