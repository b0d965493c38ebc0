"""One stack on the local cloud, for all tests of this folder; gone afterwards, whatever happens."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from console.cluster import connect, is_ready
from console.stack import ROOT, Stack
from tests.e2e.meanwhile import Slow
from toolchain import terminal

SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000"]


def write_text(path: Path, seed: int, words: int) -> None:
    """A text of many words, a few of them common, in several scripts and with odd spaces."""
    source = random.Random(seed)
    common = ["the", "The", "naïve", "слово", "語", "e2e", "it's", 'say "so"'.replace(" ", "")]
    with path.open("w", encoding="utf-8", newline="") as file:
        for _ in range(words):
            rare = f"w{source.randrange(2000)}"
            file.write(source.choice(common) if source.random() < 0.5 else rare)
            file.write(source.choice(SPACES))


# Prints all event logs, in the pod of a worker: Spark's jars unpack them.
EVENTS = """
import pathlib, sys
sys.path.insert(0, "/opt/tinderbox/usage")
import usage
with usage.unpacker() as unpack:
    for log in sorted(pathlib.Path("/srv/shared/spark/events").rglob("events_*")):
        sys.stdout.writelines(unpack.lines(log))
"""


class Up:
    """What `make up` made: its output, and ways to look into it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.printed = ""

    def make(self, *arguments: str, fails: bool = False) -> str:
        """Runs make as a person would; returns what it printed. It must succeed, or fail."""
        done = subprocess.run(
            ["make", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        print(done.stdout)
        assert (done.returncode != 0) == fails, done.stdout[-4000:]
        return done.stdout

    def pulumi(self, *arguments: str, fails: bool = False) -> str:
        """Runs pulumi with the configuration as it stands; returns all that it printed."""
        where = ["--stack", self.stack.name, "--config-file", str(self.stack.config_file)]
        # Told to end rather than killed, where the tests are interrupted: it has plugins.
        code, printed = terminal.attend(
            ["pulumi", "--non-interactive", *arguments, *where],
            capture=True,
            cwd=ROOT,
            env=self.stack.env,
        )
        print(printed)
        assert (code != 0) == fails, printed[-4000:]
        return printed

    def interrupted(self, at: str) -> str:
        """An update that gets Ctrl-C when it prints `at`; all that it printed."""
        process = subprocess.Popen(
            ["pulumi", "--non-interactive", "up", "--yes", "--skip-preview"]
            + ["--stack", self.stack.name, "--config-file", str(self.stack.config_file)],
            cwd=ROOT,
            env=self.stack.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        printed = ""
        assert process.stdout is not None
        for line in process.stdout:
            printed += line
            if at in line:
                # To all of them, as a terminal does.
                os.killpg(process.pid, signal.SIGINT)
                break
        printed += process.stdout.read()
        assert process.wait(timeout=120) != 0, printed
        return printed

    def configure(self, groups: Mapping[str, Mapping[str, object]]) -> None:
        """Sets keys, or takes them away (None), until `prepare` has the repo's settings again."""
        file = self.stack.config_file
        settings = yaml.safe_load(file.read_text())
        config = settings["config"]
        for name, values in groups.items():
            kept = {**config.pop(f"tinderbox:{name}", {}), **values}
            if kept := {key: value for key, value in kept.items() if value is not None}:
                config[f"tinderbox:{name}"] = kept
        file.write_text(yaml.safe_dump(settings))

    def set_back(self) -> None:
        """The stack becomes again what the repo's settings say."""
        self.stack.prepare()
        self.pulumi("up", "--yes", "--skip-preview")

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        return self.stack.outputs()

    def control_plane(self) -> dict[str, Any]:
        """The node as the outputs have it."""
        return self.outputs()["nodes"][0]

    def hosts(self) -> set[str]:
        """Names that the nodes of the outputs have in the cluster."""
        return {node["hostName"] for node in self.outputs()["nodes"]}

    def workers(self) -> set[str]:
        """Those of the workers."""
        return {node["hostName"] for node in self.outputs()["nodes"] if node["role"] == "worker"}

    def ready(self) -> set[str]:
        """Names of the nodes that are Ready, and whose kubelet the API reaches."""
        return {
            item["metadata"]["name"]
            for item in self.get("nodes")["items"]
            if is_ready(item) and self._kubelet(item["metadata"]["name"]) == "ok"
        }

    def _kubelet(self, node: str) -> str:
        asked = ("get", "--raw", f"/api/v1/nodes/{node}/proxy/healthz", "--request-timeout=10s")
        return self.kubectl(*asked, check=False)

    def changes(self) -> dict[str, str]:
        """What an update would do, by the resource's name."""
        printed = self.stack.pulumi("preview", "--json", own=True, capture=True)
        steps = json.loads(printed)["steps"]
        return {step["urn"].split("::")[-1]: step["op"] for step in steps if step["op"] != "same"}

    def applications(self) -> dict[str, list[str]]:
        """What `make apps` shows of each, by its name."""
        lines = [re.split(r"  +", line) for line in self.make("apps").splitlines()]
        return {line[0]: line[1:] for line in lines if line[1:2] == ["spark"]}

    def assert_counted(self, text: Path, *files: Path) -> dict[str, Any]:
        """The result in the outputs is what Counter makes of the text; returns it.

        files: those of a folder that are to be counted.
        """
        read = (file.read_text(encoding="utf-8", errors="replace") for file in files or (text,))
        expected = Counter(word for content in read for word in content.split())
        result = self.outputs()["wordCount"]
        assert result["words"] == sum(expected.values())
        assert result["distinct"] == len(expected)
        ranked = sorted(expected.items(), key=lambda item: (-item[1], item[0]))
        assert [(row["word"], row["count"]) for row in result["top"]] == ranked[:10]
        assert result["input"] == str(text)
        return result

    def kubectl(self, *arguments: str, check: bool = True, config: Path | None = None) -> str:
        """What kubectl prints; config: a kubeconfig, where the outputs are not to be asked."""
        with nullcontext(config) if config else connect(self.stack).kubeconfig() as file:
            done = subprocess.run(
                ["kubectl", "--kubeconfig", file, *arguments],
                env=self.stack.env,
                capture_output=True,
                text=True,
            )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object of the cluster."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def event_logs(self) -> str:
        """What Spark wrote down of all applications, in plain text."""
        where = ["-n", "spark", "exec", "deployment/spark-worker", "--"]
        return self.kubectl(*where, "python3", "-c", EVENTS)

    def ssh(
        self, node: dict[str, Any], command: str, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on a node of the output `nodes`, as the operator could by hand."""
        key = ROOT / ".tinderbox" / "local" / "id_ed25519"
        ssh = ["ssh", "-q", "-i", str(key), "-o", "StrictHostKeyChecking=no"]
        ssh += ["-o", "UserKnownHostsFile=/dev/null"]
        entrance = f"admin@{self.outputs()['nodes'][0]['publicIp']}"
        host, through = entrance, []
        if node["role"] == "worker":
            host = f"admin@{node['privateIp']}"
            through = ["-o", f"ProxyCommand={shlex.join([*ssh, '-W', '%h:%p', entrance])}"]
        return subprocess.run(
            [*ssh, *through, host, command],
            capture_output=True,
            text=True,
            timeout=seconds,
        )


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text of the first run."""
    path = tmp_path_factory.mktemp("texts") / "first.txt"
    write_text(path, seed=1, words=60_000)
    return path


@pytest.fixture(scope="session")
def up(text: Path) -> Iterator[Up]:
    """The stack, up with the first text."""
    made = Up(Stack("local"))
    try:
        made.printed = made.make("up", f"INPUT={text}")
        yield made
    finally:
        subprocess.run(["make", "destroy"], cwd=ROOT)


@pytest.fixture
def settings_are_kept(up: Up) -> Iterator[None]:
    """The stack as it was, afterwards."""
    yield
    up.set_back()


@pytest.fixture
def slow(up: Up) -> Iterator[Slow]:
    """An application that has begun, may begin anew elsewhere, and ends when it is asked for."""
    made = Slow(up, tasks=40, seconds=3, waits=True, retries=2)
    made.wait_for_tasks(2)
    yield made
    made.delete()
