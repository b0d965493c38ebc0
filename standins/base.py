"""A small framework for Pulumi resource plugins in Python, for the stand-ins beside this file.

A stand-in declares a `Provider` with its configuration, resource handlers and functions, and
calls `server.run(provider)` from its `__main__.py`. The framework speaks the engine's protocol:

    class Bucket(ResourceHandler):
        token = "aws:s3/bucket:Bucket"
        inputs = {"bucket", "tags"}             # anything else is refused by name
        required = {"bucket"}
        outputs = {"arn", "bucket", "tags"}     # what a preview shows as not known yet
        force_new = {"bucket"}                  # a change of these replaces the resource

        def create(self, call):                 # -> (id, outputs)
            ...
            return name, {**call.inputs, "arn": arn}

        def delete(self, call):                 # call.id, call.state: the old outputs
            ...

What a handler gets and gives are plain Python values (see values.py): `call.inputs` has no Secret
wrappers, and may hold UNKNOWN only where `call.preview` is true, or in check and diff. Secrets are
put back by the framework: an output that has the name of a secret input is a secret; a handler may
return `Secret(value)` for others. A handler raises StandinError with a text that says the cause;
the framework adds the resource's type and name. `InitFailed` keeps what half exists in the state.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from standins.call import Call, Cancelled, InitFailed, StandinError
from standins.diffs import Diff, changed_paths, join_path, replaced_by, without_gone_defaults
from standins.values import (
    UNKNOWN,
    Archive,
    Asset,
    Secret,
    carry_secrets,
    from_struct,
    has_secret,
    has_unknown,
    plain,
    to_struct,
)

__all__ = [
    "UNKNOWN",
    "Archive",
    "Asset",
    "Call",
    "Cancelled",
    "Diff",
    "Failure",
    "InitFailed",
    "Provider",
    "ReadResult",
    "ResourceHandler",
    "Secret",
    "StandinError",
    "carry_secrets",
    "changed_paths",
    "from_struct",
    "has_secret",
    "has_unknown",
    "join_path",
    "plain",
    "replaced_by",
    "to_struct",
    "unique_name",
]


@dataclass(frozen=True)
class Failure:
    """A property that the program set wrongly: its path, and what is wrong with it."""

    path: str
    reason: str


@dataclass
class ReadResult:
    """A resource as it is now. `inputs` are what the program would have to say to get it."""

    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


class ResourceHandler:
    """One resource type. Subclasses set the class attributes and override what they need."""

    token: str
    inputs: frozenset[str] | set[str] = frozenset()
    required: frozenset[str] | set[str] = frozenset()
    outputs: frozenset[str] | set[str] = frozenset()
    # Inputs that are secrets whatever the program says (`connection` of a remote.Command).
    secret_inputs: frozenset[str] | set[str] = frozenset()
    # Property names, or dotted paths such as `rootBlockDevice.encrypted`.
    force_new: frozenset[str] | set[str] = frozenset()
    # Values for inputs that the program leaves out; part of the inputs in the state.
    defaults: dict[str, Any] = {}

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    def check(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        """The inputs to keep in the state, and what is wrong with them. `call.old_inputs` too.

        This default fills in `defaults`, misses `required`, and refuses what is not in `inputs`.
        """
        failures = [
            Failure(name, self.provider.refusal(f"property {name} of {self.token}"))
            for name in sorted(call.inputs)
            if name not in self.inputs and not name.startswith("__")
        ]
        failures += [
            Failure(name, f"missing required property '{name}'")
            for name in sorted(self.required)
            if call.inputs.get(name) is None
        ]
        return {**self.defaults, **call.inputs}, failures

    def diff(self, call: Call) -> Diff:
        """What changes from `call.old_inputs` to `call.inputs`; see `force_new`."""
        old = without_gone_defaults(call.old_inputs, call.inputs)
        paths = changed_paths(old, call.inputs)
        return Diff(paths, replaced_by(paths, self.force_new))

    def preview_create(self, call: Call) -> dict[str, Any]:
        """The outputs that a preview shows for a new resource: inputs, and UNKNOWN for the rest."""
        return {**dict.fromkeys(self.outputs, UNKNOWN), **call.inputs}

    def preview_update(self, call: Call) -> dict[str, Any]:
        """The outputs that a preview shows for a changed resource."""
        return {**call.state, **call.inputs}

    def create(self, call: Call) -> tuple[str, dict[str, Any]]:
        """Make the resource; its id (never empty) and outputs."""
        raise NotImplementedError

    def read(self, call: Call) -> ReadResult | None:
        """The resource `call.id` as it is now, or None where it is gone.

        Without an override the state is taken at its word, as official plugins do that can't look.
        """
        return ReadResult(call.id, call.old_inputs, call.state)

    def update(self, call: Call) -> dict[str, Any]:
        """Change the resource from `call.state` to `call.inputs`; its new outputs."""
        raise NotImplementedError

    def delete(self, call: Call) -> None:
        """Take the resource away; no error where it is gone already."""


class Provider:
    """A resource plugin: its name, version, configuration, resources and functions."""

    name: str
    version: str = ""
    # Configuration key -> type. All but str come from the SDKs as JSON text and are decoded here.
    config_types: dict[str, type] = {}
    # Configuration keys whose change makes every resource of the provider anew.
    replacing_config: frozenset[str] | set[str] = frozenset()
    handlers: Iterable[type[ResourceHandler]] = ()
    # Function token -> function(call) -> result; the arguments are `call.inputs`.
    functions: dict[str, Callable[[Call], dict[str, Any]]] = {}

    def __init__(self, version: str = "") -> None:
        self.version = version or self.version or _sdk_version(self.name)
        self.config: dict[str, Any] = {}
        self.resources = {handler.token: handler(self) for handler in self.handlers}

    def refusal(self, what: str) -> str:
        """The text with which `what` is refused: every stand-in says what it is."""
        return (
            f"stand-in of pulumi-{self.name}: {what} is not something this stand-in does; "
            "install the official plugin"
        )

    def handler(self, token: str) -> ResourceHandler:
        """The handler of a resource type; raises StandinError with the refusal."""
        handler = self.resources.get(token)
        if handler is None:
            raise StandinError(self.refusal(token))
        return handler

    def decode_config(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Configuration as the handlers want it: nested values decoded from their JSON text.

        Raises StandinError for text that should be JSON and is not.
        """
        config = {}
        for name, value in inputs.items():
            wanted = self.config_types.get(name, str)
            if wanted is not str and isinstance(value, str):
                try:
                    value = json.loads(value)
                except ValueError:
                    raise StandinError(f"configuration {self.name}:{name} is not JSON") from None
            config[name] = value
        return config

    def check_config(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        """The provider's inputs to keep, and those that are refused."""
        known = {*self.config_types, "version", "pluginDownloadURL"}
        failures = [
            Failure(name, self.refusal(f"configuration {self.name}:{name}"))
            for name in sorted(call.inputs)
            if name not in known and not name.startswith("__")
        ]
        return call.inputs, failures

    def diff_config(self, call: Call) -> Diff:
        """What a change of the provider's configuration does; see `replacing_config`."""
        paths = changed_paths(self._comparable(call.old_inputs), self._comparable(call.inputs))
        return Diff(paths, replaced_by(paths, self.replacing_config))

    def _comparable(self, inputs: dict[str, Any]) -> dict[str, Any]:
        # A new version of the plugin alone is no change, as with the official plugins.
        return {k: v for k, v in inputs.items() if k not in ("version", "pluginDownloadURL")}

    def configure(self, config: dict[str, Any]) -> None:
        """Take the (decoded, plain) configuration. Called once, before any resource is touched."""
        self.config = config

    def cancel(self) -> None:
        """The engine asked to stop; every call's `cancelled` is set already."""


def _sdk_version(name: str) -> str:
    """The version of the package's installed SDK, which is the one that the engine asks for."""
    try:
        return importlib.metadata.version(f"pulumi-{name}")
    except importlib.metadata.PackageNotFoundError:
        return ""


def unique_name(call: Call, separator: str = "-", digits: int = 7) -> str:
    """An automatic name for the resource: its logical name and a suffix that the engine seeds.

    The suffix is the same for a preview and the update that follows it. The program's autonaming
    configuration is honoured. Raises StandinError where it forbids automatic names.
    """
    mode, proposed = call.autonaming or ("propose", "")
    if mode == "disable":
        raise StandinError("automatic names are switched off: give the resource a name")
    if proposed:
        return proposed
    seed = call.random_seed or call.urn.encode()
    return f"{call.name}{separator}{hashlib.sha256(seed).hexdigest()[:digits]}"
