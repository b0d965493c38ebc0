"""How a Spark driver is run so that it says afterwards what its application used.

charts/spark/files/measured.py runs spark-submit in the driver's own container, samples it, and then
reads the finished event log: there Spark's own code is at hand, on any cluster, also on one without
a node to log in to. The last line of the container's log and usage.json on the volume tell it.
"""

from __future__ import annotations

import json
from typing import Any

import pulumi_kubernetes as kubernetes

from components.settings import SHARED_PATH

#: Spark's folder on the volume: events/ and usage/ in it.
FOLDER = f"{SHARED_PATH}/spark"
#: Where a driver finds the programs of the ConfigMap SparkRelease.usage_config.
PROGRAMS = "/opt/tinderbox-usage"
_VOLUME = "usage"


def measured(beside: str | None = None) -> list[str]:
    """The command of a driver's container; its args are spark-submit's.

    The container must have its pod's name as POD, the shared volume at SHARED_PATH, and `mount`.
    beside: a folder that the program makes; usage.json goes into it, too.
    """
    return [
        "python3",
        f"{PROGRAMS}/measured.py",
        *([] if beside is None else ["--beside", beside]),
        FOLDER,
        "$(POD)",
        "--",
        "/opt/spark/bin/spark-submit",
    ]


def mount() -> kubernetes.core.v1.VolumeMountArgs:
    """Of the driver's container."""
    return kubernetes.core.v1.VolumeMountArgs(name=_VOLUME, mount_path=PROGRAMS)


def volume(config: str) -> kubernetes.core.v1.VolumeArgs:
    """Of the driver's pod. config: SparkRelease.usage_config."""
    core = kubernetes.core.v1
    return core.VolumeArgs(name=_VOLUME, config_map=core.ConfigMapVolumeSourceArgs(name=config))


def read_result(printed: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """(summary, usage) from two lines of JSON; usage is None where that line is missing or empty.

    It is so where the volume gave no event log: a run is worth more than what is known of it.
    """
    summary, _, usage = printed.strip().partition("\n")
    return json.loads(summary), json.loads(usage) if usage.strip() else None
