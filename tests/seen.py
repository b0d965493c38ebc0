"""How long changes took where tests played them: what a run saw, and what the table of changes has.

{"a node more": {"seconds": 18.5, "date": "2026-11-26", "machine": "2 × ..., 15 GiB"}}
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from bench.machine import machine
from bench.page import today
from toolchain import paths

#: What runs in this checkout have seen; `python -m tests.unit.changes` puts it into the other.
FOUND = paths.SCRATCH / "changes.seen.json"
KEPT = paths.CHECKOUT / "docs" / "changes.seen.json"


def load(*files: Path) -> dict[str, dict[str, Any]]:
    """All of these files together; a later one's counts."""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        found |= json.loads(file.read_text()) if file.exists() else {}
    return found


def save(file: Path, found: dict[str, dict[str, Any]]) -> None:
    """Writes one, whole or not at all."""
    paths.replace(file, json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def seen(change: str) -> Generator[None]:
    """The change, a title of tests/unit/changes.py or a verb of make's, is made within."""
    began = time.monotonic()
    yield
    see(change, time.monotonic() - began)


def see(change: str, seconds: float) -> None:
    """Takes down that it took so long."""
    date = today()
    took = {"seconds": round(seconds, 1), "date": date, "machine": machine()}
    save(FOUND, {**load(FOUND), change: took})
