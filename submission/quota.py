"""What an application asks Kubernetes for, held against the quota of its namespace.

Where an application can never have all of it, it is refused here, before anything waits. What
others use of the quota at that time only Kubernetes knows (charts/spark/files/first_executor.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from submission.errors import ApplicationError
from submission.resolve import Resolved
from submission.sizes import NOTHING, Amount
from submission.units import MIB, quantity

CPU, MEMORY, PODS = "requests.cpu", "requests.memory", "pods"


def require_quota(resolved: Resolved) -> None:
    """Raises ApplicationError where the quota can't hold the application, with nothing else in it.

    The place's quota: {resource: quantity} as a ResourceQuota has it; None where there is none.
    """
    place, executor = resolved.place, resolved.executor_pod
    if place.quota is None:
        return
    if executor is None:
        raise ApplicationError(
            f"namespace {place.namespace} has a quota, and executors on standalone workers are in"
            " another namespace: use the master kubernetes"
        )
    drivers = [pod.amount for pod in resolved.drivers]
    for what, amounts in (
        ("one executor", [executor.amount]),
        ("the driver and one executor", [*drivers, executor.amount]),
    ):
        _require(what, sum(amounts, NOTHING), len(amounts), place.namespace, place.quota)
    count = resolved.executors
    _require(
        f"the driver and {count} executors",
        sum(drivers, NOTHING) + executor.amount * count,
        len(drivers) + count,
        place.namespace,
        place.quota,
    )


def _require(
    what: str, amount: Amount, pods: int, namespace: str, quota: Mapping[str, str]
) -> None:
    beyond = []
    if CPU in quota and amount.cores > quantity(quota[CPU]):
        beyond.append(f"cpu {amount.cores:g} of {quota[CPU]}")
    if MEMORY in quota and amount.memory_mib * MIB > quantity(quota[MEMORY]):
        beyond.append(f"memory {amount.memory_mib:.0f}Mi of {quota[MEMORY]}")
    if PODS in quota and pods > quantity(quota[PODS]):
        beyond.append(f"pods {pods} of {quota[PODS]}")
    if beyond:
        raise ApplicationError(
            f"{what} would take more than the quota of namespace {namespace} has:"
            f" {', '.join(beyond)}"
        )
