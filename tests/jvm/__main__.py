"""python -m tests.jvm: makes the archive of Spark's classes, by a word count that loads them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import jvm
from toolchain.env import enter

JOB = Path(__file__).parents[2] / "spark_jobs" / "wordcount.py"
CONF = {
    "spark.ui.port": "0",
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "true",
    "spark.metrics.conf.*.source.jvm.class": "org.apache.spark.metrics.source.JvmSource",
}


def main() -> int:
    """Makes it unless it is there; without it tests are slower, and no worse."""
    enter(local=True)
    jvm.use(os.environ)
    if "TEST_JAVA" not in os.environ:
        return 0
    file = jvm.archive(os.environ["TEST_JAVA"])
    if file.exists():
        return 0
    print("tests: keeps Spark's classes for the tests' Java, once", flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder, "made.jsa")
        (Path(folder) / "conf").mkdir()
        conf = {**CONF, "spark.eventLog.dir": f"file://{folder}"}
        done = subprocess.run(
            [
                *(str(jvm.SPARK / "bin" / "spark-submit"), "--master", "local[2]"),
                *(item for key, value in conf.items() for item in ("--conf", f"{key}={value}")),
                *(str(JOB), str(JOB), f"{folder}/out"),
            ],
            env={
                **os.environ,
                "SPARK_CONF_DIR": f"{folder}/conf",
                "PYSPARK_PYTHON": sys.executable,
                "TEST_JAVA_ARCHIVE": f"-XX:ArchiveClassesAtExit={made}",
            },
            capture_output=True,
            text=True,
        )
        if done.returncode or not made.exists():
            print(f"tests: it was not made: {done.stderr[-2000:]}", file=sys.stderr)
        else:
            made.rename(file)
            for old in {*file.parent.glob("*.jsa")} - {file}:
                old.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
