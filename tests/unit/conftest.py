"""What the unit tests share: quiet SDKs, and shell that runs as the steps on a node do."""

from __future__ import annotations

import pytest

from tests.unit.shell import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    """Pulumi's SDKs warn of their own old names whenever they are imported."""
    for package in ("pulumi_aws", "pulumi_command"):
        config.addinivalue_line("filterwarnings", f"ignore::DeprecationWarning:{package}.*")


@pytest.fixture
def sandbox(tmp_path) -> Sandbox:
    """A folder in place of a node's root, and commands that only note how they were called."""
    return Sandbox(tmp_path)
