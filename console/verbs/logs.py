"""`make logs`: a driver's log, or the last words of an executor, also when their pods are gone."""

from __future__ import annotations

import argparse
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from console import failures
from console.cluster import said_in_one_line
from console.run import show
from console.stack import ConsoleError, Stack
from console.verb import Verb
from console.volume import on_volume
from submission.conf import DRIVER_CONTAINER


def options(parser: argparse.ArgumentParser) -> None:
    """Its own."""
    failures.options(parser)
    parser.add_argument("--executor", metavar="N", help="the last that this one of it printed")


def run(options: argparse.Namespace) -> None:
    """Prints what is there; ConsoleError where nothing is."""
    api, namespaces = failures.connect(Stack(options.stack))
    run = options.run or None
    if options.executor is None:
        found = failures.choose(api, namespaces, run)
        if found.live and (pod := found.live.pod):
            with said_in_one_line():
                return show(_of_pod(api, found.live.namespace, pod))
    who = "driver" if options.executor is None else f"executor-{options.executor}"
    text = on_volume(api, "kept_run.sh", run or "", who)
    if not text:
        raise ConsoleError(f"there is no log of {who.replace('-', ' ')} of {run or 'any run'}")
    show(text.encode())


def _of_pod(api: client.ApiClient, namespace: str, pod: str) -> bytes:
    """All that Kubernetes has of it."""
    core: Any = client.CoreV1Api(api)
    try:
        read = core.read_namespaced_pod_log
        return read(pod, namespace, container=DRIVER_CONTAINER, _preload_content=False).data
    except ApiException as error:
        if error.status == 400:  # it waits to start
            return b""
        raise


VERB = Verb(
    what="The log of an application's driver, or the last words of an executor.",
    examples=("", "--run app-20261126050000-0001", "--run pi-3f2a1c --executor 0"),
    options=options,
    run=run,
    shows=True,
)
