"""`make lint`, beside the other tests."""

from __future__ import annotations

import subprocess

import pytest

from tests.unit.plan import ROOT


def test_lint():
    done = subprocess.run([ROOT / "toolchain" / "lint.sh"], capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)
