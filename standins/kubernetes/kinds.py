"""The Kubernetes kinds that this stand-in knows: where they live, and what forces a replacement.

A fixed table instead of the API server's discovery: these kinds don't move, and a preview needs
them before there is a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One kind: `api_version` and `name` as in a manifest, `plural` as in the API's paths.

    `inputs` are its top-level properties beside apiVersion, kind and metadata; `force_new` those
    (dotted paths) that the official plugin replaces the object for, beside its name and namespace.
    """

    api_version: str
    name: str
    plural: str
    inputs: frozenset[str]
    namespaced: bool = True
    force_new: frozenset[str] = field(default_factory=frozenset)

    @property
    def token(self) -> str:
        """Pulumi's type token: the core group is spelt out there and in no manifest."""
        group = self.api_version if "/" in self.api_version else f"core/{self.api_version}"
        return f"kubernetes:{group}:{self.name}"

    def path(self, namespace: str | None, name: str = "") -> str:
        """The API path of the kind's collection, or of the object `name` in it."""
        root = (
            f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        )
        scope = f"/namespaces/{namespace or 'default'}" if self.namespaced else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


def object_id(live: dict[str, Any]) -> str:
    """Pulumi's id of an object: `namespace/name`, or `name` where there is no namespace."""
    metadata = live["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else metadata["name"]


def split_id(resource_id: str) -> tuple[str | None, str]:
    """The namespace (or None) and name in an id that `object_id` made."""
    namespace, _, name = resource_id.rpartition("/")
    return namespace or None, name


def _under(prefix: str, names: str) -> set[str]:
    return {f"{prefix}.{name}" for name in names.split()}


_VOLUME_SOURCES = _under(
    "spec",
    "awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker "
    "gcePersistentDisk glusterfs hostPath iscsi local nfs photonPersistentDisk portworxVolume "
    "quobyte rbd scaleIO storageos vsphereVolume",
)
_CONTAINER_FIELDS = (
    "args command env image imagePullPolicy lifecycle livenessProbe ports readinessProbe resources "
    "securityContext stdin stdinOnce terminationMessagePath terminationMessagePolicy tty "
    "volumeDevices volumeMounts workingDir"
)
_POD_FIELDS = (
    _under(
        "spec",
        "affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases "
        "hostIPC hostNetwork hostPID hostname imagePullSecrets nodeName nodeSelector overhead "
        "preemptionPolicy priority priorityClassName readinessGates restartPolicy runtimeClassName "
        "schedulerName securityContext serviceAccount serviceAccountName shareProcessNamespace "
        "subdomain terminationGracePeriodSeconds volumes",
    )
    | _under("spec.containers", _CONTAINER_FIELDS)
    | _under("spec.initContainers", _CONTAINER_FIELDS)
)
_STATEFUL_SET_FIELDS = _under(
    "spec", "podManagementPolicy revisionHistoryLimit selector serviceName volumeClaimTemplates"
)
#: Force a replacement unless the provider's enableConfigMapMutable is set.
CONFIG_MAP_CONTENT = {"data", "binaryData"}
#: Force a replacement unless the provider's enableSecretMutable is set.
SECRET_CONTENT = {"data", "stringData", "type"}


def _kind(
    api_version: str,
    name: str,
    plural: str,
    inputs: str,
    force_new: set[str] | frozenset[str] = frozenset(),
    namespaced: bool = True,
) -> Kind:
    return Kind(
        api_version, name, plural, frozenset(inputs.split()), namespaced, frozenset(force_new)
    )


_RBAC = "rbac.authorization.k8s.io/v1"

KINDS: tuple[Kind, ...] = (
    _kind("v1", "Namespace", "namespaces", "spec", namespaced=False),
    _kind("v1", "PersistentVolume", "persistentvolumes", "spec", _VOLUME_SOURCES, namespaced=False),
    _kind(
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "spec",
        _under("spec", "accessModes selector storageClassName volumeName"),
    ),
    _kind("v1", "ConfigMap", "configmaps", "data binaryData immutable"),
    _kind("v1", "Secret", "secrets", "data stringData type immutable", {"type"}),
    _kind("v1", "Service", "services", "spec", {"spec.clusterIP"}),
    _kind(
        "v1",
        "ServiceAccount",
        "serviceaccounts",
        "automountServiceAccountToken imagePullSecrets secrets",
    ),
    _kind("v1", "ResourceQuota", "resourcequotas", "spec", {"spec.scopes"}),
    _kind("v1", "LimitRange", "limitranges", "spec"),
    _kind("v1", "Pod", "pods", "spec", _POD_FIELDS),
    _kind("apps/v1", "Deployment", "deployments", "spec", {"spec.selector"}),
    _kind("apps/v1", "StatefulSet", "statefulsets", "spec", _STATEFUL_SET_FIELDS),
    _kind("apps/v1", "DaemonSet", "daemonsets", "spec", {"spec.selector"}),
    _kind(
        "batch/v1",
        "Job",
        "jobs",
        "spec",
        _under("spec", "completions parallelism selector template"),
    ),
    _kind(_RBAC, "Role", "roles", "rules"),
    _kind(_RBAC, "RoleBinding", "rolebindings", "roleRef subjects", {"roleRef"}),
    _kind(_RBAC, "ClusterRole", "clusterroles", "rules aggregationRule", namespaced=False),
    _kind(
        _RBAC,
        "ClusterRoleBinding",
        "clusterrolebindings",
        "roleRef subjects",
        {"roleRef"},
        namespaced=False,
    ),
    _kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "spec"),
    _kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", "spec"),
    _kind(
        "scheduling.k8s.io/v1",
        "PriorityClass",
        "priorityclasses",
        "value globalDefault description preemptionPolicy",
        namespaced=False,
    ),
)
BY_NAME: dict[str, Kind] = {kind.name: kind for kind in KINDS}
