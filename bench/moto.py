"""Pulumi's engine with moto behind it, as the engine's tests have it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.engine.conftest import Engine


@contextlib.contextmanager
def against_moto() -> Generator[Engine]:
    """An engine whose AWS is moto on the loopback, all through a `with`."""
    from tests.aws_api import IMAGE, aws_api  # they load slowly
    from tests.engine.conftest import Engine

    with tempfile.TemporaryDirectory() as name, aws_api([IMAGE], Path(name)) as url:
        folder = Path(name) / "engine"
        folder.mkdir()
        yield Engine(folder, url, is_warm=False)  # a user's stand-ins are not
