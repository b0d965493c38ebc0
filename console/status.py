"""`make status`: the machines, the nodes and pods, Spark, the last result."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Generator
from datetime import UTC, datetime

from console import backup, report
from console.stack import ConsoleError, Stack

_SPARK_MASTER = "/api/v1/namespaces/spark/services/http:spark-master:8080/proxy/json/"


@contextlib.contextmanager
def kubeconfig(stack: Stack) -> Generator[str]:
    """The path of the stack's kubeconfig, in a file of its owner's that goes again."""
    text = stack.outputs(secrets=True).get("kubeconfig")
    if not text:
        raise ConsoleError(f"stack {stack.name} has no cluster; `make up` makes one")
    with tempfile.NamedTemporaryFile("w", prefix="kubeconfig-") as file:
        file.write(text)
        file.flush()
        yield file.name


def kubectl(stack: Stack, config: str, *arguments: str) -> str:
    """What kubectl prints. Raises ConsoleError with kubectl's own words."""
    done = subprocess.run(
        ["kubectl", "--kubeconfig", config, "--request-timeout", "10s", *arguments],
        env=stack.env,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"kubectl: exit code {done.returncode}"]
        raise ConsoleError(said[-1])
    return done.stdout


def require_answer(stack: Stack, seconds: float = 60) -> None:
    """Raises ConsoleError unless the stack's cluster answers within that time.

    Where nothing has changed an update asks no node, so it ends well beside a cluster that is off.
    """
    with kubeconfig(stack) as config:
        end = time.monotonic() + seconds
        while True:
            try:
                kubectl(stack, config, "get", "--raw", "/readyz")
                return
            except ConsoleError as error:
                if time.monotonic() > end:
                    raise ConsoleError(
                        f"the update is done, but the cluster does not answer ({error});"
                        " see that its instances run (`make status`), then call it again"
                    ) from None
            time.sleep(1)


def show(stack: Stack) -> None:
    """Prints all of it. Raises ConsoleError where there is nothing to show."""
    if stack.is_local:
        from localcloud import status

        state = status.status()
        if not state["running"]:
            raise ConsoleError("there is no local cloud that answers; `make up` makes one")
        print(status.table(state), end="\n\n")
    if not stack.exists():
        raise ConsoleError(f"there is no stack {stack.name}; `make up` makes one")
    with kubeconfig(stack) as config:
        print(kubectl(stack, config, "get", "nodes", "-o", "wide"))
        print(kubectl(stack, config, "get", "pods", "--all-namespaces", "-o", "wide"))
        records = kubectl(stack, config, *backup.RECORDS)
        print("".join(f"{line}\n" for line in backup.describe(records, datetime.now(UTC))))
        print(_spark(json.loads(kubectl(stack, config, "get", "--raw", _SPARK_MASTER))))
    result = stack.outputs().get("wordCount")
    if result:
        print(f"\n{report.top_words(result)}")


def _spark(master: dict) -> str:
    """One line from the Spark master's own JSON."""
    alive = [worker for worker in master["workers"] if worker["state"] == "ALIVE"]
    return (
        f"Spark at {master['url']}: {len(alive)} of {len(master['workers'])} workers alive,"
        f" {master['coresused']} of {master['cores']} cores in use,"
        f" {len(master['activeapps'])} applications running, {len(master['completedapps'])} done"
    )
