"""Makes a preview name the Jobs that would run, and Pulumi's plugin see each end of one.

Of some failures it knows nothing, and waits on.

It knows two reasons (cloud-ready-checks 1.3: BackoffLimitExceeded, DeadlineExceeded). A Job that
its pod failure policy ended has another one, and an update would wait for it to the limit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pulumi

from components.engine.api import WITHIN, connected
from patience import factor

_KNOWN = ("BackoffLimitExceeded", "DeadlineExceeded")
_LOOK_EVERY = 2.0


def watched(name: str, kubeconfig: pulumi.Output[str], limit: float) -> pulumi.ResourceHookBinding:
    """For a Job. limit: seconds that it may take, on a machine that is not emulated.

    name: for people, and once in a program.
    """

    def announce(_: pulumi.ResourceHookArgs) -> None:
        if pulumi.runtime.is_dry_run():
            pulumi.log.info(f"application {name} will run")

    async def begin(args: pulumi.ResourceHookArgs) -> None:
        text, metadata = await kubeconfig.future(), (args.new_inputs or {})["metadata"]
        if text is not None:
            job = (metadata["name"], metadata["namespace"])
            threading.Thread(target=_watch, args=(text, *job, limit), daemon=True).start()

    told = pulumi.ResourceHook(
        f"{name}-runs", announce, pulumi.ResourceHookOptions(on_dry_run=True)
    )
    return pulumi.ResourceHookBinding(before_create=[told, begin])


def _watch(kubeconfig: str, name: str, namespace: str, limit: float) -> None:
    from kubernetes import client

    end = time.monotonic() + limit * factor()
    with connected(kubeconfig) as api:
        batch = client.BatchV1Api(api)
        while time.monotonic() < end and not _has_ended(batch, name, namespace):
            time.sleep(_LOOK_EVERY)


def _has_ended(batch: Any, name: str, namespace: str) -> bool:
    """Whether there is no more to wait for; by then the reason is one that the plugin knows."""
    import urllib3
    from kubernetes.client.exceptions import ApiException

    try:
        job = batch.read_namespaced_job(name, namespace, _request_timeout=WITHIN)
        ends = {one.type: one for one in job.status.conditions or () if one.status == "True"}
        failed = ends.get("Failed")
        if failed is not None and (told := as_known(failed.reason, failed.message)) is not None:
            batch.patch_namespaced_job_status(name, namespace, told, _request_timeout=WITHIN)
        return failed is not None or "Complete" in ends
    except (ApiException, urllib3.exceptions.HTTPError):
        return False  # not made yet, or the API is away for a while


def as_known(reason: str | None, message: str | None) -> Mapping[str, Any] | None:
    """A patch of the Job's status that keeps the reason in words; None where none is needed."""
    if reason in _KNOWN:
        return None
    words = f"{reason}: {message}"
    told = {"type": "Failed", "status": "True", "reason": _KNOWN[0], "message": words}
    return {"status": {"conditions": [told]}}
