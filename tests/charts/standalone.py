"""The chart's pods as processes on loopback addresses, with PyPI's pyspark as /opt/spark."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyspark

from tests.charts.conftest import Objects
from tests.processes import bound

CHECKOUT = Path(__file__).parents[2]
#: What the chart mounts at /opt/tinderbox/usage.
PROGRAMS = CHECKOUT / "charts" / "spark" / "files"
SPARK_HOME = Path(pyspark.__file__).parent
# Loopback addresses of this process: tests of two checkouts may run at once.
_NETWORK = f"127.{64 + os.getpid() // 256 % 128}.{os.getpid() % 256}"
#: In place of pods: each has all ports to itself.
MASTER, *WORKERS = f"{_NETWORK}.1", f"{_NETWORK}.2", f"{_NETWORK}.3"
HISTORY, CONNECT, DRIVER = f"{_NETWORK}.4", f"{_NETWORK}.5", f"{_NETWORK}.9"
#: The objects of the daemons.
MASTERS, WORKER_PODS, HISTORIES, CONNECTS = (
    "StatefulSet/spark-master",
    "Deployment/spark-worker",
    "Deployment/spark-history",
    "Deployment/spark-connect",
)
# The folder of settings of what is no master and no worker.
_CONF = {HISTORIES: "history", CONNECTS: "defaults"}


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 60) -> Any:
    """The condition's first true value."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


def fetch(url: str) -> str:
    """A page's text."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


class Standalone:
    """The chart's pods as processes. Logs and the shared volume lie in `folder`."""

    def __init__(self, objects: Objects, folder: Path) -> None:
        self.objects = objects
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        #: The latest daemon of each address.
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.secret = self.secret_of("spark-auth")
        for name in ("daemons", "defaults", "history"):
            (folder / name).mkdir()
            for file, text in objects[f"ConfigMap/spark-{name}"]["data"].items():
                (folder / name / file).write_text(self.here(text, HISTORY))

    def secret_of(self, name: str) -> str:
        return base64.b64decode(self.objects[f"Secret/{name}"]["data"]["secret"]).decode()

    def container(self, workload: str) -> Any:
        return self.objects[workload]["spec"]["template"]["spec"]["containers"][0]

    def here(self, script: str, address: str) -> str:
        """A script of the chart with what a pod has and this machine has not."""
        script = script.replace("/opt/spark", str(SPARK_HOME)).replace("spark-master", MASTER)
        script = script.replace("/opt/tinderbox/usage", str(PROGRAMS))
        script = script.replace("/tmp/work", str(self.folder / f"work-{address}"))
        script = script.replace("/tmp/history", str(self.folder / "history-store"))
        return script.replace("127.0.0.1", address)

    def environment(self, address: str, conf: str, workload: str = WORKER_PODS) -> dict[str, str]:
        own = {"POD_IP": address, "SPARK_LOCAL_IP": address, "_SPARK_AUTH_SECRET": self.secret}
        own |= {"SPARK_CONF_DIR": str(self.folder / conf), "PYSPARK_PYTHON": sys.executable}
        # Pods have no locale but the one that they are given.
        bare = {k: v for k, v in os.environ.items() if not k.startswith(("LANG", "LC_"))}
        given = self.container(workload)["env"]
        return bare | {item["name"]: item["value"] for item in given if "value" in item} | own

    def spawn(self, command: list[str], env: dict[str, str], log: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as out:
            process = subprocess.Popen(
                bound(command), env=env, stdout=out, stderr=out, start_new_session=True
            )
        self.running.append(process)
        return process

    def start(self, workload: str, address: str) -> subprocess.Popen[bytes]:
        container = self.container(workload)
        command = [*container["command"], self.here(container["args"][0], address)]
        env = self.environment(address, _CONF.get(workload, "daemons"), workload)
        if workload == CONNECTS:
            token = self.secret_of("spark-connect")
            env |= {"PATH": f"{Path(sys.executable).parent}:{env['PATH']}"}
            env |= {"POD": "connect-1", "SPARK_CONNECT_AUTHENTICATE_TOKEN": token}
        self.processes[address] = self.spawn(command, env, f"{address}.log")
        return self.processes[address]

    def started(self, address: str) -> bool:
        """The workers' startup probe."""
        *shell, script = self.container(WORKER_PODS)["startupProbe"]["exec"]["command"]
        probe = subprocess.run([*shell, self.here(script, address)], stderr=subprocess.DEVNULL)
        return probe.returncode == 0

    def state(self) -> dict[str, Any]:
        """What the master tells at the path that its probes ask for; {} if it does not answer."""
        path = self.container(MASTERS)["readinessProbe"]["httpGet"]["path"]
        try:
            return json.loads(fetch(f"http://{MASTER}:8080{path}"))
        except (OSError, json.JSONDecodeError):  # At first there is a page that asks to wait.
            return {}

    def is_whole(self) -> bool:
        state = self.state()
        alive = [w for w in state.get("workers", []) if w["state"] == "ALIVE"]
        return state.get("status") == "ALIVE" and len(alive) == len(WORKERS)

    def submit(
        self, *args: str, secret: str | None = None, measured: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """A driver, configured as README.md of the chart says, below measured.py."""
        env = self.environment(DRIVER, "defaults")
        if secret is not None:
            env["_SPARK_AUTH_SECRET"] = secret
        command = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", f"spark://{MASTER}:7077"]
        if measured:
            command = [sys.executable, str(PROGRAMS / "measured.py"), *measured, "--", *command]
        command += ["--conf", f"spark.driver.host={DRIVER}", *args]
        return self.spawn(command, env, "driver.log")

    def end(self) -> None:
        """End every process and what it started."""
        for process in self.running:
            for pid in descendants(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        below = Path(f"/proc/{pid}/task").glob("*/children")
        children = [int(child) for file in below for child in file.read_text().split()]
    except OSError:
        return []
    return [pid, *(other for child in children for other in descendants(child))]


def command_line(pid: int) -> bytes:
    """Empty for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextmanager
def standalone(render: Callable[..., Objects], folder: Path, *values: str) -> Generator[Standalone]:
    """A master with its workers, registered; all of it ended afterwards."""
    volume = f'volume={{"claimName":"spark","mountPath":"{folder}"}}'
    spark = Standalone(render(volume, *values), folder)
    try:
        # Workers first: they wait for the master.
        for address in WORKERS:
            spark.start(WORKER_PODS, address)
        spark.start(MASTERS, MASTER)
        for address in WORKERS:
            wait_for(f"worker {address}", lambda address=address: spark.started(address))
        yield spark
    finally:
        spark.end()
