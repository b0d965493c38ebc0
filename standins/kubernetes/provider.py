"""The provider: its configuration, the cluster behind it, and what to do when that is away."""

from __future__ import annotations

import os
import threading
from typing import Any

from standins.base import Failure, Provider, ReadResult
from standins.call import Call, StandinError
from standins.diffs import Diff
from standins.kubernetes import kubeconfig as kubeconfigs
from standins.kubernetes.cluster import READ_SECONDS, Cluster
from standins.kubernetes.objects import handlers
from standins.kubernetes.release import ReleaseHandler
from standins.values import UNKNOWN

_ENVIRONMENT = {
    "deleteUnreachable": "PULUMI_K8S_DELETE_UNREACHABLE",
    "skipUpdateUnreachable": "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE",
    "enableConfigMapMutable": "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
    "enableSecretMutable": "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
    "enablePatchForce": "PULUMI_K8S_ENABLE_PATCH_FORCE",
    "upsertExistingObjects": "PULUMI_K8S_UPSERT_EXISTING_OBJECTS",
}


class KubernetesProvider(Provider):
    """The stand-in of pulumi-kubernetes."""

    name = "kubernetes"
    config_types = {
        "kubeconfig": str,
        "context": str,
        "namespace": str,
        "clusterIdentifier": str,
        "deleteUnreachable": bool,
        "skipUpdateUnreachable": bool,
        "enableServerSideApply": bool,
        "enableConfigMapMutable": bool,
        "enableSecretMutable": bool,
        "enablePatchForce": bool,
        "upsertExistingObjects": bool,
        "suppressDeprecationWarnings": bool,
        "suppressHelmHookWarnings": bool,
        "kubeClientSettings": dict,
        "helmReleaseSettings": dict,
    }
    handlers = (*handlers(), ReleaseHandler)

    def __init__(self, version: str = "") -> None:
        super().__init__(version)
        # Whether previews ask the cluster; the first that finds it away spares the others the wait.
        self.answers_previews = True
        self._kubeconfig: kubeconfigs.Kubeconfig | None = None
        self._cluster: Cluster | None = None
        self._lock = threading.Lock()

    # -- configuration -----------------------------------------------------------------------

    def check_config(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        inputs, failures = super().check_config(call)
        if self.decode_config(call.inputs).get("enableServerSideApply") is False:
            reason = self.refusal("client-side apply (enableServerSideApply: false)")
            failures.append(Failure("enableServerSideApply", reason))
        return inputs, failures

    def diff_config(self, call: Call) -> Diff:
        """With clusterIdentifier set, only its change replaces; else another cluster does."""
        diff = super().diff_config(call)
        old, new = call.old_inputs, call.inputs
        before, after = old.get("clusterIdentifier"), new.get("clusterIdentifier")
        if after not in (None, "", UNKNOWN) and after == before:
            return diff
        # Setting the identifier for the first time, or no longer, is no other cluster.
        if before is not None and after is not None:
            diff.replace.add("clusterIdentifier")
        changed = diff.paths.keys() & {"kubeconfig", "context"}
        if any(new.get(key) is UNKNOWN for key in changed) or _other_cluster(old, new):
            diff.replace |= changed
        return diff

    def configure(self, config: dict[str, Any]) -> None:
        """Takes the configuration; the cluster itself is not asked for anything yet."""
        super().configure(config)
        self._kubeconfig = None
        self._cluster = None
        self.answers_previews = config.get("kubeconfig") is not UNKNOWN

    def _setting(self, name: str) -> bool:
        value = self.config.get(name)
        if value is None:
            value = os.environ.get(_ENVIRONMENT[name], "").lower() == "true"
        return value is True

    @property
    def config_map_mutable(self) -> bool:
        """Whether a ConfigMap's content is changed in place."""
        return self._setting("enableConfigMapMutable")

    @property
    def secret_mutable(self) -> bool:
        """Whether a Secret's content is changed in place."""
        return self._setting("enableSecretMutable")

    @property
    def patch_force(self) -> bool:
        """Whether fields that another manager owns are taken over."""
        return self._setting("enablePatchForce")

    @property
    def upsert(self) -> bool:
        """Whether an object that exists already is taken over instead of refused."""
        return self._setting("upsertExistingObjects")

    # -- the cluster -------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> kubeconfigs.Kubeconfig:
        """The configured kubeconfig; raises StandinError where it is missing or wrong."""
        if self._kubeconfig is None:
            value = self.config.get("kubeconfig")
            if value is UNKNOWN:
                raise StandinError("the cluster's kubeconfig is not known yet")
            self._kubeconfig = kubeconfigs.load(value, self.config.get("context"))
        return self._kubeconfig

    @property
    def cluster(self) -> Cluster:
        """The configured cluster: one, with its connections, for the life of the plugin."""
        with self._lock:
            if self._cluster is None:
                settings = self.config.get("kubeClientSettings") or {}
                self._cluster = Cluster(self.kubeconfig, settings.get("timeout") or READ_SECONDS)
            return self._cluster

    @property
    def default_namespace(self) -> str | None:
        """Where objects go that name no namespace; None while that is not known."""
        own = self.config.get("namespace")
        if own:
            return own
        try:
            return self.kubeconfig.namespace
        except StandinError:
            return None

    def read_unreachable(self, call: Call, error: StandinError) -> ReadResult | None:
        """What a refresh sees of a cluster that is away; an error unless configured otherwise."""
        if self._setting("deleteUnreachable"):
            call.log(f"{error}; deleteUnreachable is set: the state forgets this", "warning")
            return None
        if self._setting("skipUpdateUnreachable"):
            call.log(f"{error}; skipUpdateUnreachable is set: taken as it was", "warning")
            return ReadResult(call.id, call.old_inputs, call.state)
        raise StandinError(f"{error}. {_HINT}") from None

    def delete_unreachable(self, call: Call, error: StandinError) -> None:
        """Let go of what was in a cluster that is away; raises StandinError unless told to."""
        if not self._setting("deleteUnreachable"):
            raise StandinError(f"{error}. {_HINT}") from None
        call.log(f"{error}; deleteUnreachable is set: the state forgets this", "warning")


_HINT = (
    "If the cluster is gone for good, run this again with PULUMI_K8S_DELETE_UNREACHABLE=true and "
    "the state forgets what was in it"
)


def _other_cluster(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether two configurations name different clusters, as far as their kubeconfigs tell."""
    clusters = []
    for config in (old, new):
        try:
            clusters.append(
                kubeconfigs.load(config.get("kubeconfig"), config.get("context")).cluster
            )
        except StandinError:
            return False
    return clusters[0] != clusters[1]
