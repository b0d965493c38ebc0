"""The package as a whole: what it must never know."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.unit.plan import ROOT

_LOADED = """
import importlib, json, pkgutil, submission, sys
for module in pkgutil.walk_packages(submission.__path__, "submission."):
    importlib.import_module(module.name)
print(json.dumps([*sys.modules]))
"""


def test_it_imports_neither_pulumi_nor_what_uses_it():
    ran = subprocess.run(
        [sys.executable, "-c", _LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {module.partition(".")[0] for module in json.loads(ran.stdout)}
    assert "submission" in loaded
    assert not {"pulumi", "components", "console", "localcloud", "toolchain"} & loaded
