"""Sizes, counts and times as Spark and Kubernetes write them; what is none is one line."""

from __future__ import annotations

import pytest

from submission import units
from submission.errors import ApplicationError


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        *(("512", 512), ("512m", 512), ("2g", 2048), ("2GB", 2048), ("1048576b", 1)),
        *(("1024k", 1), (" 1g ", 1024), ("1023k", 0), ("1t", 2**20)),
    ],
)
def test_sizes_as_spark_writes_them(text, mib):
    assert units.mebibytes("key", text) == mib


@pytest.mark.parametrize("text", ["0.5g", "lots", "", "-1g", "1 g", "1e3m", "1gib", "9" * 20])
def test_what_spark_takes_for_no_size(text):
    with pytest.raises(ApplicationError, match=f"^key={text} is "):
        units.mebibytes("key", text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("500m", 0.5), ("2", 2), ("1.5", 1.5), ("3Gi", 3 * 2**30), ("1M", 1e6)),
        *((".5", 0.5), ("1e3", 1000), ("1E", 1e18), ("5.", 5)),
    ],
)
def test_quantities_as_kubernetes_writes_them(text, number):
    assert units.quantity(text) == number


@pytest.mark.parametrize("text", ["two", "", "1.2.3", "1 Gi", "1KiB", "-1", "٣"])
def test_what_is_no_quantity(text):
    with pytest.raises(ApplicationError, match="is no quantity"):
        units.quantity(text)


@pytest.mark.parametrize("text", ["0", "0.0001", "half", "1u", "-1", "99999999999"])
def test_what_are_no_cores(text):
    with pytest.raises(ApplicationError, match=f"^key={text} are no cores"):
        units.cpus("key", text)


@pytest.mark.parametrize("text", ["0", "-1", "0.5", "two", "", "2147483648", "1_0", "٣"])
def test_what_is_no_whole_number(text):
    with pytest.raises(ApplicationError, match=f"^key={text} must be a whole number from 1"):
        units.whole("key", text, 1)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("2h", 7200), ("5min", 300), ("7", 7)])
def test_times_as_spark_writes_them(text, seconds):
    assert units.seconds("key", text) == seconds


@pytest.mark.parametrize("text", ["soon", "1.5h", "1w", ""])
def test_what_is_no_time(text):
    with pytest.raises(ApplicationError, match=f"^key={text} is no time"):
        units.seconds("key", text)
