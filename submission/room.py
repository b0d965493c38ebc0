"""Whether an application can run on the nodes that there are, though all else were gone."""

from __future__ import annotations

from collections.abc import Iterable

from submission.errors import ApplicationError
from submission.resolve import EXECUTORS, Resolved
from submission.sizes import Allocatable, Amount, fit_together


def require_room(resolved: Resolved, nodes: Iterable[Allocatable] | None) -> None:
    """Raises ApplicationError where the driver or the first executor would wait for ever.

    nodes: those whose taints the application tolerates; None where they are not known.
    """
    if resolved.executor_pod is None:
        asks, place = resolved.executor.amount, resolved.place
        worker = Amount(place.worker_cores, place.worker_memory_mib)
        if not asks.is_in(worker):
            raise ApplicationError(
                f"an executor of {asks} fits on no worker: one gives {worker}"
                f" ({EXECUTORS}; of the stack: spark.workerMemoryMiB, spark.workerCores)"
            )
    if nodes is None:
        return
    nodes = list(nodes)
    if not nodes:
        raise ApplicationError("no node takes the application: all have taints (--toleration)")
    pods = [*resolved.drivers, *([resolved.executor_pod] if resolved.executor_pod else [])]
    for pod in pods:
        chosen = [node for node in nodes if pod.selector.items() <= node.labels.items()]
        if not chosen:
            wanted = ", ".join(f"{key}={value}" for key, value in pod.selector.items())
            raise ApplicationError(f"{pod.what} fits on no node: none has the label {wanted}")
        if not any(node.suits(pod) for node in chosen):
            largest = max(chosen, key=lambda node: (node.has.memory_mib, node.has.cores))
            raise ApplicationError(
                f"{pod.what} of {pod.amount} fits on no node: the largest has {largest.has}"
                f" ({pod.named})"
            )
    if not fit_together(pods, nodes):
        each = ", ".join(f"{pod.what} of {pod.amount}" for pod in pods)
        have = ", ".join(str(node.has) for node in nodes)
        raise ApplicationError(f"no nodes have room at once for {each}: there are {have}")
