"""What an application asks Kubernetes for, held against the quota of its namespace.

Where an application can never have all of it, it is refused here, before anything waits. What
others use of the quota at that time only Kubernetes knows (see programs/first_executor.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from submission.application import Application
from submission.command import effective_conf
from submission.errors import ApplicationError
from submission.manifests import SAMPLER, driver_memory
from submission.place import Place
from submission.properties import driver_role
from submission.sizes import Room, driver_size, executor_size
from submission.units import quantity

CPU, MEMORY, PODS = "requests.cpu", "requests.memory", "pods"
_MIB = 2**20


def require_quota(application: Application, place: Place) -> None:
    """Raises ApplicationError where the quota can't hold the application, with nothing else in it.

    place.quota: {resource: quantity} as a ResourceQuota has it; None where there is none.
    """
    if place.quota is None:
        return
    if not application.is_native:
        raise ApplicationError(
            f"namespace {place.namespace} has a quota, and executors on standalone workers are in"
            " another namespace: use the master kubernetes"
        )
    executor = executor_size(application, place)
    executor = Room(
        executor.cores + quantity(SAMPLER["cpu"]),
        executor.memory_mib + quantity(SAMPLER["memory"]) / _MIB,
    )
    driver = [_job_size(application)]
    if application.driver_is_apart:
        driver.append(driver_size(application))
    count = executors(effective_conf(application, place))
    for what, pods in (
        ("one executor", [executor]),
        ("the driver and one executor", [*driver, executor]),
        (f"the driver and {count} executors", [*driver, *[executor] * count]),
    ):
        if beyond := _beyond(pods, place.quota):
            raise ApplicationError(
                f"{what} would take more than the quota of namespace {place.namespace} has:"
                f" {', '.join(beyond)}"
            )


def executors(conf: Mapping[str, str]) -> int:
    """How many executors an application can't do without."""
    if conf.get("spark.dynamicAllocation.enabled") == "true":
        return max(1, int(conf.get("spark.dynamicAllocation.minExecutors", "0")))
    return int(conf["spark.executor.instances"])


def _job_size(application: Application) -> Room:
    memory = quantity(driver_memory(application)["request"]) / _MIB
    if application.driver_is_apart:
        return Room(0.1, memory)
    role = driver_role(application.driver, application.conf)
    return Room(quantity(role.cpu_request) if role.cpu_request else role.cores or 1, memory)


def _beyond(pods: list[Room], quota: Mapping[str, str]) -> list[str]:
    """In words, what of the pods' requests is more than the quota."""
    cores = round(sum(pod.cores for pod in pods), 3)
    memory = sum(pod.memory_mib for pod in pods)
    found = []
    if CPU in quota and cores > quantity(quota[CPU]):
        found.append(f"cpu {cores:g} of {quota[CPU]}")
    if MEMORY in quota and memory * _MIB > quantity(quota[MEMORY]):
        found.append(f"memory {memory:.0f}Mi of {quota[MEMORY]}")
    if PODS in quota and len(pods) > quantity(quota[PODS]):
        found.append(f"pods {len(pods)} of {quota[PODS]}")
    return found
