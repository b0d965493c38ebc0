"""The program as a whole."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Each loads slowly; hooks and outputs load what they need themselves.
SLOW = {"kubernetes", "requests", "boto3", "pulumi_aws"}


def test_a_preview_of_a_cluster_that_there_is_loads_nothing_that_it_does_not_need():
    names = [
        node.module
        for node in ast.parse((ROOT / "__main__.py").read_text()).body
        if isinstance(node, ast.ImportFrom)
    ]
    text = f"import sys, {', '.join(map(str, names))}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, check=True)
    assert not SLOW & set(done.stdout.decode().split())
