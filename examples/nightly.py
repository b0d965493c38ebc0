"""Writes a report of yesterday's words: what streaming.py has counted.

The setting `tinderbox:applications` that runs it:

    report:
      app: examples/nightly.py
      args: [/srv/shared/spark/words]
      schedule: "0 3 * * *"
      timeZone: Europe/Paris
      conf: {spark.sql.session.timeZone: Europe/Paris}

The report is in FOLDER/reports/DAY, and its line in `make apps`. To run it twice is safe: the
second report takes the first one's place. One of another day:

    make submit APP=examples/nightly.py ARGS="/srv/shared/spark/words 2026-11-20"
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

folder, *days = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()
# Yesterday where the setting's time zone is, not where the driver's clock is.
day = days[0] if days else str(spark.sql("SELECT date_sub(current_date(), 1)").head()[0])
counts = (
    spark.read.schema("word STRING, count LONG, batch INT, date DATE")
    .csv(f"{folder}/counts", header=True, escape='"')
    .where(F.col("date") == day)
)
report = counts.groupBy("word").agg(F.sum("count").alias("count")).orderBy(F.desc("count"), "word")
rows = report.coalesce(1).write.mode("overwrite")
rows.csv(f"{folder}/reports/{day}", header=True, escape='"')
print(
    f"{day}: {report.count()} different words, most often:", *(row.word for row in report.head(3))
)
