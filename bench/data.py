"""Texts of gigabytes in a store (moto's), counted on a local stack that is up and knows S3.

The store is a process on the host, at the bridge's address: it takes of the same two cores.
"""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from bench import texts
from bench.machine import busy
from bench.words import say
from console.run import Run
from console.stack import ConsoleError, Stack
from console.verbs.submit import connect
from localcloud.layout import HOST_ADDRESS
from submission.application import Application
from submission.manifests import manifests
from submission.resolve import resolve
from toolchain import paths

BUCKET = "tinderbox-bench"
#: MB (10^6 bytes) of the text, which a larger one has again and again; how many objects it is in
#: (moto reads all of one for each range that it is asked for).
MEGABYTES, OBJECTS = 1000, 40
_GB = 10**9
_USAGE = b"usage: {"


@dataclass(frozen=True)
class Counted:
    """One count. used: what usage.json says of it. machine: CPU seconds of all processes."""

    bytes: int
    words: int
    used: dict[str, Any]
    machine: float


@contextmanager
def store(port: int) -> Generator[Any]:
    """The client of an S3 that begins with one empty bucket, and ends with the block."""
    from tests.aws_api import moto  # a checkout's

    with tempfile.TemporaryDirectory() as folder, moto(HOST_ADDRESS, port, Path(folder)) as url:
        region = "eu-central-1"
        client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=region,
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )
        where = {"LocationConstraint": region}
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        yield client


def put(client: Any, text: Path, times: int) -> int:
    """Puts a text of whole lines into the store so many times, below a number each; its bytes."""
    each = -(-text.stat().st_size // OBJECTS)
    for number in range(times):
        with text.open("rb") as lines:
            for part in range(OBJECTS):
                body = lines.read(each) + lines.readline()
                key = f"{times}/{number:03}-{part:02}.txt"
                client.put_object(Bucket=BUCKET, Key=key, Body=body)
    return times * text.stat().st_size


def count(stack: Stack, size: int, where: str) -> Counted:
    """Counts what is there, as `make submit` does. Raises ConsoleError where that fails."""
    api, place = connect(stack, None)
    name = f"words-{secrets.token_hex(3)}"
    arguments = (f"s3a://{BUCKET}/{where}", f"s3a://{BUCKET}/out/{name}")
    application = Application(name, "spark_jobs/wordcount.py", arguments)
    made, printed = manifests(resolve(application, place), run=name, can_upload=True), bytearray()
    machine = busy()
    code = Run(api, name, made, "bench", out=printed.extend).run(300)
    lines = printed.splitlines()
    used = [line for line in lines if line.startswith(_USAGE)]
    summary = [line for line in lines if line.startswith(b'{"input"')]
    if code or not used or not summary:
        raise ConsoleError(f"code {code}: {printed[-2000:].decode(errors='replace')}")
    usage = json.loads(used[-1][len(_USAGE) - 1 :])
    return Counted(size, json.loads(summary[-1])["words"], usage, busy() - machine)


def measure(stack: Stack, gigabytes: Sequence[int], port: int = 4566) -> list[Counted]:
    """A count of each size. Raises ConsoleError where one fails, or has lost or won words."""
    text = texts.make(paths.cache_dir() / "bench" / f"{MEGABYTES}.txt", MEGABYTES)
    found: list[Counted] = []
    with store(port) as client:
        for size in gigabytes:
            times = size * 1000 // MEGABYTES
            one = count(stack, put(client, text, times), str(times))
            seconds = one.used["seconds"]
            say(f"{size} GB: {seconds:.0f} s, {one.words:,} words: {json.dumps(one.used)}")
            if found and one.words * found[0].bytes != found[0].words * one.bytes:
                raise ConsoleError(f"{one.words} words in {one.bytes} bytes")
            found.append(one)
    return found


def table(found: Sequence[Counted], cores: int) -> str:
    """Markdown: a row for each size. cores: of the machine."""
    lines = [
        "| GB | seconds | MB a second and core | CPU s of tasks for each GB | the machine's"
        " | shuffled (MB) | spilled (MB) | collecting garbage (s) | an executor's peak MiB"
        " | USD for each GB |",
        f"|{'---|' * 10}",
    ]
    for one in found:
        used, gigabytes = one.used, one.bytes / _GB
        peaks = [executor["peakMemoryMiB"] or 0 for executor in used["executors"]]
        cells = [
            f"{gigabytes:g}",
            f"{used['seconds']:.0f}",
            f"{one.bytes / 1e6 / used['seconds'] / cores:.1f}",
            f"{used['executorCpuSeconds'] / gigabytes:.1f}",
            f"{one.machine / gigabytes:.1f}",
            f"{used['shuffleBytesWritten'] / 1e6:.1f}",
            f"{used['bytesSpilled'] / 1e6:.1f}",
            f"{used['gcSeconds']:.1f}",
            f"{max(peaks, default=0):,.0f}",
            "" if used["cost"]["usd"] is None else f"{used['cost']['usd'] / gigabytes:.5f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
