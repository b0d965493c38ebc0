"""The plain manifests that run an application: a ConfigMap with its files, and a Job.

The Job's pod calls spark-submit (command.py); with the master "kubernetes" the files include
what Spark makes executors' pods, and in cluster mode the driver's, from.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from submission import measuring
from submission.application import Application, SparkPodSpec, literally
from submission.command import submit_arguments
from submission.conf import (
    API_SERVER,
    AUTH_PATH,
    DRIVER_CONTAINER,
    DRIVER_POD,
    EXECUTOR_CONTAINER,
    UPLOADS,
)
from submission.errors import ApplicationError
from submission.files import (
    DRIVER_TEMPLATE,
    EXECUTOR_TEMPLATE,
    FILES_PATH,
)
from submission.nodes import ON_DEMAND_FIRST
from submission.place import SHARED_PATH, Place
from submission.programs import script
from submission.resolve import SAMPLER, Resolved

SPARK_UID = 185
"""Of the official image. All of Spark's processes have it: they share what is on the volume."""

WRONG_ARGUMENTS = 2
"""Exit code of a program that was called the wrong way, by Unix's custom: shells, Python's argparse
and our own programs keep to it, Spark itself never ends so. Another try would end the same."""

RECEIVER, DONE = "files", ".done"
"""The container that waits for files from here, and the file that tells it there are no more."""

# A ConfigMap holds 1 MiB, and base64 is not spared.
LARGEST_BY_CONFIGMAP = 700 * 1024

# Where a driver's metrics are. Those of its executors are at the same port, by /metrics/executors.
_METRICS = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": "4040",
    "prometheus.io/path": "/metrics/prometheus/",
}


@dataclass(frozen=True)
class Manifests:
    """What runs an application, in the order in which it is to be made. The Job has no name yet.

    uploads: files that the container RECEIVER of the Job's pod waits for, in FILES_PATH, and DONE
    after them; only where they are too large for a ConfigMap.
    """

    files: dict[str, Any] | None
    job: dict[str, Any]
    uploads: Mapping[str, bytes] = field(default_factory=dict)


def restricted() -> dict[str, Any]:
    """The security context of every container here."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def manifests(resolved: Resolved, *, run: str | None = None, can_upload: bool = False) -> Manifests:
    """The ConfigMap and the Job. Raises ApplicationError for files that are too large.

    run: a name for the ConfigMap; else it is by the content, so that a Job of Pulumi's follows it.
    can_upload: the caller can bring `uploads`, so the files may be larger than a ConfigMap.
    """
    application, place = resolved.application, resolved.place
    carried = {**resolved.files}
    if application.is_native:
        carried[EXECUTOR_TEMPLATE] = _as_json(_executor_template(application, place))
    if application.driver_is_apart:
        carried[DRIVER_TEMPLATE] = _as_json(_driver_template(application, place))
    size = sum(map(len, carried.values()))
    is_large = size > LARGEST_BY_CONFIGMAP
    if is_large and not can_upload:
        raise ApplicationError(
            f"the files of {application.name} have {size} bytes, and {LARGEST_BY_CONFIGMAP} can go"
            f" along: put them below {SHARED_PATH} (local://), or behind a URL"
        )
    config = _config_map(application, place, carried, run) if carried and not is_large else None
    source = {"configMap": {"name": config["metadata"]["name"]}} if config else {"emptyDir": {}}
    template = _job_template(resolved, source if carried else None)
    if is_large:
        template["spec"]["initContainers"].insert(0, _receiver(resolved))
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": place.namespace, "labels": _labels(application)},
        "spec": {
            "backoffLimit": application.retries,
            "podFailurePolicy": {"rules": _failure_rules(application)},
            "template": template,
        },
    }
    if application.limit_minutes:
        job["spec"]["activeDeadlineSeconds"] = 60 * application.limit_minutes
    return Manifests(config, job, carried if is_large else {})


@dataclass(frozen=True)
class Schedule:
    """When an application runs, as cron.py reads it; keep: how many runs of either end stay."""

    cron: str
    zone: str
    keep: int

    def job(self, name: str, job: Mapping[str, Any]) -> dict[str, Any]:
        """The CronJob that makes such Jobs. One that is due while the last one runs is missed."""
        return {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {**job["metadata"], "name": name},
            "spec": {
                "schedule": self.cron,
                "timeZone": self.zone,
                "concurrencyPolicy": "Forbid",
                "successfulJobsHistoryLimit": self.keep,
                "failedJobsHistoryLimit": self.keep,
                "jobTemplate": {
                    "metadata": {"labels": job["metadata"]["labels"]},
                    "spec": job["spec"],
                },
            },
        }


def _failure_rules(application: Application) -> list[dict[str, Any]]:
    """Which failures are final, and which are no try at all."""
    wrong = {"containerName": DRIVER_CONTAINER, "operator": "In", "values": [WRONG_ARGUMENTS]}
    # A drained node, a pod that had to give way. What may not run twice ends with it all the same.
    moved = {"type": "DisruptionTarget", "status": "True"}
    ignore = {"action": "Ignore", "onPodConditions": [moved]}
    return [{"action": "FailJob", "onExitCodes": wrong}, *([ignore] if application.retries else [])]


def _job_template(resolved: Resolved, files: Mapping[str, Any] | None) -> dict[str, Any]:
    """The Job's pod: the driver's, or in cluster mode the one that submits it.

    files: the volume of the application's files, if there are any.
    """
    application, place, spec = resolved.application, resolved.place, resolved.job_spec
    apart = application.driver_is_apart
    container = _container(DRIVER_CONTAINER, spec, place)
    container["image"] = spec.image or place.image
    container["imagePullPolicy"] = spec.pull_policy
    container["command"] = measuring.measured(application.output)
    container["args"] = submit_arguments(resolved)
    container["resources"] = resolved.job.manifest()
    container["env"] += [
        _from_field("POD", "metadata.name"),
        _from_field("POD_IP", "status.podIP"),
        _from_field("JOB", "metadata.labels['batch.kubernetes.io/job-name']"),
    ]
    if apart:
        container["command"] = [
            "python3",
            f"{measuring.PROGRAMS}/cluster_driver.py",
            f"{FILES_PATH}/{DRIVER_TEMPLATE}",
            DRIVER_POD,
            "--",
            measuring.SPARK_SUBMIT,
        ]
        container["env"] += [
            _from_field("POD_UID", "metadata.uid"),
            {"name": "UPLOADS", "value": UPLOADS},
        ]
    if application.is_watched:
        watch = ["python3", f"{measuring.PROGRAMS}/first_executor.py"]
        limit = ["--within", str(application.start_within), "--"]
        container["command"] = [*watch, *limit, *container["command"]]
    pod = _pod(container, spec, place)
    defaults = place.native_config if application.is_native else place.defaults_config
    _mount(pod, "defaults", "/opt/spark/conf", {"configMap": {"name": defaults}})
    if files is not None:
        _mount(pod, "app", FILES_PATH, files)
    _mount_programs(pod, place)
    if application.is_native:
        _mount_auth(pod, place)
        pod |= _with_account(place)
    else:
        # A standalone driver takes it from here first; on a command line everybody could read it.
        container["env"].append(_from_secret("_SPARK_AUTH_SECRET", f"{place.auth_secret}:secret"))
    pod["affinity"] = ON_DEMAND_FIRST
    pod["initContainers"] = list(application.init_containers)
    pod["volumes"] += application.volumes
    metadata = _metadata(application, spec)
    return {"metadata": metadata if apart else _with_metrics(metadata), "spec": pod}


def _receiver(resolved: Resolved) -> dict[str, Any]:
    """Waits for the files that whoever made the pod brings to it, half an hour at most."""
    wait = ["sh", "-c", script("wait_for_file.sh"), "wait", f"{FILES_PATH}/{DONE}"]
    return {
        "name": RECEIVER,
        "image": resolved.place.image,
        "command": ["timeout", "1800", *wait],
        # Kubernetes counts the larger of this and what comes after it.
        "resources": resolved.job.manifest(),
        "securityContext": restricted(),
        "volumeMounts": [{"name": "app", "mountPath": FILES_PATH}],
    }


def _driver_template(application: Application, place: Place) -> dict[str, Any]:
    """In cluster mode, what Spark makes the driver's pod from."""
    pod = _native_pod(DRIVER_CONTAINER, application.driver, place) | _with_account(place)
    pod["containers"][0]["command"] = measuring.measured(application.output, measuring.ENTRY_POINT)
    pod["affinity"] = ON_DEMAND_FIRST
    _mount_programs(pod, place)
    metadata = _with_metrics(_metadata(application, application.driver))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}


def _executor_template(application: Application, place: Place) -> dict[str, Any]:
    """What Spark makes an executor's pod from; it adds image, command, sizes and owner."""
    pod = _native_pod(EXECUTOR_CONTAINER, application.executor, place)
    pod["containers"][0]["command"] = measuring.KEPT
    _mount_programs(pod, place)
    # Spark 4.2 reads a secret from a file on Kubernetes only, and forgets to tell its executors
    # that they are there; what is named so is taken for a Java option of theirs.
    option = {"name": "SPARK_JAVA_OPT_999", "value": f"-Dspark.master={API_SERVER}"}
    pod["containers"][0]["env"].append(option)
    _add_sampler(pod, application.executor.image or place.image)
    metadata = _metadata(application, application.executor)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}


def _metadata(application: Application, spec: SparkPodSpec) -> dict[str, Any]:
    labels = {**_labels(application), **spec.labels}
    return {"labels": labels, "annotations": dict(spec.annotations)}


def _with_metrics(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a driver's pod; what its spec says comes on top."""
    return {**metadata, "annotations": {**_METRICS, **metadata["annotations"]}}


def _labels(application: Application) -> dict[str, str]:
    return {"app": application.name}


def _pod(container: dict[str, Any], spec: SparkPodSpec, place: Place) -> dict[str, Any]:
    """A pod's spec of either role, without an account that it could use."""
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        # The variables of a Service named spark-master would be taken for Spark's.
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": SPARK_UID,
            "runAsGroup": SPARK_UID,
            "fsGroup": SPARK_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [],
    }
    _mount(pod, "shared", SHARED_PATH, {"persistentVolumeClaim": {"claimName": place.claim}})
    for index, (secret, path) in enumerate(sorted(spec.secrets.items())):
        _mount(pod, f"secret-{index}", path, {"secret": {"secretName": secret}})
    if spec.node_selector:
        pod["nodeSelector"] = dict(spec.node_selector)
    if spec.tolerations:
        pod["tolerations"] = [dict(toleration) for toleration in spec.tolerations]
    if spec.priority_class is not None:
        pod["priorityClassName"] = spec.priority_class
    return pod


def _native_pod(container: str, spec: SparkPodSpec, place: Place) -> dict[str, Any]:
    """A pod's spec as Spark takes it for a template."""
    pod = _pod(_container(container, spec, place), spec, place)
    _mount_auth(pod, place)
    return pod


def _with_account(place: Place) -> dict[str, Any]:
    """Of a pod that makes others."""
    return {"serviceAccountName": place.service_account, "automountServiceAccountToken": True}


def _container(name: str, spec: SparkPodSpec, place: Place) -> dict[str, Any]:
    secrets: dict[str, str] = {}
    if place.s3_secret is not None:
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        secrets = {key: f"{place.s3_secret}:{key}" for key in keys}
    secrets |= spec.secret_env
    # Without a locale Java reads and makes no names that are not ASCII.
    variables = {"LC_ALL": "C.UTF-8", **spec.env}
    return {
        "name": name,
        # Where no program left a message for the pod's status, the log's end is better than none.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "env": [
            *({"name": key, "value": literally(value)} for key, value in variables.items()),
            *(_from_secret(key, value) for key, value in secrets.items()),
        ],
        "securityContext": restricted(),
        "volumeMounts": [],
    }


def _mount(pod: dict[str, Any], name: str, path: str, source: Mapping[str, Any]) -> None:
    """A volume of the pod, and where its container has it."""
    pod["volumes"].append({"name": name, **source})
    pod["containers"][0]["volumeMounts"].append({"name": name, "mountPath": path})


def _mount_auth(pod: dict[str, Any], place: Place) -> None:
    _mount(pod, "auth", AUTH_PATH, {"secret": {"secretName": place.auth_secret}})


def _mount_programs(pod: dict[str, Any], place: Place) -> None:
    _mount(pod, "usage", measuring.PROGRAMS, {"configMap": {"name": place.usage_config}})


def _add_sampler(pod: dict[str, Any], image: str) -> None:
    """A container that samples the executor: it sees the processes of the pod's others."""
    pod["shareProcessNamespace"] = True
    mounts = {"shared": SHARED_PATH, "usage": measuring.PROGRAMS}
    pod["containers"].append(
        {
            "name": "sampler",
            "image": image,
            "command": measuring.POD_SAMPLER,
            "resources": SAMPLER.manifest(),
            "securityContext": restricted(),
            "volumeMounts": [{"name": name, "mountPath": at} for name, at in mounts.items()],
        }
    )


def _from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _from_secret(name: str, reference: str) -> dict[str, Any]:
    secret, _, key = reference.partition(":")
    if not secret or not key:
        raise ApplicationError(f"{name}={reference} names no Secret's key: write SECRET:KEY")
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _as_json(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True).encode()


def _config_map(
    application: Application, place: Place, carried: Mapping[str, bytes], run: str | None
) -> dict[str, Any]:
    """The ConfigMap of files."""
    digest = hashlib.sha256()
    for name, content in sorted(carried.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    texts: dict[str, str] = {}
    binaries: dict[str, str] = {}
    for name, content in carried.items():
        try:
            texts[name] = content.decode()
        except UnicodeDecodeError:
            binaries[name] = base64.b64encode(content).decode()
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": run or f"{application.name}-app-{digest.hexdigest()[:10]}",
            "namespace": place.namespace,
            "labels": _labels(application),
        },
    }
    return (
        config | ({"data": texts} if texts else {}) | ({"binaryData": binaries} if binaries else {})
    )
