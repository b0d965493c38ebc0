"""The programs that run in pods, as they lie in the checkout: charts/spark/files.

The Python ones reach pods by the chart's ConfigMap; those of the shell go along as the text of a
command, so they need nothing to be there.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "charts" / "spark" / "files"


def script(name: str) -> str:
    """What `sh -c` is given for a script of the folder."""
    return body_of(FOLDER / name)


def body_of(file: Path) -> str:
    """A script without the comments that it begins with, which are for people."""
    lines = file.read_text("utf-8").splitlines(keepends=True)
    while lines and (lines[0].startswith("#") or not lines[0].strip()):
        del lines[0]
    return "".join(lines)
