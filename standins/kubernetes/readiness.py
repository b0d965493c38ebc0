"""When is an object ready? One pure function a kind, on the object and what belongs to it.

Each takes the live object and the related objects that `RELATED` names, and says a `Verdict`.
The rules are those of the official plugin (and of `kubectl rollout status`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Related = dict[str, list[Object]]

# Why a container waits that will not come up by waiting (most of the time).
_STUCK = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}


@dataclass(frozen=True)
class Verdict:
    """`ready`; or what is still waited for (`message`); or `failed`: waiting on is no use."""

    ready: bool
    message: str = ""
    failed: bool = False


READY = Verdict(True)


def _waiting(message: str) -> Verdict:
    return Verdict(False, message)


def condition(live: Object, name: str) -> Object:
    """The condition `name` in the object's status, or an empty one."""
    conditions = (live.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry.get("type") == name), {})


def _is_true(live: Object, name: str) -> bool:
    return condition(live, name).get("status") == "True"


def _reason(entry: Object) -> str:
    """A condition's reason and message, as one text."""
    return ": ".join(filter(None, (entry.get("reason"), entry.get("message"))))


def _seen(live: Object) -> bool:
    """Whether the controller has seen the object's newest spec."""
    status = live.get("status") or {}
    return status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)


def pod_problems(pods: list[Object]) -> list[str]:
    """What keeps the pods from running, one line a problem, the same line once only."""
    found: dict[str, None] = {}
    for pod in pods:
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        scheduled = condition(pod, "PodScheduled")
        if scheduled.get("status") == "False":
            found[f"Pod {name}: {_reason(scheduled)}"] = None
        if status.get("phase") == "Failed" and status.get("reason"):
            found[f"Pod {name}: {_reason(status)}"] = None
        for group in ("initContainerStatuses", "containerStatuses"):
            for container in status.get(group) or []:
                for problem in _container_problems(container):
                    found[f"Pod {name}, container {container['name']}: {problem}"] = None
    return list(found)


def _container_problems(container: Object) -> list[str]:
    problems = []
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in _STUCK:
        problems.append(_reason(waiting))
    ended = (container.get("state") or {}).get("terminated") or (
        container.get("lastState") or {}
    ).get("terminated")
    if ended and ended.get("exitCode"):
        problems.append(f"{_reason(ended) or 'Error'} (exit code {ended['exitCode']})")
    return problems


def job(live: Object, related: Related) -> Verdict:
    """Complete, or failed for good (which never heals: a Job is not run again)."""
    if _is_true(live, "Complete"):
        return READY
    if _is_true(live, "Failed"):
        reason = _reason(condition(live, "Failed")) or "no reason given"
        return Verdict(False, f"the Job failed: {reason}", failed=True)
    if _is_true(live, "FailureTarget"):
        return _waiting(f"Job: {_reason(condition(live, 'FailureTarget'))}; its Pods are ending")
    status, spec = live.get("status") or {}, live.get("spec") or {}
    if spec.get("suspend"):
        return _waiting("the Job is suspended")
    done, wanted = status.get("succeeded", 0), spec.get("completions", 1)
    counts = f"{done} of {wanted} done, {status.get('active', 0)} active"
    if status.get("failed"):
        counts += f", {status['failed']} failed"
    return _waiting(f"Job: {counts}")


def deployment(live: Object, related: Related) -> Verdict:
    """Each replica is of the newest template and available, and no older one is left."""
    status, wanted = live.get("status") or {}, (live.get("spec") or {}).get("replicas", 1)
    if not _seen(live):
        return _waiting("the Deployment's controller has not seen it yet")
    progressing = condition(live, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Verdict(False, f"the rollout does not progress: {_reason(progressing)}", failed=True)
    if _is_true(live, "ReplicaFailure"):
        return _waiting(f"Deployment: {_reason(condition(live, 'ReplicaFailure'))}")
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if updated < wanted:
        return _waiting(f"Deployment: {updated} of {wanted} Pods are of the newest template")
    if total > updated:
        return _waiting(f"Deployment: {total - updated} old Pods are still to end")
    if available < updated:
        return _waiting(f"Deployment: {available} of {wanted} Pods available")
    return READY


def stateful_set(live: Object, related: Related) -> Verdict:
    """Each replica is ready; with rolling updates, those above the partition are the newest."""
    status, spec = live.get("status") or {}, live.get("spec") or {}
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    if not _seen(live):
        return _waiting("the StatefulSet's controller has not seen it yet")
    if ready < wanted:
        return _waiting(f"StatefulSet: {ready} of {wanted} Pods ready")
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return READY
    rolled = max(0, wanted - ((strategy.get("rollingUpdate") or {}).get("partition") or 0))
    updated = status.get("updatedReplicas", 0)
    if status.get("updateRevision") != status.get("currentRevision") and updated < rolled:
        return _waiting(f"StatefulSet: {updated} of {rolled} Pods are of the newest template")
    return READY


def daemon_set(live: Object, related: Related) -> Verdict:
    """A Pod of the newest template is available on each node that should have one."""
    status, spec = live.get("status") or {}, live.get("spec") or {}
    if not _seen(live):
        return _waiting("the DaemonSet's controller has not seen it yet")
    wanted, available = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    updated = status.get("updatedNumberScheduled", 0)
    rolls = (spec.get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
    if rolls and updated < wanted:
        return _waiting(f"DaemonSet: {updated} of {wanted} Pods are of the newest template")
    if available < wanted:
        return _waiting(f"DaemonSet: {available} of {wanted} Pods available")
    return READY


def pod(live: Object, related: Related) -> Verdict:
    """Ready, or done with success."""
    status = live.get("status") or {}
    if status.get("phase") == "Succeeded" or _is_true(live, "Ready"):
        return READY
    if status.get("phase") == "Failed":
        return Verdict(False, f"the Pod failed: {_reason(status) or 'Failed'}", failed=True)
    return _waiting(f"Pod: {status.get('phase', 'Pending')}, not ready")


def claim(live: Object, related: Related) -> Verdict:
    """Bound; a claim whose class binds at first use is ready as it is."""
    phase = (live.get("status") or {}).get("phase", "Pending")
    if phase == "Bound":
        return READY
    wanted = (live.get("spec") or {}).get("storageClassName")
    for storage_class in related.get("classes", []):
        late = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
        if wanted and storage_class["metadata"]["name"] == wanted and late:
            return READY
    if phase == "Lost":
        return Verdict(False, "the claim's volume is gone (phase Lost)", failed=True)
    return _waiting(f"PersistentVolumeClaim: {phase}, no volume bound")


def volume(live: Object, related: Related) -> Verdict:
    """Available, or bound already."""
    status = live.get("status") or {}
    phase = status.get("phase", "Pending")
    if phase in ("Available", "Bound"):
        return READY
    if phase == "Failed":
        return Verdict(False, f"the volume failed: {_reason(status) or phase}", failed=True)
    return _waiting(f"PersistentVolume: {phase}")


def service(live: Object, related: Related) -> Verdict:
    """An endpoint is ready, where the Service selects Pods; a load balancer has its address."""
    spec = live.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return READY
    ingress = ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if spec.get("type") == "LoadBalancer" and not ingress:
        return _waiting("Service: no address from the load balancer yet")
    # Headless services need no endpoints: their Pods often wait for the Service's name.
    if not spec.get("selector") or spec.get("clusterIP") == "None":
        return READY
    for endpoint_slice in related.get("endpoints", []):
        for endpoint in endpoint_slice.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready", True) is not False:
                return READY
    return _waiting("Service: none of the Pods that it selects is ready")


def namespace(live: Object, related: Related) -> Verdict:
    """Active: one that is being deleted takes no objects."""
    phase = (live.get("status") or {}).get("phase", "Active")
    return READY if phase == "Active" else _waiting(f"Namespace: {phase}")


def quota(live: Object, related: Related) -> Verdict:
    """The controller has taken the limits over."""
    wanted = (live.get("spec") or {}).get("hard") or {}
    if ((live.get("status") or {}).get("hard") or {}) == wanted:
        return READY
    return _waiting("ResourceQuota: the controller has not taken the limits over yet")


#: Kind -> its function, and how long it is waited for by default (seconds).
RULES: dict[str, tuple[Callable[[Object, Related], Verdict], float]] = {
    "Job": (job, 600.0),
    "Deployment": (deployment, 600.0),
    "StatefulSet": (stateful_set, 600.0),
    "DaemonSet": (daemon_set, 600.0),
    "Pod": (pod, 600.0),
    "Service": (service, 600.0),
    "PersistentVolumeClaim": (claim, 300.0),
    "PersistentVolume": (volume, 300.0),
    "Namespace": (namespace, 300.0),
    "ResourceQuota": (quota, 60.0),
}


def related_selections(live: Object) -> dict[str, tuple[str, dict[str, str]]]:
    """What to watch beside the object: name -> (path of a collection, query); see cluster.watch."""
    kind, metadata, spec = live["kind"], live["metadata"], live.get("spec") or {}
    core = f"/api/v1/namespaces/{metadata.get('namespace')}"
    if kind == "Service" and spec.get("selector"):
        path = f"/apis/discovery.k8s.io/v1/namespaces/{metadata['namespace']}/endpointslices"
        label = f"kubernetes.io/service-name={metadata['name']}"
        return {"endpoints": (path, {"labelSelector": label})}
    if kind == "PersistentVolumeClaim":
        return {"classes": ("/apis/storage.k8s.io/v1/storageclasses", {})}
    if kind == "Job":
        label = f"batch.kubernetes.io/controller-uid={metadata['uid']}"
        return {"pods": (f"{core}/pods", {"labelSelector": label})}
    selector = (spec.get("selector") or {}) if kind in _POD_OWNERS else {}
    labels = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or []:
        labels.append(_expression(rule))
    if labels:
        return {"pods": (f"{core}/pods", {"labelSelector": ",".join(labels)})}
    return {}


_POD_OWNERS = {"Deployment", "StatefulSet", "DaemonSet"}


def _expression(rule: Object) -> str:
    """A matchExpressions entry in the notation of a query."""
    key, operator = rule["key"], rule["operator"]
    if operator == "Exists":
        return str(key)
    if operator == "DoesNotExist":
        return f"!{key}"
    return f"{key} {operator.lower()} ({','.join(rule.get('values') or [])})"
