"""SparkQueues: priority classes, by which the scheduler decides who goes first.

What is interactive takes the place of what is batch where there is no room for both; Spark makes
the executors that were taken anew, and runs their tasks again, when there is.
"""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster.cluster import Cluster

BATCH, INTERACTIVE = "batch", "interactive"

# name: (priority, does it take the place of others, what it is for). Pods without a class have 0.
_CLASSES = {
    BATCH: (-100, "Never", "Work that can wait: it gives way to all else."),
    INTERACTIVE: (100, "PreemptLowerPriority", "Somebody waits for it."),
}


class SparkQueues(pulumi.ComponentResource):
    """The two classes; SparkPodSpec.priority_class names one of them."""

    def __init__(
        self, name: str, cluster: Cluster, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:SparkQueues", name, {}, opts)
        for queue, (value, preemption, description) in _CLASSES.items():
            kubernetes.scheduling.v1.PriorityClass(
                f"{name}-{queue}",
                metadata={"name": queue},
                value=value,
                preemption_policy=preemption,
                description=description,
                opts=cluster.options(parent=self),
            )
        self.register_outputs({})
