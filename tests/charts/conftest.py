"""helm, and what charts/spark renders to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolchain import builds

CHART = Path(__file__).parents[2] / "charts" / "spark"

#: What the chart renders to: each object by its kind and name, as in "Service/spark-master".
Objects = dict[str, Any]


@pytest.fixture(scope="session")
def helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run helm: the one on PATH, else the toolchain's."""
    program = shutil.which("helm") or str(builds.binary("helm"))

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *args], capture_output=True, text=True, timeout=60)

    return call


@pytest.fixture(scope="session")
def render(helm: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Objects]:
    """Render the chart as release `spark`, with values as `--set-json` takes them."""

    def call(*values: str, release: str = "spark") -> Objects:
        sets = [arg for value in values for arg in ("--set-json", value)]
        done = helm("template", release, str(CHART), "--namespace", "apps", *sets)
        assert done.returncode == 0, done.stderr
        documents = [document for document in yaml.safe_load_all(done.stdout) if document]
        return {f"{d['kind']}/{d['metadata']['name']}": d for d in documents}

    return call


def conf(objects: Objects, name: str) -> dict[str, str]:
    """The properties of a ConfigMap's spark-defaults.conf."""
    text = objects[f"ConfigMap/{name}"]["data"]["spark-defaults.conf"]
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ", 1) for line in lines)
