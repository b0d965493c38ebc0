"""What Pulumi is told of a Helm chart that lies in a folder."""

from __future__ import annotations

from pathlib import Path

import pulumi

from components.local_files import digest_of


def describe_chart(chart: str) -> str | None:
    """The description of a release: the chart with a digest of its files. None for one elsewhere.

    Pulumi compares what a release is given, not what is in the chart's folder: this way another
    chart is another release.
    """
    folder = Path(chart)
    if not folder.is_dir():
        return None
    files = [file for file in sorted(folder.rglob("*")) if file.suffix not in (".md", ".pyc")]
    named = ((str(file.relative_to(folder)), file) for file in files if not file.is_dir())
    try:
        return f"{chart} {digest_of(named)}"
    except OSError as error:
        raise pulumi.RunError(f"the chart {chart}: {error.filename!r}: {error.strerror}") from None
