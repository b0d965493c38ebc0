"""What components/fit.py counts is what the charts' pods request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from components import fit
from components.cluster import addons
from components.settings import Settings
from components.spark.values import spark_values
from submission.sizes import NOTHING, Amount, requested
from tests.unit.plan import MINIMAL
from toolchain import builds

ROOT = Path(__file__).parents[2]


def asked(text: str) -> Amount:
    """What all pods request that come of manifests."""
    total = NOTHING
    for manifest in yaml.safe_load_all(text):
        if manifest and manifest["kind"] in ("Deployment", "StatefulSet", "DaemonSet"):
            containers = manifest["spec"]["template"]["spec"]["containers"]
            pod = sum((requested(each["resources"]["requests"]) for each in containers), NOTHING)
            total += pod * manifest["spec"].get("replicas", 1)
    return total


def given(values: Mapping[str, object]) -> list[str]:
    """Values on helm's command line."""
    pairs = (f"{key}={json.dumps(value)}" for key, value in values.items())
    return [argument for pair in pairs for argument in ("--set-json", pair)]


@pytest.mark.parametrize(
    ("module", "folder", "counted"),
    [
        ("flannel", "chart/kube-flannel", addons.FLANNEL_REQUESTS),
        ("metrics-server", "charts/metrics-server", addons.METRICS_SERVER_REQUESTS),
    ],
)
def test_addons(helm, module, folder, counted):
    done = helm("template", "it", str(builds.module_dir(module) / folder))
    assert done.returncode == 0, done.stderr
    assert asked(done.stdout) == counted


@pytest.mark.parametrize("spark", [{}, {"workers": 5, "history": False}, {"connect": True}])
def test_spark(helm, spark):
    settings = Settings.parse({**MINIMAL, "spark": spark})
    values = spark_values(settings, 3, "claim")
    done = helm("template", "spark", str(ROOT / "charts" / "spark"), *given(values))
    assert done.returncode == 0, done.stderr
    assert asked(done.stdout) == sum((item.all for item in fit._of_spark(settings, 3)), NOTHING)


@pytest.mark.parametrize("engine", ["kube-opex-analytics", "kube-resource-report"])
def test_opex(helm, engine):
    settings = Settings.parse({**MINIMAL, "nodes": {"price": 0.1}, "opex": {"engine": engine}})
    values = fit.opex.opex_values(settings, "claim")
    done = helm("template", "opex", str(ROOT / "charts" / "opex"), *given(values))
    assert done.returncode == 0, done.stderr
    assert asked(done.stdout) == sum((item.all for item in fit._of_opex(settings)), NOTHING)
