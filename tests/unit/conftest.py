"""What the unit tests share: shell that runs as the steps on a node do."""

from __future__ import annotations

import pytest

from tests.unit.shell import Sandbox


@pytest.fixture
def sandbox(tmp_path) -> Sandbox:
    """A folder in place of a node's root, and commands that only note how they were called."""
    return Sandbox(tmp_path)
