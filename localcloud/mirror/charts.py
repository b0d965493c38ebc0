"""Upstream's Helm charts, unmodified, as chart repositories of static files."""

from __future__ import annotations

import shutil
from pathlib import Path

from localcloud.host import debian
from localcloud.host.shell import run
from localcloud.mirror import upstream
from toolchain import builds

#: Name, which is that of its repository too, and version of a chart -> the module of toolchain/go
#: and the chart's folder in it.
CHARTS = {
    ("flannel", "v0.28.4"): ("flannel", "chart/kube-flannel"),
    ("metrics-server", "3.13.1"): ("metrics-server", "charts/metrics-server"),
}


def build(root: Path, scratch: Path, progress: debian.Progress) -> None:
    """Write charts/<repository>/{index.yaml, CHART-VERSION.tgz} under `root`.

    Upstream's own where they can be reached, else packed from their modules: the same files.
    """
    helm = shutil.which("helm") or str(builds.binary("helm"))
    for (name, version), (module, folder) in CHARTS.items():
        target = root / "charts" / name
        target.mkdir(parents=True)
        if not upstream.take_chart(name, version, target, progress):
            # helm keeps a lock beside the chart: not in Go's module cache, which is read-only.
            chart = scratch / name
            shutil.copytree(
                builds.module_dir(module) / folder, chart, copy_function=shutil.copyfile
            )
            run([helm, "package", str(chart), "--destination", str(target)])
            shutil.rmtree(chart)
        # No --url: the index's links are relative, so that it works at any address.
        run([helm, "repo", "index", str(target)])
