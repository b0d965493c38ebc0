#!/usr/bin/env python3
"""What one Spark application used and cost, from the event log that Spark wrote of it.

    usage.py LOG [--samples FOLDER] [--node-cores N] [--node-price USD]

LOG is a finished event log: a folder eventlog_v2_*, or a single file; compressed or not. Prints one
JSON object (`summarize` has its shape), with FOLDER also what sampler.py saw (see `sampled`).

The cost is that of what the application reserved, used or not, as nobody else could have it:

    node-hours = (sum over driver and executors of cores x seconds) / cores of a node / 3600
    cost       = node-hours x price of a node for an hour

An executor counts from the moment it joined until it left or the application ended, with the cores
that the worker gave it; the driver for the whole application, with spark.driver.cores (else 1).

Only the standard library, and for compressed logs Java and Spark's jars; Python 3.10.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MIB = 1 << 20
#: Characters of what Spark says of an executor's end.
_LONGEST = 1000
#: The property by which measured.py knows the log of the application that it ran.
RUN_PROPERTY = "spark.tinderbox.run"
#: The property that says what a node costs (USD an hour), where usage.py is not told.
PRICE_PROPERTY = "spark.tinderbox.nodePrice"
#: The property that says how many cores a node has (the mean, where nodes differ).
CORES_PROPERTY = "spark.tinderbox.nodeCores"
#: The properties that say whose it is: NAME=VALUE,NAME=VALUE are the driver's labels.
NAMESPACE_PROPERTY, USER_PROPERTY, LABELS_PROPERTY = (
    f"spark.tinderbox.{what}" for what in ("namespace", "user", "labels")
)

# The events that count; Spark writes the name first, so others need not be parsed.
_EVENTS = {
    "SparkListenerLogStart",
    "SparkListenerApplicationStart",
    "SparkListenerApplicationEnd",
    "SparkListenerEnvironmentUpdate",
    "SparkListenerExecutorAdded",
    "SparkListenerExecutorRemoved",
    "SparkListenerTaskEnd",
    "SparkListenerStageExecutorMetrics",
    "SparkListenerExecutorMetricsUpdate",
}
_EVENT = re.compile(r'\{"Event":"(\w+)"')
_PROCESS_TREE = (
    "ProcessTreeJVMRSSMemory",
    "ProcessTreePythonRSSMemory",
    "ProcessTreeOtherRSSMemory",
)


class UsageError(Exception):
    """There is no log to tell from, or it can't be read; the message is one line."""


# -- reading


class Unpacker:
    """Reads compressed logs with Spark's own codecs, in a small JVM without a SparkContext.

    Python 3.10 has no zstd, and neither image has more than Python and Spark's jars. The JVM starts
    with the first file that needs it (about a quarter of a second), and ends with `close`.
    """

    def __init__(self) -> None:
        self._gateway: Any = None

    def lines(self, file: Path) -> Iterator[str]:
        """The lines of a file, whose suffix tells the codec."""
        codec = file.suffix.lstrip(".")
        if codec not in ("zstd", "lz4", "lzf", "snappy"):
            with file.open(encoding="utf-8") as stream:
                yield from stream
            return
        with tempfile.TemporaryDirectory(prefix="usage-") as folder:
            plain = Path(folder) / "events"
            java = self._jvm().java
            packed = self._unpacked(java.io.FileInputStream(str(file)), codec)
            out = java.io.FileOutputStream(str(plain))
            packed.transferTo(out)
            out.close()
            with plain.open(encoding="utf-8") as stream:
                yield from stream

    def _unpacked(self, stream: Any, codec: str) -> Any:
        """A stream of what is in one, also of what a driver that was killed has written."""
        jvm = self._jvm()
        if codec == "zstd":
            # What Spark does; but Spark's own classes take a second to load.
            return jvm.com.github.luben.zstd.ZstdInputStream(stream).setContinuous(True)
        spark = jvm.org.apache.spark
        made = spark.io.CompressionCodec.createCodec(spark.SparkConf(False), codec)
        return made.compressedContinuousInputStream(stream)

    def _jvm(self) -> Any:
        if self._gateway is None:
            java_gateway, jars = _spark()
            first = next(jars.glob("zstd-jni-*.jar"))  # searched first, before hundreds of others
            port, token = java_gateway.launch_gateway(
                jarpath=str(next(jars.glob("py4j-*.jar"))),
                classpath=f"{first}:{jars}/*",
                javaopts=["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
                die_on_exit=True,
                enable_auth=True,
            )
            parameters = java_gateway.GatewayParameters(port=port, auth_token=token)
            self._gateway = java_gateway.JavaGateway(gateway_parameters=parameters)
        return self._gateway.jvm

    def close(self) -> None:
        """End the JVM, if there is one."""
        if self._gateway is not None:
            self._gateway.shutdown()
            self._gateway = None


def _spark() -> tuple[Any, Path]:
    """(py4j.java_gateway, the folder of Spark's jars): of SPARK_HOME, else of PyPI's pyspark."""
    home = os.environ.get("SPARK_HOME")
    if home is None:
        import pyspark

        home = str(Path(pyspark.__file__).parent)
    sys.path += map(str, Path(home, "python", "lib").glob("py4j-*-src.zip"))
    from py4j import java_gateway

    return java_gateway, Path(home, "jars")


@contextmanager
def unpacker() -> Generator[Unpacker, None, None]:
    """An Unpacker for the block."""
    made = Unpacker()
    try:
        yield made
    finally:
        made.close()


def files_of(log: Path) -> list[Path]:
    """The files of a log in their order: events_1_<app>.zstd, events_2_<app>.zstd ..."""
    if not log.is_dir():
        return [log]
    parts = [(re.fullmatch(r"events_(\d+)_.*", file.name), file) for file in log.iterdir()]
    return [file for _, file in sorted((int(name[1]), file) for name, file in parts if name)]


def read_events(log: Path, unpack: Unpacker) -> Iterator[dict[str, Any]]:
    """The events of a log that count here, in their order."""
    try:
        for file in files_of(log):
            for line in unpack.lines(file):
                name = _EVENT.match(line)
                if name and name[1] in _EVENTS:
                    yield json.loads(line)
    except (OSError, ValueError) as error:
        raise UsageError(f"{log}: cannot be read: {error}") from error


def logs_since(folder: Path, since: float) -> list[Path]:
    """The logs in `folder` that were written to since then (Unix seconds), the latest first."""
    times = {log: log.stat().st_mtime for log in folder.glob("eventlog_v2_*")}
    return sorted((log for log in times if times[log] >= since), key=times.__getitem__)[::-1]


def _properties(event: dict[str, Any]) -> dict[str, str]:
    return dict(event["Spark Properties"])


# -- counting


@dataclass
class _Executor:
    id: str
    host: str = ""
    cores: int = 0
    added: float | None = None  # Unix seconds, as all times here
    removed: float | None = None
    ended: str | None = None  # why it was removed, in Spark's words
    tasks: int = 0
    run: float = 0.0
    cpu: float = 0.0
    peaks: dict[str, int] = field(default_factory=dict)

    def saw(self, metrics: dict[str, int]) -> None:
        """Keep the highest value of each metric."""
        for name, value in metrics.items():
            self.peaks[name] = max(self.peaks.get(name, 0), value)

    def memory(self) -> dict[str, float | None]:
        """Peaks in MiB: the process tree's resident memory, and what of it is Java's heap."""
        resident = sum(self.peaks.get(name, 0) for name in _PROCESS_TREE)
        heap = self.peaks.get("JVMHeapMemory", 0)
        return {"peakMemoryMiB": _mib(resident), "peakHeapMiB": _mib(heap)}


def _mib(value: int) -> float | None:
    """None where Spark measured nothing: a process that lived for less than a heartbeat."""
    return round(value / _MIB, 1) if value else None


def _dig(event: dict[str, Any], *keys: str) -> int:
    value: Any = event
    for key in keys:
        value = (value or {}).get(key)
    return int(value or 0)


#: Sums over all tasks, also those that failed: name in the result, and where a task has it.
_SUMS = {
    "bytesRead": [("Input Metrics", "Bytes Read")],
    "recordsRead": [("Input Metrics", "Records Read")],
    "bytesWritten": [("Output Metrics", "Bytes Written")],
    "recordsWritten": [("Output Metrics", "Records Written")],
    "shuffleBytesRead": [
        ("Shuffle Read Metrics", "Remote Bytes Read"),
        ("Shuffle Read Metrics", "Local Bytes Read"),
    ],
    "shuffleRecordsRead": [("Shuffle Read Metrics", "Total Records Read")],
    "shuffleBytesWritten": [("Shuffle Write Metrics", "Shuffle Bytes Written")],
    "shuffleRecordsWritten": [("Shuffle Write Metrics", "Shuffle Records Written")],
    "bytesSpilled": [("Disk Bytes Spilled",)],
}


def summarize(
    events: Iterable[dict[str, Any]], node_cores: int, node_price: float | None = None
) -> dict[str, Any]:
    """What the events tell, as

    {application, name, namespace, user, labels, run, started, seconds, tasks, failedTasks,
     executorRunSeconds, executorCpuSeconds, gcSeconds, bytesRead, recordsRead, bytesWritten,
     recordsWritten, shuffleBytesRead, shuffleRecordsRead, shuffleBytesWritten,
     shuffleRecordsWritten, bytesSpilled,
     driver: {cores, seconds, peakMemoryMiB, peakHeapMiB},
     executors: [{id, host, cores, started, seconds, tasks, runSeconds, cpuSeconds, peakMemoryMiB,
                  peakHeapMiB, ended}],
     executorMemory: {heapMiB, askedMiB}, cost: {usd, nodeHours, nodeCores, nodePrice}}

    namespace, user: None where it is not known; what the stack runs has no user. labels: of the
    driver, {name: value}. run: RUN_PROPERTY, or None. started: Unix seconds. Peaks are None where
    Spark measured nothing. ended: why Spark removed it, or None. executorMemory: by the properties,
    None where these don't say it; askedMiB: heap and overhead.
    node_cores: cores of a node, where the log has no CORES_PROPERTY.
    node_price: USD an hour; None: what the log has as PRICE_PROPERTY, else usd is None.
    Raises UsageError for a log without a beginning or with nothing in it.
    """
    app: dict[str, Any] = {}
    properties: dict[str, str] = {}
    driver, executors = _Executor("driver"), dict[str, _Executor]()
    started, ended, last = None, None, 0.0
    tasks = failed = gc = 0
    sums = dict.fromkeys(_SUMS, 0)

    def of(id_: str) -> _Executor:
        # In local mode the driver is the executor, too.
        return driver if id_ == "driver" else executors.setdefault(id_, _Executor(id_))

    for event in events:
        kind = event["Event"].removeprefix("SparkListener")
        at = event.get("Timestamp", 0) / 1000
        last = max(last, at)
        if kind == "ApplicationStart":
            app, started = event, at
        elif kind == "ApplicationEnd":
            ended = at
        elif kind == "EnvironmentUpdate":
            properties = _properties(event)
        elif kind == "ExecutorAdded":
            executor, info = of(event["Executor ID"]), event["Executor Info"]
            executor.host, executor.cores, executor.added = info["Host"], info["Total Cores"], at
        elif kind == "ExecutorRemoved":
            executor = of(event["Executor ID"])
            executor.removed, executor.ended = at, _in_a_line(event.get("Removed Reason"))
        elif kind == "StageExecutorMetrics":
            of(event["Executor ID"]).saw(event["Executor Metrics"])
        elif kind == "ExecutorMetricsUpdate":
            for update in event["Executor Metrics Updated"]:
                of(event["Executor ID"]).saw(update["Executor Metrics"])
        elif kind == "TaskEnd":
            tasks += 1
            failed += event["Task End Reason"]["Reason"] != "Success"
            last = max(last, _dig(event, "Task Info", "Finish Time") / 1000)
            executor, metrics = of(event["Task Info"]["Executor ID"]), event.get("Task Metrics")
            executor.tasks += 1
            executor.saw(event.get("Task Executor Metrics") or {})
            executor.run += _dig(metrics or {}, "Executor Run Time") / 1e3
            executor.cpu += _dig(metrics or {}, "Executor CPU Time") / 1e9
            gc += _dig(metrics or {}, "JVM GC Time")
            for name, places in _SUMS.items():
                sums[name] += sum(_dig(metrics or {}, *place) for place in places)
    if started is None:
        raise UsageError("the event log has no beginning of an application")
    end = ended or last  # A driver that was killed wrote no end.
    driver.cores = driver.cores or int(properties.get("spark.driver.cores", 1))
    ran = [driver, *executors.values()]
    begun = {executor.id: executor.added or started for executor in ran} | {"driver": started}
    seconds = {e.id: max(0.0, (e.removed or end) - begun[e.id]) for e in ran}
    price = node_price if node_price is not None else _number(properties, PRICE_PROPERTY)
    cores = _number(properties, CORES_PROPERTY) or node_cores
    hours = sum(e.cores * seconds[e.id] for e in ran) / cores / 3600
    return {
        "application": app["App ID"],
        "name": app["App Name"],
        "namespace": properties.get(NAMESPACE_PROPERTY),
        "user": properties.get(USER_PROPERTY),
        "labels": _labels(properties.get(LABELS_PROPERTY, "")),
        "run": properties.get(RUN_PROPERTY),
        "started": started,
        "seconds": round(end - started, 3),
        "tasks": tasks,
        "failedTasks": failed,
        "executorRunSeconds": round(sum(e.run for e in ran), 3),
        "executorCpuSeconds": round(sum(e.cpu for e in ran), 3),
        "gcSeconds": round(gc / 1000, 3),
        **sums,
        "driver": {
            "cores": driver.cores,
            "seconds": round(seconds["driver"], 3),
            **driver.memory(),
        },
        "executors": [
            {
                "id": executor.id,
                "host": executor.host,
                "cores": executor.cores,
                "started": begun[executor.id],
                "seconds": round(seconds[executor.id], 3),
                "tasks": executor.tasks,
                "runSeconds": round(executor.run, 3),
                "cpuSeconds": round(executor.cpu, 3),
                "ended": executor.ended,
                **executor.memory(),
            }
            for executor in executors.values()
        ],
        "executorMemory": _executor_memory(properties),
        "cost": {
            "usd": None if price is None else round(price * hours, 9),
            "nodeHours": round(hours, 9),
            "nodeCores": cores,
            "nodePrice": price,
        },
    }


def _labels(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(",") if pair)
    return {name: value for name, _, value in pairs}


def _in_a_line(text: str | None) -> str | None:
    return None if text is None else " ".join(text.split())[:_LONGEST]


def _executor_memory(properties: dict[str, str]) -> dict[str, int | None]:
    heap, more = (
        _mebibytes(properties.get(f"spark.executor.{name}"))
        for name in ("memory", "memoryOverhead")
    )
    return {"heapMiB": heap, "askedMiB": None if heap is None else heap + (more or 0)}


def _mebibytes(text: str | None) -> int | None:
    """Of a size as Spark takes it; MiB is its unit where there is none."""
    found = re.fullmatch(r"(\d+)([kmgt]?)b?", (text or "").lower())
    if found is None:
        return None
    return (int(found[1]) << {"k": 10, "": 20, "m": 20, "g": 30, "t": 40}[found[2]]) >> 20


def ends(found: dict[str, Any], samples: Path) -> list[dict[str, Any]]:
    """How the executors of a `summarize` ended, as why.py takes them; with what sampler.py left."""
    told = []
    for one in found["executors"]:
        sampled = found.get("sampled", {}).get(f"executor {one['id']}", {})
        row = {key: one[key] for key in ("id", "host", "ended")} | found["executorMemory"]
        row["peakMiB"] = sampled.get("peakMemoryMiB") or one["peakMemoryMiB"]
        file = samples / f"executor-{one['id']}.json"
        if file.exists():
            row |= json.loads(file.read_text())
        told.append(row)
    return told


def _number(properties: dict[str, str], name: str) -> float | None:
    text = properties.get(name)
    try:
        return None if text is None else float(text)
    except ValueError:
        raise UsageError(f"{name} is {text!r}; it must be a number") from None


def read_samples(text: str) -> dict[str, list[dict[str, Any]]]:
    """Samples (see sampler.py) by process, in the order of time, from JSON lines.

    A line that was cut off, because its writer was killed, is left out.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for line in text.splitlines():
        try:
            sample = json.loads(line)
            found.setdefault(sample["process"], []).append(sample)
        except (ValueError, KeyError, TypeError):
            continue
    return {name: sorted(rows, key=lambda row: row["at"]) for name, rows in sorted(found.items())}


def sampled(samples: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """By process: {samples, seconds, cpuSeconds, peakCores, peakMemoryMiB}.

    peakCores: the highest use of CPU between two samples half a second or more apart.
    """
    return {
        name: {
            "samples": len(rows),
            "seconds": round(rows[-1]["at"] - rows[0]["at"], 3),
            "cpuSeconds": round(rows[-1]["cpu"], 2),
            "peakCores": round(max((cores for _, cores in rates(rows)), default=0.0), 2),
            "peakMemoryMiB": round(max(row["memory"] for row in rows) / _MIB, 1),
        }
        for name, rows in samples.items()
    }


def rates(rows: list[dict[str, Any]], shortest: float = 0.5) -> list[tuple[float, float]]:
    """(Unix seconds, cores used since the point before) from samples of one process.

    Shorter intervals than `shortest` join the next: CPU time counts in steps of 10 ms.
    """
    points: list[tuple[float, float]] = []
    before = rows[0]
    for row in rows[1:]:
        if row["at"] - before["at"] >= shortest:
            points.append((row["at"], (row["cpu"] - before["cpu"]) / (row["at"] - before["at"])))
            before = row
    return points


def read_folder(samples: Path) -> dict[str, dict[str, Any]]:
    """`sampled` of all the samples in a folder."""
    files = sorted(samples.glob("*.jsonl"))
    return sampled(read_samples("".join(file.read_text(encoding="utf-8") for file in files)))


def main(argv: list[str] | None = None) -> int:
    """The program; the exit code."""
    parser = argparse.ArgumentParser(prog="usage.py", description="What an application used.")
    parser.add_argument("log", type=Path)
    parser.add_argument("--samples", type=Path, metavar="FOLDER")
    parser.add_argument("--node-cores", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--node-price", type=float, metavar="USD")
    args = parser.parse_args(argv)
    try:
        with unpacker() as unpack:
            found = summarize(read_events(args.log, unpack), args.node_cores, args.node_price)
        if args.samples:
            found["sampled"] = read_folder(args.samples)
    except UsageError as error:
        print(f"usage: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
