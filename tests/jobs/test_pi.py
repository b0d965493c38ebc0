"""pi.py."""

from __future__ import annotations

import math

import pytest
from pyspark.sql import SparkSession

from spark_jobs import pi


def test_one_line_with_pi(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    assert pi.main(["200000"], spark) == 0
    words = capsys.readouterr().out.split()
    assert words[:3] == ["Pi", "is", "roughly"]
    # The estimate's deviation is 4 * sqrt(p * (1 - p) / n) = 0.0037; this allows eight of them.
    assert math.isclose(float(words[3]), math.pi, abs_tol=0.03)


@pytest.mark.parametrize("samples", ["0", "-3", "many"])
def test_bad_number(samples: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        pi.main([samples])
    assert stopped.value.code == 2
    assert repr(samples) in capsys.readouterr().err or samples == "-3"
