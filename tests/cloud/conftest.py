"""A local cloud for the tests of this folder: up before, down after, and nothing left of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.daemons import sweep
from tests.cloud.machines import Network, localcloud


@pytest.fixture(scope="session", autouse=True)
def clean_host() -> Iterator[None]:
    """No local cloud before (it could be someone's), none after: not even if we are terminated."""
    if os.geteuid() != 0:
        pytest.exit("tests/cloud needs root", returncode=1)
    if found := sweep.leftovers():
        pytest.exit(f"a local cloud is here ({found[0]}); end it: python -m localcloud down", 1)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    yield
    signal.signal(signal.SIGTERM, former)
    localcloud("down", "--force")
    assert sweep.leftovers() == []


@pytest.fixture(scope="module")
def cloud() -> Iterator[None]:
    """A local cloud that just started."""
    localcloud("up")
    yield
    localcloud("down", "--force")
    assert sweep.leftovers() == []


@pytest.fixture(scope="module")
def network(cloud: None, tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A VPC in it."""
    folder: Path = tmp_path_factory.mktemp("keys")
    return Network.make(folder)
