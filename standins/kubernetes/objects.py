"""Plain Kubernetes objects: server-side apply, and waiting until they are what they should be."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from standins.base import Failure, ReadResult, ResourceHandler, unique_name
from standins.call import Call, InitFailed, StandinError
from standins.diffs import Diff, changed_paths, replaced_by
from standins.kubernetes.await_ import NotReady, annotation, wait_gone, wait_ready
from standins.kubernetes.cluster import ApiError, Cluster, Unreachable
from standins.kubernetes.kinds import (
    CONFIG_MAP_CONTENT,
    KINDS,
    SECRET_CONTENT,
    Kind,
    object_id,
    split_id,
)
from standins.kubernetes.readiness import condition
from standins.kubernetes.redact import redact
from standins.values import UNKNOWN, Secret, has_secret, has_unknown

if TYPE_CHECKING:
    from standins.kubernetes.provider import KubernetesProvider

AUTONAMED = "pulumi.com/autonamed"
REPLACE_UNREADY = "pulumi.com/replaceUnready"
PATCH_FORCE = "pulumi.com/patchForce"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"

Manifest = dict[str, Any]

# What the API server adds to every object's metadata; no program says these.
_SERVER_METADATA = {
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
}


class ObjectHandler(ResourceHandler):
    """One kind of kinds.py; `handlers()` makes a subclass for each."""

    kind: Kind
    provider: KubernetesProvider

    # -- before anything is done -------------------------------------------------------------

    def check(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        """Fills in apiVersion, kind, name and namespace; refuses what the kind does not have."""
        call.inputs = without_nulls(call.inputs)
        inputs, failures = super().check(call)
        inputs["apiVersion"] = self.kind.api_version
        inputs["kind"] = self.kind.name
        if self.kind.name == "Secret":
            inputs = _with_data_only(inputs)
        metadata = inputs.get("metadata")
        if metadata is UNKNOWN:
            return inputs, failures
        metadata = dict(metadata or {})
        if metadata.get("generateName"):
            reason = "generateName cannot be used with server-side apply: leave the name out"
            failures.append(Failure("metadata.generateName", reason))
        if metadata.get("name") in (None, ""):
            metadata["name"] = self._automatic_name(call)
            annotations = metadata.get("annotations")
            if annotations is not UNKNOWN:
                metadata["annotations"] = {**(annotations or {}), AUTONAMED: "true"}
        if self.kind.namespaced and metadata.get("namespace") is None:
            metadata["namespace"] = self.provider.default_namespace
        if not self.kind.namespaced:
            metadata.pop("namespace", None)
        inputs["metadata"] = without_nulls(metadata)
        return inputs, failures

    def _automatic_name(self, call: Call) -> str:
        """The old object's automatic name, or a new one."""
        if annotation(call.old_inputs, AUTONAMED) == "true":
            return str(call.old_inputs["metadata"]["name"])
        return unique_name(call, digits=8)

    def diff(self, call: Call) -> Diff:
        """The changed inputs; a Job that should be replaced while it is unready, too."""
        paths = changed_paths(call.old_inputs, call.inputs)
        replace = replaced_by(paths, self._force_new(call.inputs))
        if annotation(call.inputs, REPLACE_UNREADY) == "true" and self._unready(call):
            path = f'metadata.annotations["{REPLACE_UNREADY}"]'
            paths.setdefault(path, "update")
            replace.add(path)
        return Diff(paths, replace, bool(replace) and self.delete_before_replace(call))

    def _force_new(self, inputs: Manifest) -> set[str]:
        fields = {*self.kind.force_new, "metadata.name", "metadata.namespace"}
        # Not known yet: the safe guess is that it is set.
        frozen = inputs.get("immutable") in (True, UNKNOWN)
        if self.kind.name == "ConfigMap" and (frozen or not self.provider.config_map_mutable):
            fields |= CONFIG_MAP_CONTENT
        if self.kind.name == "Secret" and (frozen or not self.provider.secret_mutable):
            fields |= SECRET_CONTENT
        return fields

    def _unready(self, call: Call) -> bool:
        """Whether the live object is a Job that is not complete; False where it can't be seen."""
        if self.kind.name != "Job":
            call.log(f"annotation {REPLACE_UNREADY} does nothing for a {self.kind.name}", "warning")
            return False
        try:
            live = self.cluster.find(self.kind.path(*split_id(call.id)))
        except StandinError as error:
            call.log(f"whether the Job is ready was not looked up: {error}", "warning")
            return False
        return live is not None and condition(live, "Complete").get("status") != "True"

    def delete_before_replace(self, call: Call) -> bool:
        """True where the new object must have the old one's name, in the same namespace."""
        if annotation(call.inputs, AUTONAMED) == "true":
            return False
        old, new = (one.get("metadata") or {} for one in (call.old_inputs, call.inputs))
        if new is UNKNOWN or old is UNKNOWN:
            return False
        return all(
            old.get(key) is not UNKNOWN and old.get(key) == new.get(key)
            for key in ("name", "namespace")
            if new.get(key) is not UNKNOWN
        )

    def preview_create(self, call: Call) -> dict[str, Any]:
        """The inputs, once a dry run at the cluster (where there is one) had no objection."""
        self._dry_run(call)
        return {"status": UNKNOWN, **call.inputs} if "status" in self.outputs else call.inputs

    def preview_update(self, call: Call) -> dict[str, Any]:
        self._dry_run(call)
        state = {name: value for name, value in call.state.items() if not name.startswith("__")}
        return merged(state, call.inputs)

    def _dry_run(self, call: Call) -> None:
        """Let the API server check the object without keeping it; raises StandinError.

        No word where it can't tell: no cluster, unknown values, no namespace yet, no right to it.
        """
        if has_unknown(call.inputs) or not self.provider.answers_previews:
            return
        try:
            self._apply(call, self._manager(call), dry_run=True)
        except Unreachable:
            self.provider.answers_previews = False
        except ApiError as error:
            # A replacement under the old name changes what can't be changed: not told from here.
            replaces = error.status == 422 and not call.id and self._exists(call)
            if error.status not in (403, 404, 409) and not replaces:
                raise

    def _exists(self, call: Call) -> bool:
        metadata = call.inputs["metadata"]
        path = self.kind.path(metadata.get("namespace"), metadata["name"])
        return self.cluster.find(path) is not None

    # -- the real thing ----------------------------------------------------------------------

    @property
    def cluster(self) -> Cluster:
        """The provider's cluster."""
        return self.provider.cluster

    def create(self, call: Call) -> tuple[str, dict[str, Any]]:
        """Apply the object, which must not exist yet, and wait until it is ready."""
        metadata = call.inputs["metadata"]
        manager = self._manager(call)
        path = self.kind.path(metadata.get("namespace"), metadata["name"])
        existing = self.cluster.find(path)
        if existing is not None and not self.provider.upsert:
            self._refuse_existing(existing, manager)
        live = self._apply_patiently(call, manager)
        return object_id(live), self._settle(call, live, manager)

    def _refuse_existing(self, existing: Manifest, manager: str) -> None:
        """Raise StandinError unless `existing` is what a killed run of this very resource left."""
        metadata = existing["metadata"]
        what = f"{self.kind.name} {object_id(existing)}"
        if metadata.get("deletionTimestamp"):
            raise StandinError(f"{what} is still being deleted: try again when it is gone")
        if manager not in {entry.get("manager") for entry in metadata.get("managedFields") or []}:
            raise StandinError(
                f"{what} exists already, and not from this stack: delete it, give this one another "
                "name, import it, or set the provider's upsertExistingObjects"
            )

    def update(self, call: Call) -> dict[str, Any]:
        """Apply the new inputs, and wait until the object is ready."""
        manager = self._manager(call)
        return self._settle(call, self._apply_patiently(call, manager), manager)

    def read(self, call: Call) -> ReadResult | None:
        """The live object; inputs that somebody else changed there show as the live values."""
        try:
            live = self.cluster.find(self.kind.path(*split_id(call.id)))
        except Unreachable as error:
            return self.provider.read_unreachable(call, error)
        if live is None:
            return None
        outputs = self._outputs(live)
        if call.old_inputs:
            inputs = drifted(call.old_inputs, call.state, outputs)
        else:  # an import: all that a program may say
            names = {"apiVersion", "kind", "metadata", *self.kind.inputs}
            inputs = {name: value for name, value in outputs.items() if name in names}
            inputs["metadata"] = {
                name: value
                for name, value in live["metadata"].items()
                if name not in _SERVER_METADATA
            }
        kept = self._bookkeeping(inputs, call.marked_old_inputs, self._manager(call))
        return ReadResult(object_id(live), inputs, {**outputs, **kept})

    def delete(self, call: Call) -> None:
        """Delete the object and wait until it is gone."""
        namespace, name = split_id(call.id)
        policy = annotation(call.old_inputs or call.state, PROPAGATION) or "foreground"
        try:
            path = self.kind.path(namespace, name)
            self.cluster.delete(path, policy[:1].upper() + policy[1:])
            if annotation(call.old_inputs or call.state, "pulumi.com/skipAwait") != "true":
                wait_gone(self.cluster, self.kind, namespace, name, call)
        except Unreachable as error:
            self.provider.delete_unreachable(call, error)

    # -- helpers -----------------------------------------------------------------------------

    def _manager(self, call: Call) -> str:
        """The field manager: the state's, or one that is this resource's in every run."""
        known = call.state.get("__fieldManager")
        digest = hashlib.sha256(call.urn.encode()).hexdigest()[:8]
        return str(known) if known else f"pulumi-kubernetes-{digest}"

    def _apply(self, call: Call, manager: str, dry_run: bool = False) -> Manifest:
        metadata = call.inputs["metadata"]
        manifest = without_nulls(
            {name: value for name, value in call.inputs.items() if not name.startswith("__")}
        )
        forced = annotation(call.inputs, PATCH_FORCE)
        force = forced == "true" if forced else self.provider.patch_force
        path = self.kind.path(metadata.get("namespace"), metadata["name"])
        try:
            return self.cluster.apply(path, manifest, manager, force, dry_run)
        except ApiError as error:
            raise self._in_words(error, call) from None

    def _in_words(self, error: ApiError, call: Call) -> ApiError:
        text = redact(str(error), call.marked_inputs)
        if self.kind.name == "Secret":
            text = redact(
                text, Secret(call.inputs.get("data")), Secret(call.inputs.get("stringData"))
            )
        if error.status == 409 and error.reason == "Conflict":
            text += f' (annotation {PATCH_FORCE}: "true" takes those fields over)'
        return ApiError(error.status, error.reason, text)

    def _apply_patiently(self, call: Call, manager: str) -> Manifest:
        """Apply; a namespace that is not there yet gets some seconds to come."""
        for seconds in (0.5, 1, 2, 4, 8):
            try:
                return self._apply(call, manager)
            except ApiError as error:
                if not error.no_namespace:
                    raise
                call.status(f"Waiting: {error}")
            call.pause(seconds)
        return self._apply(call, manager)

    def _settle(self, call: Call, live: Manifest, manager: str) -> dict[str, Any]:
        """Wait until `live` is ready; its outputs. Raises InitFailed: what exists stays known."""
        marked = call.marked_inputs
        try:
            live = wait_ready(self.cluster, self.kind, live, call)
        except StandinError as error:
            seen = error.live if isinstance(error, NotReady) else live
            outputs = self._outputs(seen) | self._bookkeeping(call.inputs, marked, manager)
            raise InitFailed(redact(str(error), marked), object_id(live), outputs) from None
        return self._outputs(live) | self._bookkeeping(call.inputs, marked, manager)

    def _outputs(self, live: Manifest) -> dict[str, Any]:
        """The live object as the state keeps it: without the record of who set what."""
        metadata = {k: v for k, v in live["metadata"].items() if k != "managedFields"}
        return {**live, "metadata": metadata}

    def _bookkeeping(self, inputs: Manifest, marked: Manifest, manager: str) -> dict[str, Any]:
        """What the official plugin keeps in the state beside the object, so that it can take over.

        `marked` are inputs with their Secret marks: one secret makes the whole copy secret.
        """
        kept: Any = Secret(inputs) if has_secret(marked) or self.kind.name == "Secret" else inputs
        return {
            "__inputs": kept,
            "__initialApiVersion": self.kind.api_version,
            "__fieldManager": manager,
        }


def _with_data_only(secret: Manifest) -> Manifest:
    """A Secret whose stringData is in its data, as the API server would have it."""
    text, data = secret.get("stringData"), secret.get("data") or {}
    if not isinstance(text, dict) or not isinstance(data, dict) or has_unknown(text):
        return secret
    encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in text.items()}
    rest = {name: value for name, value in secret.items() if name != "stringData"}
    return {**rest, "data": {**data, **encoded}}


def without_nulls(value: Any) -> Any:
    """`value` without the nulls in its objects: an absent field, for Kubernetes and for Pulumi."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def merged(base: Any, over: Any) -> Any:
    """`base` with `over` laid on it, object by object."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{name: merged(base.get(name), item) for name, item in over.items()}}
    return over


def drifted(inputs: Any, before: Any, now: Any) -> Any:
    """`inputs` with what changed in the cluster from `before` to `now` (both live objects).

    Only what the program sets is looked at, and a value that the API server merely writes in
    another way (1000m for 1) is no change, since it was so before.
    """
    if isinstance(inputs, dict) and isinstance(before, dict) and isinstance(now, dict):
        return {
            name: drifted(value, before[name], now.get(name)) if name in before else value
            for name, value in inputs.items()
            if name not in before or now.get(name) is not None
        }
    if isinstance(inputs, list) and isinstance(before, list) and isinstance(now, list):
        if len(inputs) == len(before) == len(now):
            return [drifted(*three) for three in zip(inputs, before, now, strict=True)]
        return inputs if before == now else now
    return inputs if before == now else now


def handlers() -> list[type[ObjectHandler]]:
    """A handler class for each kind."""
    return [
        type(
            f"{kind.name}Handler",
            (ObjectHandler,),
            {
                "token": kind.token,
                "kind": kind,
                "inputs": {"apiVersion", "kind", "metadata", *kind.inputs},
                "outputs": {"status"} if "spec" in kind.inputs else set(),
                "secret_outputs": {"data", "stringData"} if kind.name == "Secret" else set(),
                "secret_inputs": {"data", "stringData"} if kind.name == "Secret" else set(),
            },
        )
        for kind in KINDS
    ]
