"""Keeps a Delta table of the words in the texts of a folder, and changes in it what has changed.

    make jars NAME=delta
    pulumi config set --path spark.jars .tinderbox/jars/delta

The setting `tinderbox:applications` that runs it:

    table:
      app: examples/delta.py
      args: [/srv/shared/spark/words]
      schedule: "@hourly"
      conf:
        spark.sql.extensions: io.delta.sql.DeltaSparkSessionExtension
        spark.sql.catalog.spark_catalog: org.apache.spark.sql.delta.catalog.DeltaCatalog

Each run makes a version of FOLDER/table, all of it or nothing; older ones can still be read
(VERSION AS OF). A run for texts that have not changed changes no row.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

folder = sys.argv[1]
spark = SparkSession.builder.getOrCreate()
table = f"delta.`{folder}/table`"
words = spark.read.text(f"{folder}/in").select(F.explode(F.split("value", r"\s+")).alias("word"))
words.where("word != ''").groupBy("word").count().createOrReplaceTempView("counted")
spark.sql(f"CREATE TABLE IF NOT EXISTS {table} (word STRING, count BIGINT) USING delta")
changed = spark.sql(f"""
    MERGE INTO {table} AS kept USING counted ON kept.word = counted.word
    WHEN MATCHED AND kept.count <> counted.count THEN UPDATE SET *
    WHEN NOT MATCHED THEN INSERT *
    WHEN NOT MATCHED BY SOURCE THEN DELETE
""").head()
rows = spark.sql(f"SELECT * FROM {table}").count()
print(f"{rows} words; changed: {changed['num_affected_rows']}")
