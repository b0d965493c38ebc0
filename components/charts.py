"""What Pulumi is told of a Helm chart that lies in a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path


def describe_chart(chart: str) -> str | None:
    """The description of a release: the chart with a digest of its files. None for one elsewhere.

    Pulumi compares what a release is given, not what is in the chart's folder: this way another
    chart is another release.
    """
    folder = Path(chart)
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix not in (".md", ".pyc"):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(folder)}\0{content}\n".encode())
    return f"{chart} {digest.hexdigest()[:16]}"
