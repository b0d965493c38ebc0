"""Upstream's Helm charts, unmodified from their modules, as chart repositories of static files."""

from __future__ import annotations

import shutil
from pathlib import Path

from localcloud.host.shell import run
from toolchain import builds

#: Repository -> the module of toolchain/go and the chart's folder in it.
CHARTS = {
    "flannel": ("flannel", "chart/kube-flannel"),
    "metrics-server": ("metrics-server", "charts/metrics-server"),
}


def build(root: Path, scratch: Path) -> None:
    """Write charts/<repository>/{index.yaml, CHART-VERSION.tgz} under `root`."""
    helm = str(builds.binary("helm"))
    for repository, (module, folder) in CHARTS.items():
        target = root / "charts" / repository
        target.mkdir(parents=True)
        # helm keeps a lock beside the chart: not in Go's module cache, which is read-only.
        chart = scratch / repository
        shutil.copytree(builds.module_dir(module) / folder, chart, copy_function=shutil.copyfile)
        run([helm, "package", str(chart), "--destination", str(target)])
        # No --url: the index's links are relative, so that it works at any address.
        run([helm, "repo", "index", str(target)])
        shutil.rmtree(chart)
