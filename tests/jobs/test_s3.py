"""The word count from S3 into S3 (moto's) with the jars and properties of a stack: what is copied,
and what is there when a task or the driver is killed as it commits."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from components.settings import S3Settings, Settings, SparkSettings
from components.spark.values import app_values
from tests.jobs.test_processes import PROGRAM
from tests.processes import bound
from toolchain import jars

#: Seconds that a run may take, on a machine that has more to do.
LIMIT = 600
KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
TEXT = "the cat the dog\nthe end\n"
#: What it becomes.
ROWS = "the,3\ncat,1\ndog,1\nend,1\n"


class Store:
    """An S3 with one bucket, that tells what is copied.

    Once it is asked what `at` is true of (method, path, query), it calls `do` and refuses.
    """

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.copied: list[str] = []
        self.at: Callable[[str, str, dict[str, list[str]]], bool] = lambda *_: False
        self.do: Callable[[], None] = lambda: None
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )

    def _answer(self, environ: dict[str, Any], start: Any) -> Any:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if "HTTP_X_AMZ_COPY_SOURCE" in environ:
            self.copied.append(path)
        if self.at(method, path, parse_qs(environ["QUERY_STRING"], keep_blank_values=True)):
            self.at = lambda *_: False
            self.do()
            start("403 Forbidden", [("Content-Length", "0")])
            return []
        return self._moto(environ, start)

    def keys(self, prefix: str = "") -> list[str]:
        """The keys, without those that stand for folders."""
        found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [one["Key"] for one in found if not one["Key"].endswith("/")]

    def rows(self, folder: str) -> str:
        """All parts of a count."""
        parts = [key for key in self.keys(folder) if "/part-" in key]
        get = self.client.get_object
        return "".join(get(Bucket=self.bucket, Key=key)["Body"].read().decode() for key in parts)

    def pending(self) -> list[str]:
        """The keys whose uploads are neither completed nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket)
        return [one["Key"] for one in found.get("Uploads", [])]


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    made = Store(f"words-{abs(hash(request.node.name))}")
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    try:
        made.client.create_bucket(Bucket=made.bucket)
        made.client.put_object(Bucket=made.bucket, Key="in/text", Body=TEXT.encode())
        yield made
    finally:
        made.server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def s3() -> Path:
    """The jars that `make jars` fetches."""
    return jars.fetch(jars.pinned("s3"))


@pytest.fixture
def start(store: Store, s3: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the count of the text into a folder, in processes of a session of their own."""
    settings = Settings(
        s3=S3Settings(region="us-east-1", endpoint=store.url), spark=SparkSettings(jars=str(s3))
    )
    conf = app_values(settings, ())["conf"]
    assert isinstance(conf, dict)
    # A start is most of a run, and Java's best code comes too late for it.
    for role in ("driver", "executor"):
        conf[f"spark.{role}.extraClassPath"] = f"{s3}/*"
        conf[f"spark.{role}.extraJavaOptions"] = "-XX:TieredStopAtLevel=1"
    conf |= {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2"}
    started: list[subprocess.Popen[str]] = []

    def call(folder: str, master: str = "local[2]", **more: str) -> subprocess.Popen[str]:
        both = (conf | more).items()
        options = [word for pair in both for word in ("--conf", "=".join(pair))]
        given = shlex.join(["--master", master, *options, "pyspark-shell"])
        paths = [f"s3a://{store.bucket}/in", f"s3a://{store.bucket}/{folder}"]
        process = subprocess.Popen(
            bound([sys.executable, PROGRAM, *paths]),
            env=os.environ | KEYS | {"PYSPARK_SUBMIT_ARGS": given},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ended(process: subprocess.Popen[str]) -> str:
    """What it printed; it must end well."""
    printed, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, printed
    return printed


def is_right(store: Store, folder: str) -> None:
    """The folder holds the whole count, and nothing else."""
    assert store.rows(folder) == ROWS
    others = {key for key in store.keys(folder) if "/part-" not in key}
    assert others == {f"{folder}/summary.json", f"{folder}/_SUCCESS"}
    get = store.client.get_object
    summary = json.load(get(Bucket=store.bucket, Key=f"{folder}/summary.json")["Body"])
    assert (summary["words"], summary["distinct"]) == (6, 4)


def is_commit(method: str, _: str, query: dict[str, list[str]]) -> bool:
    """Whether that asks for an upload to be complete."""
    return method == "POST" and "uploadId" in query


def test_a_task_that_is_killed_as_it_commits_runs_again(
    store: Store, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Its executor is killed as it writes down what it has uploaded."""
    process = start("out", "local-cluster[1,1,1024]")
    killed: list[int] = []

    def kill() -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                is_executor = b"CoarseGrainedExecutorBackend" in (folder / "cmdline").read_bytes()
                if is_executor and os.getsid(int(folder.name)) == process.pid:
                    os.kill(int(folder.name), signal.SIGKILL)
                    killed.append(int(folder.name))

    store.do = kill
    store.at = lambda method, path, _: method == "PUT" and path.endswith(".pendingset")
    ended(process)
    assert len(killed) == 1
    is_right(store, "out")
    assert not store.pending()


def test_a_driver_that_is_killed_before_the_commit_leaves_nothing_to_see(
    store: Store, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """As it asks for the first part to be there. The next run takes away what it left, and has its
    own parts where they belong without a copy."""
    process = start("killed")
    store.do = lambda: os.killpg(process.pid, signal.SIGKILL)
    store.at = is_commit
    process.communicate(timeout=LIMIT)
    assert process.returncode == -signal.SIGKILL
    # But notes of what is uploaded, which Spark reads as little as other hidden names.
    assert all(key.startswith("killed/__magic") for key in store.keys("killed/"))
    assert [key.startswith("killed/part-") for key in store.pending()] == [True]
    store.copied.clear()
    purge = {"multipart.purge": "true", "multipart.purge.age": "0"}
    ended(start("next", **{f"spark.hadoop.fs.s3a.{name}": value for name, value in purge.items()}))
    is_right(store, "next")
    # The two small files are written last, under a passing name.
    assert {path.rpartition("/")[2] for path in store.copied} == {"summary.json", "_SUCCESS"}
    assert not store.pending()


def test_a_driver_that_is_told_to_end_takes_its_uploads_away(
    store: Store, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start("ended")
    store.do = lambda: os.kill(process.pid, signal.SIGTERM)
    store.at = is_commit
    process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert not store.keys("ended/") and not store.pending()
