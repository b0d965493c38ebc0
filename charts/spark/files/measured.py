#!/usr/bin/env python3
"""Runs a driver, samples it, and says afterwards what its application used, and why it failed.

    measured.py FOLDER RUN [--every SECONDS] [--beside OUTPUT] -- PROGRAM ARGUMENTS...

FOLDER is Spark's on the shared volume: events/ in it holds the event logs (spark.eventLog.dir), and
usage/<application>/ gets the samples and usage.json (see sampler.py and usage.py). RUN is a name
that no other run has, such as the pod's. It is how the log is found: spark-submit is told of it by
a property, another PROGRAM has to have it already. With --beside, usage.json goes into that folder,
too, if the program made it. The same is printed on stderr, in one line: "usage: {...}".

The exit code is the driver's, whatever becomes of the measuring: where that fails, one line on
stderr says why. Signals go on to the driver. What a driver that fails said last becomes the pod's
message (see last_words.py). Only the standard library, Python 3.10.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import last_words
import sampler
import usage

#: Seconds that the file server's clock may be behind.
CLOCKS_DIFFER_BY = 60


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def run_sampled(command: Sequence[str], samples: sampler.Samples, every: float) -> int:
    """Run a command and sample it and all below it; its exit code, as a shell gives it."""
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(signum: int, _frame: object) -> None:
        if child is None:
            early.append(signum)
        else:
            child.send_signal(signum)

    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, pass_on)
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for signum in early:
        child.send_signal(signum)
    words = last_words.LastWords()
    pipes = words.pass_on(child)
    over = threading.Event()

    def sample() -> None:
        try:
            for _ in sampler.ticks(every, over.wait):
                if over.is_set():
                    return
                samples.take(sampler.processes(), child.pid)
        except OSError as error:
            say(f"usage: the driver is not sampled any more: {error}")

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    code = child.wait()
    over.set()
    thread.join()
    for pipe in pipes:
        pipe.join(5)  # a process of the driver's own may hold it open
    # What the kernel counted of the driver and all its processes, to the end.
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    with suppress(OSError):
        samples.add(time.time(), spent.ru_utime + spent.ru_stime, 0)
    if code != 0:
        last_words.tell(last_words.reason(code, words.line))
    return code if code >= 0 else 128 - code


def report(folder: Path, run: str, since: float, driver: Path, beside: Path | None) -> None:
    """Write usage.json, from what driver and executors left on the volume."""
    found = summarize_run(folder / "events", run, since)
    samples = folder / "usage" / found["application"]
    samples.mkdir(parents=True, exist_ok=True)
    driver.rename(samples / "driver.jsonl")
    found["sampled"] = usage.read_folder(samples)
    text = json.dumps(found)
    for place in (samples, beside):
        if place is not None and place.is_dir():
            draft = place / ".usage.json.part"
            draft.write_text(text + "\n")
            draft.rename(place / "usage.json")
    say(f"usage: {text}")


def summarize_run(events: Path, run: str, since: float) -> dict[str, Any]:
    """usage.summarize of the run's event log, which lies among those of others."""
    with usage.unpacker() as unpack:
        for log in usage.logs_since(events, since):
            found = usage.summarize(usage.read_events(log, unpack), os.cpu_count() or 1)
            if found["run"] == run:
                return found
    raise usage.UsageError(f"{events}: no event log has {usage.RUN_PROPERTY}={run}")


def main(argv: Sequence[str] | None = None) -> int:
    """The program; the exit code."""
    parser = argparse.ArgumentParser(prog="measured.py", description="Runs and measures a driver.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("run")
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--beside", type=Path, metavar="OUTPUT")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    args = parser.parse_args(argv)
    started = time.time()
    samples = sampler.Samples(args.folder / "usage" / f"{args.run}.jsonl", "driver")
    program, *rest = args.command
    is_submit = Path(program).name == "spark-submit"
    tag = ["--conf", f"{usage.RUN_PROPERTY}={args.run}"] if is_submit else []
    command = [program, *tag, *rest]
    code = run_sampled(command, samples, args.every)
    try:
        report(args.folder, args.run, started - CLOCKS_DIFFER_BY, samples.file, args.beside)
    except Exception as error:  # Whatever it is: what the driver did is done, and stays so.
        say(f"usage: not known: {error}")
        with suppress(OSError):
            samples.file.unlink()
    return code


if __name__ == "__main__":
    sys.exit(main())
