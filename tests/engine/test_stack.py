"""The console's stack with the real CLI, below an environment that is all another project's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# What `make up` and `make outputs` call, on a checkout and a cloud of their own.
CALLS = """
import sys
from pathlib import Path
from console import stack
from localcloud import layout
from toolchain.env import enter
root, name, text = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
enter(local=name == stack.LOCAL)
stack.ROOT, layout.PULUMI = root, root / "cloud"
stack.Stack.pulumi.__kwdefaults__["cwd"] = root
made = stack.Stack(name)
for chosen in (text, None):
    made.prepare(chosen)
    made.preview()
print(made.exists(), made.outputs())
"""
FOREIGN = {
    "PULUMI_CONFIG_PASSPHRASE": "of another project",
    "PULUMI_STACK": "other/thing/prod",
    "PULUMI_ACCESS_TOKEN": "pul-0",
    "PULUMI_OPTION_REFRESH": "true",
    "AWS_PROFILE": "nobody",
    "AWS_CONFIG_FILE": "/nonexistent",
    "KUBECONFIG": "/nonexistent",
    "HELM_NAMESPACE": "other",
    "JAVA_HOME": "/nonexistent",
    "SPARK_HOME": "/nonexistent",
    "TMPDIR": "/nonexistent",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "LC_ALL": "C",
    "TERM": "nothing-known",
    "COLUMNS": "40",
    "CDPATH": "/",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    (tmp_path / ".venv").symlink_to((ROOT / ".venv").resolve())
    (tmp_path / "__main__.py").write_text("import pulumi\npulumi.export('word', 'naïve\\x1b')\n")
    for name in ("local", "dev"):
        (tmp_path / f"Pulumi.{name}.yaml").write_text("# Ours.\nconfig: {}\n")
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "passphrase").write_text("of the cloud")
    (tmp_path / "state").mkdir()
    return tmp_path


def call(checkout: Path, name: str, text: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CALLS, str(checkout), name, text],
        cwd=ROOT,
        env={**os.environ, **FOREIGN, **variables},
        umask=0o077,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_local_stack_is_nobody_elses(checkout: Path) -> None:
    shown = call(checkout, "local", "/books/ü.txt")
    assert shown.splitlines()[-1] == "True {}" and "\x1b]" not in shown
    kept = yaml.safe_load((checkout / "cloud" / "Pulumi.local.yaml").read_text())
    assert kept["config"] == {"tinderbox:wordCount": {"input": "/books/ü.txt"}}
    # The checkout is as it is in git.
    assert (checkout / "Pulumi.local.yaml").read_text() == "# Ours.\nconfig: {}\n"


def test_a_stack_with_its_organization(checkout: Path) -> None:
    backend = f"file://{checkout}/state"
    shown = call(checkout, "organization/dev", "./-2026", PULUMI_BACKEND_URL=backend)
    assert shown.splitlines()[-1] == "True {}"
    kept = yaml.safe_load((checkout / "Pulumi.dev.yaml").read_text())
    assert kept["config"]["tinderbox:wordCount"] == {"input": "./-2026"}
