"""wordCount.pattern: what Java takes is taken, and what it does not is refused in words."""

from __future__ import annotations

import pytest

from components.settings.java_pattern import problem
from tests.unit.patterns import BAD, GOOD


@pytest.mark.parametrize("pattern", GOOD)
def test_what_java_takes_is_taken(pattern):
    assert problem(pattern) is None


@pytest.mark.parametrize("pattern", BAD)
def test_what_java_does_not_take_is_said_in_words(pattern):
    found = problem(pattern)
    assert found and "\n" not in found


def test_a_pattern_that_is_too_deep():
    assert problem("(" * 100_000) == "its groups are too deep"
