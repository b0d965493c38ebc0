"""How a Spark application is run so that it says afterwards what it used.

charts/spark/files/measured.py runs spark-submit in the driver's own container, samples it, and then
reads the finished event log: there Spark's own code is at hand, on any cluster, also on one without
a node to log in to. The last line of the container's log and usage.json on the volume tell it.
Executors are sampled where they run: by the worker that starts them, or beside them in their pod.
"""

from __future__ import annotations

import json
from typing import Any

from submission.place import SHARED_PATH
from submission.programs import script

#: Spark's folder on the volume: events/ and usage/ in it.
FOLDER = f"{SHARED_PATH}/spark"
#: Of the official image: what starts drivers, and what Spark itself starts in the pods it makes.
SPARK_SUBMIT, ENTRY_POINT = "/opt/spark/bin/spark-submit", "/opt/entrypoint.sh"
#: The property by which the log of a run is found; spark-submit gets it from measured.py.
RUN_PROPERTY = "spark.tinderbox.run"
#: The properties that say who submitted it, and its driver's labels as NAME=VALUE,NAME=VALUE.
USER_PROPERTY, LABELS_PROPERTY = "spark.tinderbox.user", "spark.tinderbox.labels"
#: Where containers have the programs of the chart's ConfigMap spark-usage.
PROGRAMS = "/opt/tinderbox/usage"

#: The command of the container beside an executor. Spark takes an executor for failed if any
#: container of its pod is, and no sample is worth that.
POD_SAMPLER = ["/bin/bash", "-c", f"python3 {PROGRAMS}/sampler.py --pod {FOLDER}/usage || true"]
#: The command of an executor's container: its last words stay, too.
KEPT = [
    *("/bin/sh", "-c", script("if_python.sh"), "kept", f"{PROGRAMS}/last_words.py"),
    *(f"{FOLDER}/usage", "--", ENTRY_POINT),
]


def measured(output: str | None = None, program: str = SPARK_SUBMIT) -> list[str]:
    """The command of a driver's container; its args are the program's.

    The container must have a name of the run's own as POD, the volume at SHARED_PATH, and PROGRAMS.
    Where Spark is not started by spark-submit, it must have POD as RUN_PROPERTY.
    output: a folder that the application makes; usage.json goes into it, too.
    """
    return [
        *("/bin/sh", "-c", script("if_python.sh"), "measured"),
        f"{PROGRAMS}/measured.py",
        *([] if output is None else ["--beside", output]),
        FOLDER,
        "$(POD)",
        "--",
        program,
    ]


def read_result(printed: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """(summary, usage) from two lines of JSON; usage is None where that line is missing or empty.

    It is so where the volume gave no event log: a result is worth more than what is known of it.
    """
    summary, _, usage = printed.strip().partition("\n")
    return json.loads(summary), json.loads(usage) if usage.strip() else None
