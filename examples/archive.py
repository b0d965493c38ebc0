"""Uses a Python package that Spark's image does not have: an archive brings it.

    .venv/bin/python -m pip install --target packages humanize==4.14.0
    tar czf packages.tar.gz -C packages .

The setting `tinderbox:applications` that runs it:

    spelled:
      app: examples/archive.py
      args: [1000000, 2500000000]
      archives: [packages.tar.gz#packages]

Any packages may be in it, together of up to 700 KiB; a larger archive lies below /srv/shared, as
file:///srv/shared/packages.tar.gz#packages. Packages with compiled parts must be those of the
image's Python (docs/spark/data.md).
"""

import sys

from pyspark import SparkFiles
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

spark = SparkSession.builder.getOrCreate()


@F.udf("string")
def spelled(number: int) -> str:
    """A number in words; in an executor, which has the archive's folder, as the driver has."""
    if (packages := SparkFiles.get("packages")) not in sys.path:
        sys.path.append(packages)
    import humanize

    return humanize.intword(number)


numbers = spark.createDataFrame([(int(number),) for number in sys.argv[1:]], "number LONG")
print(*(row.words for row in numbers.select(spelled("number").alias("words")).collect()), sep=", ")
