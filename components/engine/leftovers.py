"""What an update that was killed, or a person, left in the cluster, put right just in time.

Pulumi's plugins don't: to helm a release stays "in progress" for ever, and a volume whose claim is
gone waits for just that one to come back. So a hook looks right before such a resource is created
or updated, whichever plugin is installed. (Not before a deletion: `pulumi destroy` has no program.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pulumi

from components.engine.api import WITHIN, connected

Mend = Callable[[Any, Mapping[str, Any]], str | None]
"""Looks by the core API, given a resource's inputs; returns what it put right, in a line."""

_PENDING = "pending-install,pending-upgrade,pending-rollback"


def hooks(kubeconfig: pulumi.Output[str], mend: Mend) -> pulumi.ResourceHookBinding:
    """For a resource in the cluster: mend, then create or update."""

    async def look(args: pulumi.ResourceHookArgs) -> None:
        text = await kubeconfig.future()
        said = await asyncio.to_thread(_look, text, mend, args.new_inputs or {})
        if said:
            pulumi.log.warn(said)

    return pulumi.ResourceHookBinding(before_create=[look], before_update=[look])


def _look(kubeconfig: str | None, mend: Mend, inputs: Mapping[str, Any]) -> str | None:
    if kubeconfig is None:
        return None
    import urllib3
    from kubernetes import client
    from kubernetes.client.exceptions import ApiException

    with connected(kubeconfig) as api:
        try:
            return mend(client.CoreV1Api(api), inputs)
        except urllib3.exceptions.HTTPError:
            return None  # of a cluster that does not answer the plugin tells
        except ApiException as error:
            if error.status != 403:  # who may not look has nothing to mend
                raise
            return None


def drop_pending(core: Any, inputs: Mapping[str, Any]) -> str | None:
    """Of a helm release: takes revisions back that nobody finishes any more.

    The stack is locked, so no other update is at it. What such a revision had made by then belongs
    to the release by its labels, and the next revision takes it over.
    """
    namespace, name = inputs["namespace"], inputs["name"]
    found = core.list_namespaced_secret(
        namespace,
        label_selector=f"owner=helm,name={name},status in ({_PENDING})",
        _request_timeout=WITHIN,
    ).items
    for secret in found:
        core.delete_namespaced_secret(secret.metadata.name, namespace, _request_timeout=WITHIN)
    if not found:
        return None
    left = ", ".join(
        f"{secret.metadata.labels['version']} ({secret.metadata.labels['status']})"
        for secret in found
    )
    return f"release {namespace}/{name}: an update was killed in revision {left}; it is taken back"


def free_volume(core: Any, inputs: Mapping[str, Any]) -> str | None:
    """Of a claim that names its volume: the volume may be bound to one that is no more."""
    namespace, name = (inputs["metadata"][key] for key in ("namespace", "name"))
    volume = _find(core.read_persistent_volume, inputs["spec"]["volumeName"])
    bound = volume and volume.spec.claim_ref
    if not (bound and bound.uid and (bound.namespace, bound.name) == (namespace, name)):
        return None
    claim = _find(core.read_namespaced_persistent_volume_claim, name, namespace)
    if claim and claim.metadata.uid == bound.uid:
        return None
    freed = {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}
    core.patch_persistent_volume(volume.metadata.name, freed, _request_timeout=WITHIN)
    return (
        f"volume {volume.metadata.name} was bound to a claim that is gone;"
        f" it is for claim {namespace}/{name} again"
    )


def _find(read: Callable[..., Any], *names: str) -> Any:
    """What is called so; None where there is nothing."""
    from kubernetes.client.exceptions import ApiException

    try:
        return read(*names, _request_timeout=WITHIN)
    except ApiException as error:
        if error.status == 404:
            return None
        raise
