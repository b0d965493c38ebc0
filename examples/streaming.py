"""Counts the words of texts as they arrive in a folder, for as long as it is let.

The setting `tinderbox:applications` that runs it:

    words:
      app: examples/streaming.py
      args: [/srv/shared/spark/words]
      limitMinutes: 0
      retries: 100
      master: kubernetes
      executor: {instances: 1, cores: 1, memoryMiB: 512}
      conf:
        spark.kubernetes.executor.request.cores: 200m
        spark.sql.session.timeZone: Europe/Paris

What lies in FOLDER/in is read once. The counts of each batch are in FOLDER/counts/batch=N, by the
day on which their texts came. A driver that is killed comes again (retries), and goes on from
FOLDER/checkpoint: the batch that it was in comes again with the same texts, and its counts take the
place of what was half written. So each word is counted exactly once.
"""

import os
import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming import StreamingQuery


def start(spark: SparkSession, folder: str) -> StreamingQuery:
    """The count of what is in the folder, and of what will be."""
    for name in ("in", "counts"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)

    def write(words: DataFrame, batch: int) -> None:
        counts = words.groupBy("date", "word").count()
        rows = counts.coalesce(1).write.mode("overwrite").partitionBy("date")
        rows.csv(f"{folder}/counts/batch={batch}", header=True, escape='"')

    # Not the day of the count: a batch that comes again must be what it was.
    day = F.to_date("_metadata.file_modification_time").alias("date")
    words = (
        spark.readStream.text(f"{folder}/in")
        .select(day, F.explode(F.split("value", r"\s+")).alias("word"))
        .where("word != ''")
    )
    query = words.writeStream.foreachBatch(write).trigger(processingTime="5 seconds")
    return query.option("checkpointLocation", f"{folder}/checkpoint").start()


if __name__ == "__main__":
    start(SparkSession.builder.getOrCreate(), sys.argv[1]).awaitTermination()
