"""What a stand-in answers the engine: plain Python values made into protocol messages."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2, status_pb2

from standins.base import Call, Diff, Failure, InitFailed, Provider, ResourceHandler, StandinError
from standins.values import Secret, carry_secrets, to_struct

_KINDS = {
    ("add", False): provider_pb2.PropertyDiff.ADD,
    ("add", True): provider_pb2.PropertyDiff.ADD_REPLACE,
    ("delete", False): provider_pb2.PropertyDiff.DELETE,
    ("delete", True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    ("update", False): provider_pb2.PropertyDiff.UPDATE,
    ("update", True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


def schema(provider: Provider) -> dict[str, Any]:
    """The package's schema, as far as this stand-in goes: names of types and properties only."""

    def properties(names: Any) -> dict[str, Any]:
        return {name: {"$ref": "pulumi.json#/Any"} for name in sorted(names)}

    return {
        "name": provider.name,
        "version": provider.version,
        "description": f"stand-in of pulumi-{provider.name}: only what this project uses",
        "resources": {
            token: {
                "inputProperties": properties(handler.inputs),
                "requiredInputs": sorted(handler.required),
                "properties": properties(handler.outputs | handler.inputs),
            }
            for token, handler in provider.resources.items()
        },
        "functions": {token: {} for token in provider.functions},
    }


def subject(call: Call) -> str:
    """What a call is about, for error texts: `aws:ec2/vpc:Vpc 'main'`."""
    return f"{call.type} '{call.name}'" if call.urn else "the provider's configuration"


def mark(
    handler: ResourceHandler, outputs: dict[str, Any], marked: dict[str, Any]
) -> dict[str, Any]:
    """`outputs` with the secrets of the inputs of the same names, and the handler's own.

    Nulls and the engine's own properties (`__defaults`) are no outputs.
    """
    outputs = {
        name: carry_secrets(value, marked.get(name))
        for name, value in outputs.items()
        if value is not None and not name.startswith("__")
    }
    for name in handler.secret_inputs & outputs.keys():
        outputs[name] = as_secret(outputs[name])
    return outputs


def as_secret(value: Any) -> Secret:
    """`value` as a secret, wrapped once only."""
    return value if isinstance(value, Secret) else Secret(value)


def check_response(inputs: dict[str, Any], failures: list[Failure]) -> provider_pb2.CheckResponse:
    """The answer to Check and CheckConfig."""
    return provider_pb2.CheckResponse(
        inputs=to_struct(inputs),
        failures=[provider_pb2.CheckFailure(property=f.path, reason=f.reason) for f in failures],
    )


def diff_response(diff: Diff) -> provider_pb2.DiffResponse:
    """The answer to Diff: what changes, path by path, and whether that means a replacement."""
    response = provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_NONE,
        diffs=sorted({_top(path) for path in diff.paths}),
        replaces=sorted({_top(path) for path in diff.replace}),
        hasDetailedDiff=True,
    )
    if diff.paths:
        response.changes = provider_pb2.DiffResponse.DIFF_SOME
    for path, kind in diff.paths.items():
        response.detailedDiff[path].kind = _KINDS[kind, path in diff.replace]
        response.detailedDiff[path].inputDiff = True
    return response


def _top(path: str) -> str:
    """The name of the property that `path` lies in."""
    return path.split("[", 1)[0].split(".", 1)[0] if not path.startswith("[") else path


class _Status(grpc.Status):
    """What grpc's abort_with_status wants."""

    def __init__(self, message: str, details: bytes = b"") -> None:
        self.code = grpc.StatusCode.UNKNOWN
        self.details = message
        self.trailing_metadata = (("grpc-status-details-bin", details),) if details else None


def error_status(error: Exception, subject: str, doing: str) -> _Status:
    """The gRPC status for `error`: one that names the resource; half made resources ride along."""
    reason = str(error)
    if not isinstance(error, StandinError):
        # A bug of the stand-in, or a library's error that no handler put into words.
        reason = f"{type(error).__name__}: {error}"
        print("".join(traceback.format_exception(error)), file=sys.stderr)
    message = f"{doing} {subject}: {reason}".strip() if doing else f"{subject}: {reason}"
    if not isinstance(error, InitFailed):
        return _Status(message)
    details = provider_pb2.ErrorResourceInitFailed(
        id=error.resource_id, properties=to_struct(error.outputs), reasons=[message]
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message)
    status.details.add().Pack(details)
    return _Status(message, status.SerializeToString())
