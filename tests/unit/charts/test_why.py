"""charts/spark/files/why.py: each cause, of facts as Kubernetes, Spark and Python give them."""

from __future__ import annotations

from typing import Any

import pytest
import why

NO_NODE = "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient memory."
QUOTA = (
    'pods "pi-3f2a1c-" is forbidden: exceeded quota: etl, requested: requests.cpu=1,'
    " used: requests.cpu=2, limited: requests.cpu=2"
)
PULL = (
    'failed to pull and unpack image "docker.io/me/none:1": failed to resolve reference:'
    " docker.io/me/none:1: not found"
)
DRIVER = {"name": "pi-3f2a1c-x7k2p", "labels": {"batch.kubernetes.io/job-name": "pi-3f2a1c"}}
APART = {"name": "pi-3f2a1c-x7k2p-driver", "labels": {"spark-role": "driver"}}
EXECUTOR = {"name": "pi-3f2a1c-x7k2p-exec-1", "labels": {"spark-role": "executor"}}
SIZED = {"resources": {"requests": {"memory": "512Mi"}, "limits": {"memory": "1536Mi"}}}


def pod(metadata: dict[str, Any], phase: str, state: Any = None, **status: Any) -> dict[str, Any]:
    """As the API has it."""
    containers = [{"name": "driver", "image": "docker.io/me/none:1", "state": state}]
    found = {"phase": phase, **({"containerStatuses": containers} if state else {}), **status}
    spec = {"nodeName": "node-2", "containers": [{"name": "driver", **SIZED}]}
    return {"metadata": metadata, "spec": spec, "status": found}


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def unschedulable(metadata: dict[str, Any]) -> dict[str, Any]:
    conditions = [condition("PodScheduled", "False", "Unschedulable", NO_NODE)]
    return pod(metadata, "Pending", conditions=conditions)


def waiting(metadata: dict[str, Any], reason: str, message: str) -> dict[str, Any]:
    return pod(metadata, "Pending", {"waiting": {"reason": reason, "message": message}})


def ended(metadata: dict[str, Any], code: int, reason: str = "Error") -> dict[str, Any]:
    return pod(metadata, "Failed", {"terminated": {"exitCode": code, "reason": reason}})


def failed_job(reason: str, message: str) -> dict[str, Any]:
    return {"status": {"failed": 1, "conditions": [condition("Failed", "True", reason, message)]}}


PYTHON = """\
26/11/26 10:00:00 WARN NativeCodeLoader: Unable to load native-hadoop library
counted 1000
Traceback (most recent call last):
  File "/opt/tinderbox/app/report.py", line 12, in <module>
    main()
  File "/opt/tinderbox/app/report.py", line 8, in main
    rows = spark.table("nope").collect()
           ^^^^^^^^^^^^^^^^^^^
  File "/opt/spark/python/lib/pyspark.zip/pyspark/sql/session.py", line 1700, in table
  File "/opt/spark/python/lib/pyspark.zip/pyspark/errors/exceptions/captured.py", line 190, in deco
pyspark.errors.exceptions.captured.AnalysisException: [TABLE_OR_VIEW_NOT_FOUND] no nope.;
'UnresolvedRelation [nope]

26/11/26 10:00:01 INFO ShutdownHookManager: Shutdown hook called
"""
ABORTED = (
    "org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 0.0 failed"
    " 4 times, most recent failure: Lost task 0.3 in stage 0.0 (TID 3) (10.244.1.9 executor 1): "
)
PY4J = """\
Traceback (most recent call last):
  File "/opt/tinderbox/app/big.py", line 5, in <module>
    print(sc.parallelize(range(2)).map(hold).count())
  File "/opt/spark/python/lib/py4j-0.10.9.9-src.zip/py4j/protocol.py", line 327, in get_return_value
py4j.protocol.Py4JJavaError: An error occurred while calling z:PythonRDD.collectAndServe.
: {aborted}{error}
\tat org.apache.spark.scheduler.DAGScheduler.$anonfun$abortStage$2(DAGScheduler.scala:2935)
"""
LOST = "ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: x"
CRASHED = "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)"
WORKER = """\
Traceback (most recent call last):
  File "/opt/tinderbox/app/udf.py", line 9, in <module>
    df.collect()
  File "/opt/spark/python/lib/pyspark.zip/pyspark/sql/dataframe.py", line 400, in collect
pyspark.errors.exceptions.captured.PythonException:
  An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "/opt/tinderbox/app/udf.py", line 4, in halve
    return 1 / row
           ~~^~~~~
ZeroDivisionError: division by zero

JVM stacktrace:
org.apache.spark.SparkException: Job aborted due to stage failure
Caused by: org.apache.spark.api.python.PythonException: Traceback
"""
JAVA = """\
Exception in thread "main" java.lang.IllegalStateException: no rows
\tat org.apache.spark.util.Utils$.x(Utils.scala:1)
\tat com.example.Report$.run(Report.scala:41)
\tat com.example.Report.main(Report.scala)
Caused by: java.io.IOException: away
\t... 9 more
"""
KILLED = (
    "The executor with id 1 exited with exit code 137(SIGKILL, possible container OOM)."
    " The API gave the following container statuses: container name: executor"
    " exit code: 137 termination reason: OOMKilled"
)
MINE = {"id": "1", "host": "10.244.1.9", "heapMiB": 512, "askedMiB": 1024}
KILLED_FOR_MEMORY = (
    "executor 1 was killed for memory: it asked for 1024 MiB (512 MiB of heap), had a limit of"
    " 1024 MiB, was seen with 1019 MiB (--executor-memory, spark.executor.memoryOverhead)"
)
DRIVERS = "it asked for 512Mi and had a limit of 1536Mi (--driver-memory)"
OOM_WORKER = {
    "metadata": {"name": "spark-worker-a", "labels": {"app.kubernetes.io/component": "worker"}},
    "spec": {"containers": [SIZED]},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {
                "name": "worker",
                "state": {"running": {}},
                "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            }
        ],
    },
}

TABLE: list[tuple[str, dict[str, Any], str]] = [
    ("done", {"code": 0, "log": PYTHON}, "it did not fail"),
    ("done", {"job": {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}}, "it"),
    ("running", {"pods": [pod(DRIVER, "Running", {"running": {}})]}, "it has not ended"),
    ("running", {}, "it has not ended, or nobody saw its end"),
    (
        "limit",
        {"job": failed_job("DeadlineExceeded", "Job was active longer than specified deadline")},
        "ended at its time limit: Job was active longer than specified deadline",
    ),
    # -- memory
    (
        "memory",
        {"code": 137, "pods": [ended(DRIVER, 137, "OOMKilled")]},
        f"the driver was killed for memory: {DRIVERS}",
    ),
    (
        "memory",
        {"code": 137, "pods": [ended(DRIVER, 137), ended(APART, 137, "OOMKilled")]},
        f"the driver was killed for memory: {DRIVERS}",
    ),
    (
        "memory",
        {
            "code": 1,
            "log": PY4J.format(aborted=ABORTED, error=LOST),
            "executors": [{**MINE, "ended": KILLED, "limitMiB": 1024.0, "peakMiB": 1018.7}],
        },
        KILLED_FOR_MEMORY,
    ),
    (  # the kernel took a process of the container's, and left the JVM
        "memory",
        {
            "code": 1,
            "log": PY4J.format(aborted=ABORTED, error=CRASHED),
            "executors": [{**MINE, "ended": None, "oomKills": 4, "limitMiB": 1024.0}],
        },
        "a process of executor 1 was killed for memory: it asked for 1024 MiB",
    ),
    (  # standalone: the worker's container was killed whole, with the sampler in it
        "memory",
        {
            "code": 1,
            "log": PY4J.format(aborted=ABORTED, error=LOST),
            "executors": [{"id": "1", "host": "h", "ended": "Worker lost"}],
            "pods": [ended(DRIVER, 1), OOM_WORKER],
        },
        "spark-worker-a was killed for memory: it asked for 512Mi and had a limit of 1536Mi",
    ),
    (
        "memory",
        {
            "code": 11,
            "log": "26/11/26 10:00:00 ERROR x: Max number of executor failures (4) reached\n",
            "executors": [{**MINE, "ended": "The executor with id 1 exited with exit code 52"}],
        },
        "executor 1 ran out of its heap of 512 MiB",
    ),
    (
        "memory",
        {
            "code": 1,
            "log": PY4J.format(
                aborted=ABORTED, error="java.lang.OutOfMemoryError: Java heap space"
            ),
        },
        "an executor ran out of its heap: java.lang.OutOfMemoryError: Java heap space",
    ),
    (
        "memory",
        {"code": 1, "log": 'Exception in thread "main" java.lang.OutOfMemoryError: Java heap\n'},
        "the driver ran out of its heap: java.lang.OutOfMemoryError: Java heap",
    ),
    # -- nodes
    (
        "node",
        {
            "code": 1,
            "log": PY4J.format(aborted=ABORTED, error=LOST),
            "executors": [{**MINE, "ended": "Executor heartbeat timed out after 123 s"}],
        },
        "executor 1 on 10.244.1.9 was lost: Executor heartbeat timed out after 123 s",
    ),
    (
        "node",
        {"pods": [pod(DRIVER, "Failed", reason="Evicted", message="The node was low on memory")]},
        "the driver's node took it away: Evicted: The node was low on memory",
    ),
    (
        "node",
        {
            "pods": [
                pod(
                    DRIVER,
                    "Failed",
                    conditions=[
                        condition(
                            *("DisruptionTarget", "True", "DeletionByTaintManager"),
                            "Taint manager: deleting due to NoExecute taint",
                        )
                    ],
                )
            ]
        },
        "the driver was taken away: DeletionByTaintManager: Taint manager: deleting",
    ),
    ("no node", {"pods": [unschedulable(DRIVER)]}, f"no node fits {DRIVER['name']}: {NO_NODE}"),
    (
        "no node",
        {"code": 1, "told": f"no executor within 300 s: no node fits a-exec-1: {NO_NODE}"},
        "no executor within 300 s: no node fits a-exec-1: 0/3 nodes are available",
    ),
    # -- what Kubernetes does not make
    (
        "image",
        {"pods": [waiting(DRIVER, "ErrImagePull", PULL)]},
        f"docker.io/me/none:1 of {DRIVER['name']} can't be pulled: ErrImagePull: {PULL}",
    ),
    (
        "image",
        {
            "pods": [
                pod(DRIVER, "Running", {"running": {}}),
                waiting(EXECUTOR, *["ImagePullBackOff"] * 2),
            ]
        },
        f"docker.io/me/none:1 of {EXECUTOR['name']} can't be pulled: ImagePullBackOff",
    ),
    (
        "refused",
        {"pods": [waiting(DRIVER, "CreateContainerConfigError", 'secret "db" not found')]},
        f'{DRIVER["name"]} can\'t be started: CreateContainerConfigError: secret "db" not found',
    ),
    (
        "quota",
        {"pods": [], "events": [{"reason": "FailedCreate", "message": f"Error creating: {QUOTA}"}]},
        f"the namespace's quota is used up: Error creating: {QUOTA}",
    ),
    (
        "refused",
        {"events": [{"reason": "FailedCreate", "message": "violates PodSecurity"}]},
        "violates PodSecurity",
    ),
    # -- what the program met
    (
        "missing",
        {"code": 101, "log": "Error: Failed to load class com.example.Nope.\n"},
        "Error: Failed to load class com.example.Nope.",
    ),
    (
        "missing",
        {"code": 2, "log": "python3: can't open file '/opt/nope.py': [Errno 2] No such file\n"},
        "python3: can't open file '/opt/nope.py'",
    ),
    (
        "missing",
        {
            "code": 1,
            "log": 'Traceback (most recent call last):\n  File "/app/a.py", line 1, in <module>\n'
            "    import nope\nModuleNotFoundError: No module named 'nope'\n",
        },
        "ModuleNotFoundError: No module named 'nope' (a.py, line 1, in <module>: import nope)",
    ),
    (
        "exception",
        {"code": 1, "log": PYTHON},
        "pyspark.errors.exceptions.captured.AnalysisException: [TABLE_OR_VIEW_NOT_FOUND] no nope.;"
        ' (report.py, line 8, in main: rows = spark.table("nope").collect())',
    ),
    (
        "exception",
        {"code": 1, "log": WORKER},
        "ZeroDivisionError: division by zero (udf.py, line 4, in halve: return 1 / row)",
    ),
    (
        "exception",
        {"code": 1, "log": JAVA},
        "java.lang.IllegalStateException: no rows (Report.scala:41, in com.example.Report$.run)",
    ),
    (  # an image without Python: Kubernetes has the end of the log
        "exception",
        {"code": 1, "told": JAVA, "pods": [ended(DRIVER, 1)]},
        "java.lang.IllegalStateException: no rows",
    ),
    (  # an executor that was lost before does not count for what failed later
        "exception",
        {"code": 1, "log": PYTHON, "executors": [{**MINE, "ended": KILLED}]},
        "pyspark.errors.exceptions.captured.AnalysisException",
    ),
    (
        "other",
        {"code": 3, "log": "26/11/26 10:00:00 WARN a: b\nwordcount: x: hidden\n"},
        "wordcount: x: hidden",
    ),
    ("other", {"code": 3, "log": '{"words": 3}\n'}, "it ended with exit code 3"),
    ("other", {"job": failed_job("BackoffLimitExceeded", "x")}, "x"),
    ("signal", {"code": -15, "log": "counted 1000\n"}, "ended by SIGTERM"),
    ("signal", {"code": 137, "pods": [ended(DRIVER, 137)]}, "ended by SIGKILL"),
]


@pytest.mark.parametrize(("kind", "facts", "line"), TABLE)
def test_the_cause_of_what_is_known(kind: str, facts: dict[str, Any], line: str) -> None:
    found = why.cause(facts)
    assert found["cause"] == kind
    assert found["line"].startswith(line)


def test_each_cause_is_in_the_table_and_has_words_for_people() -> None:
    assert {kind for kind, _, _ in TABLE} == set(why.CAUSES)


@pytest.mark.parametrize(("kind", "facts", "line"), TABLE)
def test_a_line_is_one_and_its_cause_is_known_again(kind: str, facts: Any, line: str) -> None:
    """From the pod's status, by whoever has no more than that."""
    told = why.cause(facts)["line"]
    assert "\n" not in told and len(told) <= why.LONGEST
    again = why.cause({"code": 1, "told": told})
    assert again["line"] == told
    if kind not in ("done", "running", "refused"):
        assert again["cause"] == kind


def test_a_pod_that_runs_waits_for_nothing() -> None:
    assert why.waits_for(pod(DRIVER, "Running", {"running": {}})) is None
    starts = waiting(DRIVER, "ContainerCreating", "")
    assert why.waits_for(starts) is None


def test_lines_without_end_are_cut() -> None:
    log = 'Exception in thread "main" ' + "x" * 100_000
    assert len(why.cause({"code": 1, "log": log})["line"]) == why.LONGEST
