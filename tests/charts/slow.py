"""An application on the daemons of standalone.py, to which something happens."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.charts.standalone import (
    CHECKOUT,
    DRIVER,
    WORKERS,
    Standalone,
    command_line,
    descendants,
    fetch,
    wait_for,
)

SLOW = str(CHECKOUT / "tests" / "apps" / "slow.py")


class Slow:
    """tests/apps/slow.py on the cluster, from the moment at which all its executors run."""

    def __init__(
        self, spark: Standalone, *args: object, conf: dict[str, str] | None = None
    ) -> None:
        self.spark = spark
        self.args = [str(arg) for arg in args]
        self.file = Path(self.args[-1])
        self.log = spark.folder / "driver.log"
        self.log.write_text("")
        options = [f"--conf={key}={value}" for key, value in (conf or {}).items()]
        self.driver = spark.submit(*options, SLOW, *self.args)
        wait_for("its executors", self.executors)
        (self.id,) = [app["id"] for app in spark.state()["activeapps"]]
        wait_for("the driver's answers", self.answers)

    def executors(self) -> list[int]:
        """Processes of its executors."""
        below = [p for w in WORKERS for p in descendants(self.spark.processes[w].pid)]
        return [p for p in below if b"CoarseGrainedExecutorBackend" in command_line(p)]

    def answers(self) -> bool:
        """Whether the driver's REST API is there; at first there is a page that asks to wait."""
        try:
            return bool(self.api("executors"))
        except (OSError, json.JSONDecodeError):
            return False

    def api(self, path: str) -> Any:
        """What the driver's REST API tells."""
        return json.loads(fetch(f"http://{DRIVER}:4040/api/v1/applications/{self.id}/{path}"))

    def wait_for_tasks(self, done: int) -> None:
        """Until so many tasks have ended."""

        def ended() -> bool:
            return sum(stage["numCompleteTasks"] for stage in self.api("stages")) >= done

        wait_for(f"{done} tasks", ended)

    def running_tasks(self) -> int:
        """How many tasks run now."""
        return sum(executor["activeTasks"] for executor in self.api("executors"))

    def lost(self) -> int:
        """How many executors it has lost."""
        return sum(not executor["isActive"] for executor in self.api("allexecutors"))

    def may_end(self) -> None:
        """Lets its tasks go that wait for the file."""
        self.file.touch()

    def kill(self) -> None:
        """Ends the driver, all of its processes at once, with no time to say so."""
        for pid in reversed(descendants(self.driver.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def finish(self) -> dict[str, int]:
        """What it printed."""
        assert self.driver.wait(timeout=120) == 0, self.log.read_text()
        (line,) = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return json.loads(line)

    def expected(self) -> dict[str, int]:
        """What it must print."""
        counts = Counter(number % 7 for number in range(int(self.args[0]) * 100))
        return {str(key): counts[key] for key in sorted(counts)}
