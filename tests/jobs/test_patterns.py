"""The check of wordCount.pattern says what Java says, with the flag that the job sets."""

from __future__ import annotations

from pyspark.errors import IllegalArgumentException

from components.settings.java_pattern import problem
from tests.unit.patterns import BAD, GOOD, made_up


def test_the_check_of_patterns_is_javas_own(spark):
    compile_ = spark.sparkContext._jvm.java.util.regex.Pattern.compile

    def takes(pattern: str) -> bool:
        try:
            compile_(f"(?U){pattern}")
        except IllegalArgumentException:
            return False
        return True

    patterns = [*GOOD, *BAD, *made_up(400)]
    differing = [one for one in patterns if takes(one) != (problem(one) is None)]
    assert not differing
    assert 100 < sum(problem(one) is None for one in patterns) < len(patterns) - 100
