"""Data in S3, dependencies from everywhere, and an image of one's own.

The store and the HDFS are real servers on the host, at the bridge's address, that pods talk to.
"""

from __future__ import annotations

import csv
import functools
import http.server
import io
import shutil
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from console.stack import ROOT
from localcloud.host.shell import wait_until
from localcloud.layout import HOST_ADDRESS
from tests.aws_api import moto
from tests.e2e.conftest import Up, write_text
from tests.e2e.test_40_spark_native import SMALL, submit
from toolchain import jars

S3_PORT, HDFS_PORT = 4566, 9000
KEYS = {"accessKey": "AKIAEXAMPLE", "secretKey": "no-secret-of-anybody"}
HADOOP = "org.apache.hadoop.hdfs"

OWN = """\
FROM docker.io/apache/spark:4.2.0-python3
USER root
COPY greeting.txt app.py /opt/own/
RUN tr a-z A-Z </opt/own/greeting.txt >/opt/own/loud.txt
USER spark
"""
# The driver and each executor say what is in the image that they run in.
READS = """
import pathlib
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
def read(_):
    file = pathlib.Path("/opt/own/loud.txt")
    return [file.read_text().strip() if file.exists() else "the stack's"]
print("driver:", *read(None))
print("executors:", *set(spark.sparkContext.parallelize(range(4), 4).mapPartitions(read).collect()))
"""
# Uses a module by --py-files, two files by --files, a class by --jars, a package by --archives.
DEPENDS = """
from pyspark import SparkFiles
from pyspark.sql import SparkSession
import helper
spark = SparkSession.builder.getOrCreate()
def work(numbers):
    import helper, humanize
    near, far = (open(SparkFiles.get(name)).read().strip() for name in ("near.txt", "far.txt"))
    return [f"{near} {far} {helper.double(n)} {humanize.intcomma(n)}" for n in numbers]
print("driver:", helper.double(4))
print("executors:", *spark.sparkContext.parallelize([500, 1000], 2).mapPartitions(work).collect())
is_prime = "java_method('org.apache.commons.numbers.primes.Primes', 'isPrime', int(id))"
print("primes:", spark.range(100).where(f"{is_prime} = 'true'").count())
"""


class Bucket:
    """A bucket in the store, as its owner sees it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://{HOST_ADDRESS}:{S3_PORT}",
            region_name="eu-central-1",
            aws_access_key_id=KEYS["accessKey"],
            aws_secret_access_key=KEYS["secretKey"],
        )
        place = {"LocationConstraint": "eu-central-1"}
        self.client.create_bucket(Bucket=name, CreateBucketConfiguration=place)

    def put(self, key: str, content: str | bytes | Path) -> str:
        """Writes an object; returns its URL for Spark."""
        body = content.read_bytes() if isinstance(content, Path) else content
        self.client.put_object(Bucket=self.name, Key=key, Body=body)
        return f"s3a://{self.name}/{key}"

    def get(self, key: str) -> str:
        """An object's text."""
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read().decode()

    def keys(self, prefix: str) -> list[str]:
        """The keys below a prefix, without those that stand for folders."""
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", [])
        return [item["Key"] for item in found if not item["Key"].endswith("/")]


@pytest.fixture(scope="module")
def bucket(up: Up, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket in an S3 store (moto's) on the host."""
    with moto(HOST_ADDRESS, S3_PORT, tmp_path_factory.mktemp("s3")):
        yield Bucket("tinderbox-words")


@pytest.fixture(scope="module")
def with_s3(up: Up, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The stack with that store, and the word count of a text in it; afterwards as it was.

    Yields a folder with the text's files.
    """
    folder = tmp_path_factory.mktemp("words")
    for name, seed in (("a.txt", 5), ("b.txt", 6)):
        write_text(folder / name, seed, words=20_000)
        bucket.put(f"in/{name}", folder / name)
    up.make("jars")
    store = {"region": "eu-central-1", "endpoint": f"http://{HOST_ADDRESS}:{S3_PORT}", **KEYS}
    up.configure(
        {
            "spark": {"jars": ".tinderbox/jars/s3"},
            "s3": store,
            "wordCount": {"input": f"s3a://{bucket.name}/in", "output": f"s3a://{bucket.name}/out"},
        }
    )
    events = folder.parent / "events.jsonl"
    text = up.outputs()["wordCount"]["input"]
    try:
        up.stack.up(events)
        yield folder
    finally:
        up.stack.prepare()
        up.stack.prepare(text)
        up.stack.up(events)


@pytest.fixture(scope="module")
def hdfs(up: Up, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An HDFS of one name node and one data node, in which /far.txt is; its URL."""
    folder = tmp_path_factory.mktemp("hdfs")
    url = f"hdfs://{HOST_ADDRESS}:{HDFS_PORT}"
    anywhere = f"{HOST_ADDRESS}:0"
    _write_site(folder / "core-site.xml", {"fs.defaultFS": url, "hadoop.tmp.dir": str(folder)})
    _write_site(
        folder / "hdfs-site.xml",
        {
            "dfs.namenode.http-address": anywhere,
            "dfs.datanode.address": anywhere,
            "dfs.datanode.http.address": anywhere,
            "dfs.datanode.ipc.address": anywhere,
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.permissions.enabled": "false",
            "dfs.replication": "1",
        },
    )
    cluster = jars.fetch(jars.pinned("hdfs"))
    spark = next((ROOT / ".venv/lib").glob("python3*/site-packages/pyspark/jars"))
    java = [
        "java",
        "-Xmx192m",
        f"-Djava.io.tmpdir={folder}",
        "-cp",
        f"{folder}:{cluster}/*:{spark}/*",
    ]
    name_node, data_node = (
        f"{HADOOP}.server.namenode.NameNode",
        f"{HADOOP}.server.datanode.DataNode",
    )
    subprocess.run([*java, name_node, "-format", "-nonInteractive"], check=True, timeout=120)
    (folder / "far.txt").write_text("hdfs\n")
    put = [*java, "org.apache.hadoop.fs.FsShell", "-put", str(folder / "far.txt"), "/far.txt"]
    with (folder / "log").open("w") as log:
        servers = [
            subprocess.Popen([*java, one], stdout=log, stderr=log) for one in (name_node, data_node)
        ]
    try:
        put_it = functools.partial(subprocess.run, put, stderr=subprocess.DEVNULL)
        assert wait_until(lambda: put_it().returncode == 0, 300), (folder / "log").read_text()
        yield url
    finally:
        for server in servers:
            server.kill()
            server.wait()


def _write_site(path: Path, properties: dict[str, str]) -> None:
    """A configuration file of Hadoop's."""
    lines = [
        f"<property><name>{name}</name><value>{value}</value></property>"
        for name, value in properties.items()
    ]
    path.write_text(f"<configuration>{''.join(lines)}</configuration>")


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL at which it is served."""
    folder = tmp_path / "website"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer((HOST_ADDRESS, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://{HOST_ADDRESS}:{server.server_port}"
        server.shutdown()


def test_an_image_of_ones_own_is_drivers_and_executors_or_just_the_executors(
    up: Up, tmp_path: Path
):
    for name, content in (("Containerfile", OWN), ("greeting.txt", "my own"), ("app.py", READS)):
        (tmp_path / name).write_text(content)
    image = up.make("image", "NAME=own", f"CONTEXT={tmp_path}").split()[-1]
    native = ["--master", "kubernetes", "--image", image]
    done = submit(*native, *SMALL, "local:///opt/own/app.py")
    assert done.returncode == 0
    assert "driver: MY OWN" in done.stdout and "executors: MY OWN" in done.stdout
    apart = [
        "--master",
        "kubernetes",
        "--conf",
        f"spark.kubernetes.executor.container.image={image}",
    ]
    done = submit(*apart, *SMALL, tmp_path / "app.py")
    assert done.returncode == 0
    assert "driver: the stack's" in done.stdout and "executors: MY OWN" in done.stdout


def test_words_in_s3_are_counted_into_s3(up: Up, bucket: Bucket, with_s3: Path):
    expected: Counter[str] = Counter()
    for file in with_s3.glob("*.txt"):
        expected.update(file.read_text(encoding="utf-8").split())
    result = up.outputs()["wordCount"]
    assert (result["words"], result["distinct"]) == (sum(expected.values()), len(expected))
    written = bucket.keys("out/")
    (success,) = (key for key in written if key.endswith("/_SUCCESS"))
    folder = success.removesuffix("_SUCCESS")
    # Nothing is left of the commit's own folder, and of other attempts there were none.
    parts = [key for key in written if key.startswith(f"{folder}part-")]
    assert set(written) == {success, f"{folder}summary.json", *parts}
    rows = [row for key in parts for row in csv.reader(io.StringIO(bucket.get(key), newline=""))]
    assert {word: int(count) for word, count in rows} == expected
    # The keys are in the Secret, and nowhere that a reader of workloads sees them.
    for kind in ("pods", "jobs", "configmaps", "deployments"):
        assert KEYS["secretKey"] not in up.kubectl("get", kind, "-n", "spark", "-o", "yaml")
    events = up.event_logs()
    assert "fs.s3a.endpoint" in events and KEYS["secretKey"] not in events


@pytest.mark.parametrize("master", ["standalone", "kubernetes"])
def test_dependencies_from_everywhere(
    master: str, bucket: Bucket, with_s3: Path, hdfs: str, website: tuple[Path, str], tmp_path: Path
):
    folder, web = website
    (folder / "helper.py").write_text("def double(n):\n    return 2 * n\n")
    (tmp_path / "near.txt").write_text("here\n")
    primes = jars.fetch(jars.Jars("primes", ("org.apache.commons:commons-numbers-primes:1.2",)))
    jar = bucket.put("primes.jar", next(primes.glob("*.jar")))
    packages = bucket.put("packages.tar.gz", _packages(tmp_path))
    done = submit(
        *("--master", master, *SMALL, "--py-files", f"{web}/helper.py", "--jars", jar),
        *("--files", f"{tmp_path}/near.txt,{hdfs}/far.txt"),
        *("--archives", f"{packages}#packages"),
        *("--conf", "spark.executorEnv.PYTHONPATH=packages"),
        bucket.put("depends.py", DEPENDS),
    )
    assert done.returncode == 0
    assert "driver: 8" in done.stdout
    assert "executors: here hdfs 1000 500 here hdfs 2000 1,000" in done.stdout
    assert "primes: 25" in done.stdout


def _packages(folder: Path) -> Path:
    """An archive of a Python package, as the documentation makes it."""
    target = folder / "packages"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target)]
    subprocess.run([*install, "humanize==4.14.0"], check=True)
    with tarfile.open(folder / "packages.tar.gz", "w:gz") as archive:
        archive.add(target, ".")
    shutil.rmtree(target)
    return folder / "packages.tar.gz"
