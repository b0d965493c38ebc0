"""One Spark session for all job tests: starting one costs more than most tests."""

from __future__ import annotations

from collections.abc import Iterator

import careful
import pytest
from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = (
        SparkSession.builder.config(map=careful.CONF)
        .master("local[2]")
        .appName("tests")
        .config("spark.ui.enabled", False)
        .config("spark.ui.showConsoleProgress", False)
        .config("spark.sql.shuffle.partitions", 8)
        .getOrCreate()
    )
    # What Spark logs of failures that tests provoke is nobody's reading.
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
