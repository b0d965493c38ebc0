"""The shared volume, as scripts of charts/spark/files see it in the master's pod."""

from __future__ import annotations

from kubernetes import client

from console.cluster import run_in_pod, said_in_one_line
from submission.measuring import FOLDER
from submission.programs import script

#: The master's pod has the volume, on any cluster.
NAMESPACE, POD = "spark", "spark-master-0"
_USAGE = f"{FOLDER}/usage"
_WITHIN = 60.0


def command(name: str, *arguments: str, folder: str | None = None) -> list[str]:
    """What runs a script on a folder: else on that of all runs' usage."""
    return ["bash", "-c", script(name), "usage", folder or _USAGE, *arguments]


def on_volume(
    api: client.ApiClient,
    name: str,
    *arguments: str,
    folder: str | None = None,
    within: float = _WITHIN,
) -> str:
    """What the script prints there. Raises ConsoleError."""
    with said_in_one_line():
        return run_in_pod(api, NAMESPACE, POD, command(name, *arguments, folder=folder), within)
