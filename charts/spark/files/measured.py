#!/usr/bin/env python3
"""Runs a driver, samples it, and says afterwards what its application used, and why it failed.

    measured.py FOLDER RUN [--every SECONDS] [--beside OUTPUT] -- PROGRAM ARGUMENTS...

FOLDER is Spark's on the shared volume: events/ in it holds the event logs (spark.eventLog.dir), and
usage/<application>/ gets the samples and usage.json (see sampler.py and usage.py), driver.log (see
last_words.py), and why.json: {run, application, code, at, executors, cause, line, more} (see
why.py). RUN is a name that no other run has, such as the pod's. It is how the event log is found:
spark-submit is told of it by a property, another PROGRAM has to have it already. Until then, and
where there is no application, the files are in usage/RUN/. With --beside, usage.json goes into that
folder, too, if the program made it. The same is printed on stderr, in one line: "usage: {...}".

The exit code is the driver's, whatever becomes of the measuring: where that fails, one line on
stderr says why. Signals go on to the driver. Why a driver failed becomes the pod's message, too.
Only the standard library, Python 3.10.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
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
import why

#: Seconds that the file server's clock may be behind.
CLOCKS_DIFFER_BY = 60


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def run_sampled(
    command: Sequence[str], samples: sampler.Samples, words: last_words.LastWords, every: float
) -> int:
    """Run a command and sample it and all below it; its exit code, below 0 by a signal."""
    child = last_words.start(command)
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
    code = last_words.end(child, pipes)
    over.set()
    thread.join()
    # What the kernel counted of the driver and all its processes, to the end.
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    with suppress(OSError):
        samples.add(time.time(), spent.ru_utime + spent.ru_stime, 0)
    return code


def report(folder: Path, run: str, since: float, beside: Path | None) -> dict[str, Any]:
    """Write usage.json, from what driver and executors left on the volume; what is in it.

    The run's own folder then is the application's.
    """
    found = summarize_run(folder / "events", run, since)
    kept = folder / "usage" / found["application"]
    kept.mkdir(parents=True, exist_ok=True)
    for file in (folder / "usage" / run).iterdir():
        file.rename(kept / file.name)
    with suppress(OSError):
        (folder / "usage" / run).rmdir()
    found["sampled"] = usage.read_folder(kept)
    text = json.dumps(found)
    for place in (kept, beside):
        if place is not None and place.is_dir():
            put(place / "usage.json", text)
    say(f"usage: {text}")
    return found


def put(file: Path, text: str) -> None:
    """A line as a file that is whole whenever it is there."""
    draft = file.with_name(f".{file.name}.part")
    draft.write_text(text + "\n")
    draft.rename(file)


def explain(
    folder: Path, run: str, code: int, words: last_words.LastWords, used: dict[str, Any] | None
) -> None:
    """Say why the driver ended as it did: in the pod's status, and in why.json.

    used: what is in usage.json; None where it is not known.
    """
    kept = folder / "usage" / (used["application"] if used else run)
    executors = usage.ends(used, kept) if used else []
    facts = {"code": code, "log": words.text, "executors": executors, "told": last_words.told()}
    found = why.cause(facts)
    if code != 0:
        last_words.tell(found["line"])
    about = {"run": run, "application": used and used["application"], "at": round(time.time(), 3)}
    kept.mkdir(parents=True, exist_ok=True)
    put(kept / "why.json", json.dumps({**about, "code": code, "executors": executors, **found}))


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
    kept = args.folder / "usage" / args.run
    samples = sampler.Samples(kept / "driver.jsonl", "driver")
    words = last_words.LastWords(kept / "driver.log")
    program, *rest = args.command
    is_submit = Path(program).name == "spark-submit"
    tag = ["--conf", f"{usage.RUN_PROPERTY}={args.run}"] if is_submit else []
    code = run_sampled([program, *tag, *rest], samples, words, args.every)
    used: dict[str, Any] | None = None
    try:
        used = report(args.folder, args.run, started - CLOCKS_DIFFER_BY, args.beside)
    except Exception as error:  # Whatever it is: what the driver did is done, and stays so.
        say(f"usage: not known: {error}")
        with suppress(OSError):
            samples.file.unlink()
    try:
        explain(args.folder, args.run, code, words, used)
    except Exception as error:
        say(f"why it ended is not kept: {error}")
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
