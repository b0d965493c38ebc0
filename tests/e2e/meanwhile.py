"""What goes on in a cluster while something is done to it: an application, and who looks on."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from console.stack import ROOT
from submission.application import Application, SparkPodSpec
from submission.conf import JOB_LABEL
from submission.manifests import manifests
from submission.place import KUBERNETES, Place
from submission.resolve import resolve

if TYPE_CHECKING:
    from tests.e2e.conftest import Up

SLOW = str(ROOT / "tests" / "apps" / "slow.py")
SMALL = SparkPodSpec(cores=1, memory_mib=512, overhead_mib=384, cpu_request="200m")
API = "/api/v1/namespaces/spark"


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 300) -> Any:
    """The condition's first true value; the limit is for what never comes, not slow machines."""
    limit = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < limit, f"{what}: not within {seconds:.0f} s"
        time.sleep(1)
    return value


class Slow:
    """tests/apps/slow.py as a Job in the cluster.

    waits: it does not come to its end before `assert_right`, however long that takes.
    """

    def __init__(
        self,
        up: Up,
        tasks: int,
        seconds: float,
        idle: float = 0,
        *,
        waits: bool = False,
        **what: Any,
    ) -> None:
        self.up = up
        self.tasks = tasks
        self.name = f"slow-{time.time_ns() // 10**6 % 10**8}"
        self._go = f"/srv/shared/wordcount/runs/{self.name}.go" if waits else ""
        arguments = (str(tasks), str(seconds), str(idle), self._go)
        if what.get("master") == KUBERNETES:
            what["executor"] = SMALL
        application = Application("slow", SLOW, arguments, **what)
        made = manifests(resolve(application, Place(**up.outputs()["spark"])))
        made.job["metadata"]["name"] = self.name
        assert made.files is not None
        self.files = made.files["metadata"]["name"]
        for manifest in (made.files, made.job):
            self._apply(manifest)

    def _apply(self, manifest: dict[str, Any]) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(manifest, file)
            file.flush()
            self.up.kubectl("apply", "-f", file.name)

    def drivers(self, phase: str = "Running") -> list[str]:
        """Names of the Job's pods."""
        selector = f"{JOB_LABEL}={self.name}"
        return pods(self.up, selector, phase)

    def driver(self) -> str:
        """The pod that runs."""
        return wait_for("the driver", self.drivers)[0]

    def executors(self) -> list[str]:
        """Names of the executors' pods that run, in native mode."""
        return pods(self.up, "spark-role=executor", "Running")

    def api(self, what: str) -> Any:
        """What the driver's REST API tells; nothing before it answers."""
        base = f"{API}/pods/{self.driver()}:4040/proxy/api/v1/applications"
        with suppress(json.JSONDecodeError):
            for application in json.loads(self.up.kubectl("get", "--raw", base, check=False)):
                path = f"{base}/{application['id']}/{what}"
                return json.loads(self.up.kubectl("get", "--raw", path, check=False))
        return []

    def wait_for_tasks(self, done: int) -> None:
        """Until so many tasks have ended."""
        wait_for(
            f"{done} tasks", lambda: sum(s["numCompleteTasks"] for s in self.api("stages")) >= done
        )

    def hosts_at_work(self) -> set[str]:
        """The addresses of executors that have had tasks."""
        executors = [one for one in self.api("executors") if one["id"] != "driver"]
        return {one["hostPort"].partition(":")[0] for one in executors if one["totalTasks"] > 0}

    def kill_driver(self) -> None:
        """Ends the driver's pod with no time to say so."""
        self.up.kubectl(
            "delete", "pod", "-n", "spark", self.driver(), "--force", "--grace-period=0"
        )

    def ended(self) -> dict[str, Any]:
        """The Job's status, once it has ended."""

        def status() -> dict[str, Any] | None:
            found = self.up.get("job", "-n", "spark", self.name)["status"]
            kinds = {c["type"] for c in found.get("conditions", []) if c["status"] == "True"}
            return found if kinds & {"Complete", "Failed"} else None

        return wait_for("the Job's end", status, seconds=360)

    def assert_right(self) -> None:
        """It completes, and what it printed is right."""
        self._on_the_volume("touch")
        status = self.ended()
        log = self.up.kubectl("logs", "-n", "spark", f"job/{self.name}", check=False)
        assert status.get("succeeded") == 1, log
        # Of a driver that had to leave its node there may be a log as well.
        (done,) = self.drivers("Succeeded")
        log = self.up.kubectl("logs", "-n", "spark", done)
        (line,) = [line for line in log.splitlines() if line.startswith("{")]
        counts = Counter(number % 7 for number in range(self.tasks * 100))
        assert json.loads(line) == {str(key): counts[key] for key in counts}

    def _on_the_volume(self, command: str) -> None:
        if self._go:
            done = self.up.ssh(self.up.control_plane(), f"sudo {command} {self._go}")
            assert done.returncode == 0, done.stderr

    def delete(self) -> None:
        """Takes it away, whatever has become of it."""
        self._on_the_volume("rm -f")
        self.up.kubectl("delete", "job", "-n", "spark", self.name, "--ignore-not-found")
        self.up.kubectl("delete", "configmap", "-n", "spark", self.files, "--ignore-not-found")


def kill(up: Up, pod: str) -> None:
    """Ends a pod with no time to say so."""
    up.kubectl("delete", "pod", "-n", "spark", pod, "--force", "--grace-period=0")


def pods(up: Up, selector: str, phase: str) -> list[str]:
    """Names of pods that are not on their way out."""
    found = up.get("pods", "-n", "spark", "-l", selector)["items"]
    return [
        pod["metadata"]["name"]
        for pod in found
        if pod["status"]["phase"] == phase and "deletionTimestamp" not in pod["metadata"]
    ]


def pods_of_workers(up: Up) -> dict[str, str]:
    """The uids of all pods on workers, by name; restarts of containers don't change them."""
    lost = up.control_plane()["hostName"]
    return {
        pod["metadata"]["name"]: pod["metadata"]["uid"]
        for pod in up.get("pods", "--all-namespaces")["items"]
        if pod["spec"].get("nodeName") not in (None, lost) and pod["status"]["phase"] == "Running"
    }


class Watch(threading.Thread):
    """Asks the API again and again: which workers took no pods, and for how long it was away.

    away: the most seconds from one answer to the next, so that of a call that was good is in it.
    kubeconfig: of another way to it than that of the outputs.
    """

    def __init__(self, up: Up, kubeconfig: str | None = None) -> None:
        super().__init__(daemon=True)
        self._up = up
        # Its owner's only; in the middle of an update the outputs can't be asked for it.
        self._config = tempfile.NamedTemporaryFile("w")  # noqa: SIM115 (until the thread goes)
        self._config.write(kubeconfig or up.stack.outputs(secrets=True)["kubeconfig"])
        self._config.flush()
        self._done = threading.Event()
        self.away = 0.0
        self.cordoned: set[frozenset[str]] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        answered = time.monotonic()
        while not self._done.wait(0.5):
            printed = self._up.kubectl(
                *("get", "nodes", "--request-timeout=5s", "--output"),
                "jsonpath={range .items[?(@.spec.unschedulable)]}{.metadata.name} {end}|",
                check=False,
                config=Path(self._config.name),
            )
            if printed.endswith("|"):
                now = time.monotonic()
                self.away = max(self.away, now - answered)
                answered = now
                self.cordoned.add(frozenset(printed[:-1].split()))
