"""The real engine on a copy of the program, against moto on loopback as the AWS API."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import warm
from tests.aws_api import IMAGE, aws_api
from tests.engine import kube_api
from tests.processes import shared
from toolchain.env import environment

ROOT = Path(__file__).resolve().parents[2]
STACK = "engine"
# What the engine needs of the checkout; a copy, since the program writes beside itself.
PROGRAM = ["Pulumi.yaml", "Pulumi.README.md", "README.md", "patience.py"]
PROGRAM += ["components", "submission", "charts", "spark_jobs"]


class Engine:
    """One stack of the program, with a backend of its own."""

    def __init__(
        self,
        folder: Path,
        endpoint: str,
        main: Path = ROOT / "__main__.py",
        *,
        is_warm: bool = True,
    ) -> None:
        self.program = folder / "program"
        self.program.mkdir()
        for name in PROGRAM:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, self.program / name)
        shutil.copy(main, self.program / "__main__.py")
        (self.program / ".venv").symlink_to((ROOT / ".venv").resolve())
        (folder / "state").mkdir()
        self.env = {
            **os.environ,
            **environment(),
            **(warm.environment() if is_warm else {}),
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "engine",
            "PULUMI_DEBUG_COMMANDS": "true",
        }
        self.config: dict[str, Any] = {
            "aws": {
                "region": "eu-central-1",
                "endpoint": endpoint,
                "accessKey": "engine",
                "secretKey": "engine",
            },
            "network": {"operatorCidr": "198.18.0.1/32"},
            "nodes": {"count": 3},
        }
        self.pulumi("stack", "init", STACK)
        self._salt = yaml.safe_load((self.program / f"Pulumi.{STACK}.yaml").read_text())

    def configure(self, **changes: dict[str, Any]) -> None:
        """Writes the stack's configuration, with the changes in it for this test."""
        merged = {
            f"tinderbox:{key}": {**self.config.get(key, {}), **changes.get(key, {})}
            for key in {*self.config, *changes}
        }
        file = self.program / f"Pulumi.{STACK}.yaml"
        file.write_text(yaml.safe_dump({**self._salt, "config": merged}))

    def pulumi(self, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """Runs the CLI; it must succeed, or fail where that is what the test is about."""
        done = subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self.program,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    def preview(self, *arguments: str) -> list[dict[str, Any]]:
        """The steps that an update would take, as `pulumi preview --json` lists them."""
        return json.loads(self.pulumi("preview", "--json", *arguments).stdout)["steps"]

    def checkpoint(self) -> tuple[Path, dict[str, Any]]:
        """The file in which the backend keeps the state, and what is in it."""
        (file,) = (self.program.parent / "state" / ".pulumi" / "stacks").glob(f"*/{STACK}.json")
        return file, json.loads(file.read_text())

    def state(self) -> list[dict[str, Any]]:
        """The resources in the state, as the backend keeps them (secrets stay encrypted)."""
        return self.checkpoint()[1]["checkpoint"]["latest"].get("resources") or []

    def outputs(self) -> dict[str, Any]:
        """What the program exported, by the state."""
        (stack,) = [one for one in self.state() if one["type"] == "pulumi:pulumi:Stack"]
        return stack["outputs"]


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an AWS API with one Debian image, and nothing else made."""
    with aws_api([IMAGE], tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture(scope="session")
def server() -> kube_api.KubeApi:
    """One API server for all tests of a run; each file has a namespace of its own there."""
    said = shared("kube-api", [sys.executable, "-m", "tests.engine.kube_api"])
    return kube_api.KubeApi(**json.loads(said))


@pytest.fixture(scope="session")
def engine(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A stack that is configured like the local one, but for moto without machines."""
    made = Engine(tmp_path_factory.mktemp("engine"), moto)
    made.configure()
    return made


@pytest.fixture(scope="session")
def aws_engine(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A stack of the program's AWS part alone: moto's instances are no machines to reach into."""
    main = Path(__file__).parent / "aws_part.py"
    made = Engine(tmp_path_factory.mktemp("aws-engine"), moto, main)
    made.configure()
    return made
