"""Names and texts that Kubernetes takes: it would refuse the others only in the cluster."""

from __future__ import annotations

import re
from typing import Any

from submission.application import SparkPodSpec
from submission.errors import ApplicationError

_PART = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_ENV = r"[-._a-zA-Z][-._a-zA-Z0-9]*"
_IMAGE = (
    r"[a-z0-9][-a-zA-Z0-9._:]*(/[a-z0-9][-a-z0-9._]*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
# Spark finds its pods by these, and Kubernetes those of a Job.
_TAKEN_LABELS = {
    "spark-app-name",
    "spark-app-selector",
    "spark-exec-id",
    "spark-exec-resourceprofile-id",
    "spark-role",
    "spark-version",
    "controller-uid",
    "job-name",
}


def _require(pattern: str, key: str, text: str, wanted: str, most: int = 253) -> str:
    if len(text) > most or not re.fullmatch(pattern, text, re.ASCII):
        raise ApplicationError(f"{key}={text} is not taken by Kubernetes: {wanted}")
    return text


def object_name(key: str, text: str) -> str:
    """The name of a Secret, a service account or a priority class."""
    return _require(_DOMAIN, key, text, "a name has a-z, 0-9, - and . only, such as my-secret")


def image(key: str, text: str) -> str:
    """An image's name, with or without registry, tag and digest."""
    return _require(_IMAGE, key, text, "an image is such as docker.io/apache/spark:4.2.0", 4096)


def _qualified(key: str, name: str) -> None:
    prefix, slash, part = name.rpartition("/")
    wanted = "a name has up to 63 of a-z, A-Z, 0-9, -, _ and ., such as team or example.com/team"
    _require(_PART, key, part, wanted)
    if slash:
        _require(_DOMAIN, key, prefix, wanted)


def require_label(what: str, name: str, value: str) -> None:
    """Raises ApplicationError for a label, or a taint, that Kubernetes would refuse."""
    key = f"{what} {name}"
    _qualified(what, name)
    wanted = "a value has up to 63 of a-z, A-Z, 0-9, -, _ and ."
    _require(rf"({_PART})?", key, value, wanted)


def toleration(text: str) -> dict[str, Any]:
    """Of a taint, written as kubectl does: KEY[=VALUE][:EFFECT]. Raises ApplicationError."""
    found = re.fullmatch(r"([^=:\s]+)(?:=([^=:\s]*))?(?::([A-Za-z]+))?", text)
    if found is None:
        raise ApplicationError(f"{text} is no taint: write KEY[=VALUE][:EFFECT]")
    key, value, effect = found.groups()
    made = {"key": key, "operator": "Exists" if value is None else "Equal"}
    if value is not None:
        made["value"] = value
    return made if effect is None else made | {"effect": effect}


def require_names(pods: str, spec: SparkPodSpec) -> None:
    """Raises ApplicationError for what Kubernetes would refuse of the pods of a role."""
    for name, value in spec.labels.items():
        require_label(f"{pods} label", name, value)
        if name in _TAKEN_LABELS or name.startswith("batch.kubernetes.io/"):
            raise ApplicationError(
                f"{pods} label {name} can't be set: Spark's pods are found by it"
            )
    for name, value in spec.node_selector.items():
        require_label(f"{pods} node selector", name, value)
    for name in spec.annotations:
        _qualified(f"{pods} annotation", name)
    if sum(len(f"{name}{value}".encode()) for name, value in spec.annotations.items()) > 2**18:
        raise ApplicationError(f"the annotations of the {pods} are more than Kubernetes' 256 KiB")
    for name in (*spec.env, *spec.secret_env):
        wanted = "it has letters, digits, -, _ and . only, and no digit first"
        _require(_ENV, f"{pods} environment variable", name, wanted)
    for name, path in spec.secrets.items():
        object_name(f"{pods} secret", name)
        wanted = "it is a folder of the pod, such as /etc/vault"
        _require(r"/[^:\0]*", f"{pods} secret {name}", path, wanted, 4096)
    for name, reference in spec.secret_env.items():
        secret, _, key = reference.partition(":")
        if not secret or not key:
            raise ApplicationError(f"{name}={reference} names no Secret's key: write SECRET:KEY")
        object_name(name, secret)
        _require(r"[-._a-zA-Z0-9]+", name, key, "a Secret's key has letters, digits, -, _ and .")
    for toleration in spec.tolerations:
        if "key" in toleration:
            require_label(f"{pods} toleration", toleration["key"], toleration.get("value", ""))
        if toleration.get("effect", EFFECTS[0]) not in EFFECTS:
            raise ApplicationError(
                f"{pods} toleration's effect={toleration['effect']} must be one of"
                f" {', '.join(EFFECTS)}"
            )
    if spec.image is not None:
        image(f"{pods} image", spec.image)
    if spec.priority_class is not None:
        object_name("priority class", spec.priority_class)
