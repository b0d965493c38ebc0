"""helm.sh/v3:Release: a chart installed, upgraded and removed by the helm command."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from standins.base import Failure, ReadResult, ResourceHandler, unique_name
from standins.call import Call, Cancelled, InitFailed, StandinError
from standins.diffs import Diff, changed_paths, replaced_by
from standins.kubernetes.helm import Helm, HelmError
from standins.kubernetes.kinds import split_id
from standins.kubernetes.objects import merged, without_nulls
from standins.kubernetes.workloads import resource_names, unready
from standins.values import UNKNOWN, Asset, Secret, has_secret, has_unknown

if TYPE_CHECKING:
    from standins.kubernetes.provider import KubernetesProvider

_DEFAULT_TIMEOUT = 300
# A label on the release, by which a run finds again what a killed run of it left.
_OWNER_LABEL = "standin-owner"

_STATUS = ("name", "namespace", "revision", "status", "chart", "version", "appVersion")

# Inputs that become a helm flag without a value: for install, for upgrade, for both.
_FLAGS = {
    "atomic": "--atomic",
    "dependencyUpdate": "--dependency-update",
    "devel": "--devel",
    "disableOpenapiValidation": "--disable-openapi-validation",
    "disableWebhooks": "--no-hooks",
    "renderSubchartNotes": "--render-subchart-notes",
    "skipCrds": "--skip-crds",
    "takeOwnership": "--take-ownership",
}
_INSTALL_FLAGS = {"createNamespace": "--create-namespace", "replace": "--replace"}
_UPGRADE_FLAGS = {"cleanupOnFail": "--cleanup-on-fail", "forceUpdate": "--force"}
_REPOSITORY_FLAGS = {
    "repo": "--repo",
    "caFile": "--ca-file",
    "certFile": "--cert-file",
    "keyFile": "--key-file",
}


class ReleaseHandler(ResourceHandler):
    """A Helm release. As with the official plugin, a changed template alone is no change."""

    token = "kubernetes:helm.sh/v3:Release"
    inputs = {
        "allowNullValues",
        "chart",
        "compat",
        "description",
        "lint",
        "maxHistory",
        "name",
        "namespace",
        "repositoryOpts",
        "resetValues",
        "resourceNames",
        "reuseValues",
        "skipAwait",
        "timeout",
        "valueYamlFiles",
        "values",
        "version",
        "waitForJobs",
        *_FLAGS,
        *_INSTALL_FLAGS,
        *_UPGRADE_FLAGS,
    }
    required = {"chart"}
    outputs = {"status", "resourceNames", "version"}
    force_new = {"name", "namespace"}
    provider: KubernetesProvider

    @property
    def helm(self) -> Helm:
        """helm, for the provider's cluster."""
        settings = self.provider.config.get("helmReleaseSettings")
        return Helm(lambda: self.provider.kubeconfig, settings)

    # -- before anything is done -------------------------------------------------------------

    def check(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        """Fills in name, namespace and timeout; renders the chart: its errors show early."""
        values = call.inputs.get("values")
        call.inputs = without_nulls(call.inputs)
        if values is not None and call.inputs.get("allowNullValues") is True:
            call.inputs["values"] = values
        inputs, failures = super().check(call)
        failures += self._check_repository(inputs)
        if inputs.get("name") in (None, ""):
            inputs["name"] = call.old_inputs.get("name") or unique_name(call, digits=8)
        if inputs.get("namespace") in (None, "") and self.provider.default_namespace:
            inputs["namespace"] = self.provider.default_namespace
        if inputs.get("skipAwait") in (None, False):
            inputs.setdefault("timeout", _DEFAULT_TIMEOUT)
        if has_unknown(inputs):
            inputs["resourceNames"] = UNKNOWN
        elif not failures:
            failures += self._render(call, inputs)
        return inputs, failures

    def _check_repository(self, inputs: dict[str, Any]) -> list[Failure]:
        options = inputs.get("repositoryOpts")
        if not isinstance(options, dict):
            return []
        return [
            Failure(
                f"repositoryOpts.{name}",
                self.provider.refusal(f"property repositoryOpts.{name} of {self.token}"),
            )
            for name in sorted(options.keys() - _REPOSITORY_FLAGS.keys())
        ]

    def _render(self, call: Call, inputs: dict[str, Any]) -> list[Failure]:
        """Merge the values' files into `values`; add `resourceNames`."""
        try:
            files = inputs.pop("valueYamlFiles", None)
            if files:
                values = _merged_files(files, inputs.get("values"))
                marked = call.marked_inputs.get("valueYamlFiles")
                inputs["values"] = Secret(values) if has_secret(marked) else values
            manifest = self._manifest(call, inputs)
        except StandinError as error:
            reason = f"{error}; check the chart, its values and the repository's configuration"
            return [Failure("chart", reason)]
        inputs["resourceNames"] = resource_names(manifest)
        return []

    def _manifest(self, call: Call, inputs: dict[str, Any]) -> str:
        values = _values(inputs)
        if inputs.get("lint"):
            if not os.path.exists(inputs["chart"]):
                raise StandinError(self.provider.refusal("lint of a chart that is not local"))
            self.helm.lint(call, inputs["chart"], values)
        flags = ["--include-crds"] if not inputs.get("skipCrds") else []
        for name in ("dependencyUpdate", "devel", "disableWebhooks"):
            flags += [_FLAGS[name]] if inputs.get(name) else []
        return self.helm.template(call, [*_target(inputs), *flags], values)

    def diff(self, call: Call) -> Diff:
        paths = changed_paths(call.old_inputs, call.inputs)
        return Diff(paths, replaced_by(paths, self.force_new))

    def preview_create(self, call: Call) -> dict[str, Any]:
        """The inputs, and of the status what is known: the names, which others build upon."""
        names = {name: call.inputs.get(name, UNKNOWN) for name in ("name", "namespace")}
        return {**call.inputs, "status": {**dict.fromkeys(_STATUS, UNKNOWN), **names}}

    def preview_update(self, call: Call) -> dict[str, Any]:
        return self.preview_create(call)

    # -- the real thing ----------------------------------------------------------------------

    def create(self, call: Call) -> tuple[str, dict[str, Any]]:
        """Install the chart; a killed run's leftover of the same release is taken up or removed."""
        try:
            self._install(call)
        except HelmError as error:
            if not error.name_taken:
                raise
            self._take_up(call, error)
        return _id(call.inputs), self._outputs(call)

    def _install(self, call: Call) -> None:
        flags = [*self._common_flags(call), *_switches(call.inputs, _INSTALL_FLAGS)]
        flags += ["--labels", f"{_OWNER_LABEL}={_owner(call)}"]
        self._operate(call, ["install", *_target(call.inputs), *flags])

    def _take_up(self, call: Call, error: HelmError) -> None:
        """Go on from a release of this name if this very resource made it; else raise `error`."""
        name, namespace = call.inputs["name"], call.inputs["namespace"]
        arguments = ["list", "--all", "--namespace", namespace, "--filter", f"^{name}$"]
        arguments += ["--selector", f"{_OWNER_LABEL}={_owner(call)}", "--output", "json"]
        found = json.loads(self.helm.run(call, arguments))
        if not found:
            raise StandinError(
                f"{error}: {namespace}/{name} was not installed by this stack; "
                "give this one another name, or import it"
            )
        call.log(f"an earlier run left this release behind, {found[0]['status']}: taking it up")
        self.update(call)

    def update(self, call: Call) -> dict[str, Any]:
        """Upgrade the release; one that was never deployed is installed anew."""
        try:
            self._upgrade(call)
        except HelmError as error:
            if not error.nothing_deployed:
                raise
            self._uninstall(call, call.inputs)
            self._install(call)
        return self._outputs(call)

    def _upgrade(self, call: Call) -> None:
        inputs = call.inputs
        flags = [*self._common_flags(call), *_switches(inputs, _UPGRADE_FLAGS)]
        # Without either, helm keeps the old values where the new ones are empty.
        flags += ["--reuse-values" if inputs.get("reuseValues") else "--reset-values"]
        flags += ["--history-max", str(inputs.get("maxHistory") or 0)]
        self._operate(call, ["upgrade", *_target(inputs), *flags])

    def _revision(self, call: Call) -> int:
        inputs = call.inputs
        metadata = self.helm.metadata(call, inputs["name"], inputs["namespace"])
        return int(metadata["revision"]) if metadata else 0

    def read(self, call: Call) -> ReadResult | None:
        """The release as it is; one that is not deployed, or has other values, shows a change."""
        if call.old_inputs:
            name, namespace = call.old_inputs["name"], call.old_inputs["namespace"]
        else:
            namespace, name = split_id(call.id)
            namespace = namespace or self.provider.default_namespace or "default"
        try:
            found = self.helm.metadata(call, name, namespace)
            if found is None:
                return None
            arguments = ["get", "values", name, "--namespace", namespace, "--output", "json"]
            values = json.loads(self.helm.run(call, arguments)) or {}
        except HelmError as error:
            if not error.unreachable:
                raise
            return self.provider.read_unreachable(call, error)
        inputs = dict(call.old_inputs) or {
            "chart": found["chart"],
            "name": name,
            "namespace": namespace,
            "timeout": _DEFAULT_TIMEOUT,
            "values": values,
            "version": found["version"],
        }
        if not inputs.get("reuseValues") and values != (inputs.get("values") or {}):
            inputs["values"] = values
        if inputs.get("version") and inputs["version"] != found["version"]:
            inputs["version"] = found["version"]
        if found["status"] != "deployed":
            inputs["description"] = f"{found['status']}, to be put right"
        outputs = {**call.state, **inputs, **_status(found)}
        return ReadResult(f"{namespace}/{name}", inputs, outputs)

    def delete(self, call: Call) -> None:
        """Uninstall the release; no error where it is gone."""
        try:
            self._uninstall(call, call.old_inputs or call.state)
        except HelmError as error:
            if not error.unreachable:
                raise
            self.provider.delete_unreachable(call, error)

    def _uninstall(self, call: Call, inputs: dict[str, Any]) -> None:
        arguments = ["uninstall", *_named(inputs), "--ignore-not-found"]
        if inputs.get("atomic") or not inputs.get("skipAwait"):
            # Dependents first: what waits for the Pods' end must find none.
            arguments += ["--wait", "--cascade", "foreground", "--timeout", _timeout(inputs)]
        self.helm.run(call, arguments)

    # -- helpers -----------------------------------------------------------------------------

    def _common_flags(self, call: Call) -> list[str]:
        inputs = call.inputs
        flags = _switches(inputs, _FLAGS)
        flags += ["--hide-notes", "--timeout", _timeout(inputs)]
        if inputs.get("description"):
            flags += ["--description", inputs["description"]]
        if inputs.get("atomic") or not inputs.get("skipAwait"):
            flags.append("--wait")
            flags += ["--wait-for-jobs"] if inputs.get("waitForJobs") else []
        return flags

    def _operate(self, call: Call, arguments: list[str]) -> None:
        """Run an operation on the release that may take long, and show what it waits for.

        Raises InitFailed where it fails and leaves a release; HelmError where it leaves none, or
        where it was refused before it began.
        """
        before = self._revision(call) if arguments[0] != "install" else 0
        seen: list[str] = []
        try:
            self.helm.run(call, arguments, _values(call.inputs), self._progress(call, seen))
        except (HelmError, Cancelled) as error:
            if isinstance(error, HelmError) and (
                error.name_taken or error.nothing_deployed or error.under_way
            ):
                raise
            text = "\n".join([str(error), *(f"  last seen: {line}" for line in seen)])
            inputs = call.inputs
            found = self.helm.metadata(call, inputs["name"], inputs["namespace"])
            if found is None or int(found["revision"]) == before:
                raise HelmError(text) from None
            outputs = {**inputs, **_status(found), "__inputs": Secret(call.marked_inputs)}
            raise InitFailed(text, _id(inputs), outputs) from None

    def _progress(self, call: Call, seen: list[str]) -> Callable[[], None]:
        """A function that shows which workloads are not ready, and keeps them in `seen`."""

        def show() -> None:
            try:
                names = call.inputs.get("resourceNames") or {}
                now = unready(self.provider.cluster, names, call.inputs["namespace"])
            except StandinError:
                return
            if now and now != seen:
                call.status(f"Waiting: {'; '.join(now)}")
                seen[:] = now

        return show

    def _outputs(self, call: Call) -> dict[str, Any]:
        inputs = call.inputs
        found = self.helm.metadata(call, inputs["name"], inputs["namespace"])
        if found is None:
            raise StandinError(
                f"helm does not find the release {_id(inputs)} that it just installed"
            )
        return {**inputs, **_status(found), "__inputs": Secret(call.marked_inputs)}


def _id(inputs: dict[str, Any]) -> str:
    return f"{inputs['namespace']}/{inputs['name']}"


def _owner(call: Call) -> str:
    """A short mark of this resource, the same in every run."""
    return hashlib.sha256(call.urn.encode()).hexdigest()[:16]


def _named(inputs: dict[str, Any]) -> list[str]:
    return [inputs["name"], "--namespace", inputs["namespace"]]


def _target(inputs: dict[str, Any]) -> list[str]:
    """helm's arguments that name the release and the chart, and where the chart is."""
    name, *namespace = _named(inputs)
    arguments = [name, inputs["chart"], *namespace]
    options = inputs.get("repositoryOpts") or {}
    for option, flag in _REPOSITORY_FLAGS.items():
        arguments += [flag, options[option]] if options.get(option) else []
    arguments += ["--version", inputs["version"]] if inputs.get("version") else []
    return arguments


def _switches(inputs: dict[str, Any], flags: dict[str, str]) -> list[str]:
    return [flag for name, flag in flags.items() if inputs.get(name) is True]


def _timeout(inputs: dict[str, Any]) -> str:
    return f"{inputs.get('timeout') or _DEFAULT_TIMEOUT}s"


def _values(inputs: dict[str, Any]) -> dict[str, Any]:
    values = inputs.get("values") or {}
    return values.value if isinstance(values, Secret) else values


def _status(found: dict[str, Any]) -> dict[str, Any]:
    """The outputs that come from `helm get metadata`."""
    status = {name: found[name] for name in _STATUS if found.get(name) not in (None, "")}
    return {"status": status, "version": found["version"]}


def _merged_files(files: list[Any], over: dict[str, Any] | None) -> dict[str, Any]:
    """The values in YAML `files` (assets), each laid over those before it, and `over` on top."""
    import yaml

    values: dict[str, Any] = {}
    for file in files:
        if not isinstance(file, Asset) or (file.text is None and file.path is None):
            raise StandinError("valueYamlFiles takes file and string assets only")
        try:
            text = file.text if file.path is None else Path(file.path).read_text("utf-8")
            read = yaml.safe_load(text or "") or {}
        except OSError as error:
            raise StandinError(f"valueYamlFiles: {file.path}: {error.strerror}") from None
        except yaml.YAMLError as error:
            line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
            where = file.path or "a string asset"
            raise StandinError(f"valueYamlFiles: {where} is no YAML (line {line})") from None
        if not isinstance(read, dict):
            raise StandinError(f"valueYamlFiles: {file.path or 'a string asset'} is no mapping")
        values = merged(values, read)
    return merged(values, over or {})
