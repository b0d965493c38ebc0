"""The quick part of `make torture`: a killed `make up` is finished by the next one.

It comes first, since the stack that all others share is the one that it leaves.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.test_1_up import cut_and_finish

POINTS = (
    "Instance tinderbox-local-control-plane creating",
    "control-plane-init creating",
    "v3:Release spark creating",
)


def test_an_up_that_is_killed_is_finished_by_the_next(text: Path, request: pytest.FixtureRequest):
    done = cut_and_finish(POINTS, text, request)
    assert [one.split()[0] for one in done] == ["SIGKILL", "SIGINT"] * len(POINTS), done
