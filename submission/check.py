"""Whether something is an application at all, wherever it is to run."""

from __future__ import annotations

import dataclasses
import re

from submission.application import CLIENT, CLUSTER, Application
from submission.errors import ApplicationError
from submission.names import require_names
from submission.place import MASTERS, is_master
from submission.properties import K8S, cleaned, typed, with_properties
from submission.units import cpus, whole

# Applications are found, watched and taken away by these.
_OURS = {
    "spark.master",
    "spark.submit.deployMode",
    "spark.kubernetes.namespace",
    "spark.kubernetes.driver.pod.name",
    "spark.kubernetes.driver.podTemplateFile",
    "spark.kubernetes.driver.podTemplateContainerName",
    "spark.kubernetes.executor.podNamePrefix",
    "spark.kubernetes.executor.podTemplateFile",
    "spark.kubernetes.executor.podTemplateContainerName",
    "spark.kubernetes.submission.waitAppCompletion",
}


def check(application: Application) -> Application:
    """The application with its properties cleaned.

    Raises ApplicationError for what can be run nowhere, its files apart.
    """
    # Spark takes prefixes of at most 47 for executors' names; Kubernetes adds 14 to this one.
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", application.name):
        raise ApplicationError(
            f"{application.name!r} is no application's name: it must be at most 32 of a-z, 0-9 and"
            " -, with a letter first"
        )
    if not is_master(application.master):
        raise ApplicationError(
            f"there is no master {application.master!r}: it must be {' or '.join(MASTERS)},"
            " or a URL spark://HOST:PORT or k8s://https://HOST:PORT"
        )
    if application.deploy_mode not in (CLIENT, CLUSTER):
        raise ApplicationError(
            f"there is no deploy mode {application.deploy_mode!r}; known: {CLIENT} and {CLUSTER}"
        )
    if application.driver_is_apart and not application.is_native:
        raise ApplicationError(
            "deploy mode cluster needs the master kubernetes: a standalone master takes no"
            " Python there, and tells nobody how the driver ended"
        )
    if application.language == "Java" and application.main_class is None:
        raise ApplicationError(f"{application.app} is a jar: say which class to run (--class)")
    for what, number, least in (
        ("--num-executors (instances)", application.instances, 1),
        ("--start-within (start_within)", application.start_within, 1),
        ("retries", application.retries, 0),
        ("driver.cores", application.driver.cores, 1),
        ("driver.overhead_mib", application.driver.overhead_mib, 0),
        ("--executor-cores (executor.cores)", application.executor.cores, 1),
        ("executor.overhead_mib", application.executor.overhead_mib, 0),
    ):
        if number is not None:
            whole(what, str(number), least)
    conf = cleaned(application.conf)
    if ours := sorted(_OURS & conf.keys()):
        raise ApplicationError(
            f"{', '.join(ours)} can't be set: what runs an application here sets it for each"
        )
    found = typed(conf)
    for pods, spec in (("driver", application.driver), ("executor", application.executor)):
        if spec.memory_mib is not None:
            typed({f"spark.{pods}.memory": f"{spec.memory_mib}m"})
        full = with_properties(spec, pods, conf)
        require_names(pods, full)
        for key, text in (("request", full.cpu_request), ("limit", full.cpu_limit)):
            if text is not None:
                cpus(f"{K8S}{pods}.{key}.cores", text)
    if found.get("spark.memory.offHeap.enabled") and not found.get("spark.memory.offHeap.size"):
        raise ApplicationError(
            "spark.memory.offHeap.enabled=true needs spark.memory.offHeap.size, such as 512m"
        )
    if found.get("spark.executor.instances") == 0 and not found.get(
        "spark.dynamicAllocation.enabled"
    ):
        raise ApplicationError("spark.executor.instances=0 must be a whole number from 1")
    least = found.get("spark.dynamicAllocation.minExecutors", 0)
    most = found.get("spark.dynamicAllocation.maxExecutors", least)
    if least > most:
        raise ApplicationError(
            f"spark.dynamicAllocation.minExecutors={least} is more than maxExecutors={most}"
        )
    return dataclasses.replace(application, conf=conf)
