"""Pages that hold what was measured, between marks."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from toolchain import paths


def put(page: str, mark: str, text: str) -> str:
    """The page with this text between the mark and the next end. Raises ValueError without one."""
    marks = re.compile(f"(<!-- {re.escape(mark)} -->\n).*?(<!-- end -->\n)", re.DOTALL)
    if not marks.search(page):
        raise ValueError(f"the page has no part {mark}")
    return marks.sub(lambda found: f"{found[1]}{text}{found[2]}", page)


def write(file: Path, mark: str, text: str) -> None:
    """Puts it into that file."""
    paths.replace(file, put(file.read_text("utf-8"), mark, text))


def today() -> str:
    """The day, UTC: 2026-11-26"""
    return f"{datetime.now(UTC):%Y-%m-%d}"
