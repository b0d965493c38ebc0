"""Property values as the engine sends them over gRPC, and as plain Python.

On the wire every resource property is a protobuf Struct; what JSON has no word for (a secret, an
asset, a value that is not known before the update) is an object with a signature key, or for an
unknown a magic string. Here they are:

    UNKNOWN             the one unknown value (only ever seen in a preview)
    Secret(value)       a value that is encrypted in the state and hidden in diffs
    Asset, Archive      a file or text; a folder, an archive file, or a map of assets
    dict, list, str, bool, int, float, None    everything else (whole numbers come as int)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import empty_pb2, struct_pb2

# protobuf makes its classes at run time, where no type checker sees them.
_struct_module: Any = struct_pb2
_empty_module: Any = empty_pb2
Struct, Value, ListValue = (
    _struct_module.Struct,
    _struct_module.Value,
    _struct_module.ListValue,
)
Empty = _empty_module.Empty

# The signature keys and values of Pulumi's wire protocol (sdk/proto, "Special values").
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_ASSET = "c44067f5952c0a294b673a41bacd8c17"
_ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
_RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_UNKNOWN_STRINGS = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # any value
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
_UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class _Unknown:
    """The type of UNKNOWN."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("a value that is not known yet has no truth: test `is UNKNOWN` first")


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that must stay encrypted in the state; `value` may hold secrets of its own."""

    value: Any


@dataclass(frozen=True)
class Asset:
    """One file's content. `hash` is the engine's SHA-256; in diffs and deletes there is no more."""

    hash: str = ""
    path: str | None = None
    text: str | None = None
    uri: str | None = None


@dataclass(frozen=True)
class Archive:
    """A folder or archive file (`path`), a URL (`uri`), or a map of name to asset (`assets`)."""

    hash: str = ""
    path: str | None = None
    uri: str | None = None
    assets: Any = None


def from_struct(struct: Any) -> dict[str, Any]:
    """The properties in the Struct `struct`, or none of None; secrets and such as above."""
    if struct is None:
        return {}
    return {name: _from_value(value) for name, value in struct.fields.items()}


def _from_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value in _UNKNOWN_STRINGS else value.string_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "list_value":
        return [_from_value(item) for item in value.list_value.values]
    if kind == "struct_value":
        return _from_object(value.struct_value)
    return None


def _from_object(struct: Any) -> Any:
    fields = {name: _from_value(item) for name, item in struct.fields.items()}
    signature = fields.pop(_SIGNATURE, None)
    if signature is None:
        return fields
    if signature == _SECRET:
        return Secret(fields.get("value"))
    if signature == _ASSET:
        return Asset(fields.get("hash", ""), *(fields.get(k) for k in ("path", "text", "uri")))
    if signature == _ARCHIVE:
        return Archive(fields.get("hash", ""), *(fields.get(k) for k in ("path", "uri", "assets")))
    if signature == _OUTPUT:
        known = fields.get("value", UNKNOWN)
        return Secret(known) if fields.get("secret") else known
    if signature == _RESOURCE:
        return fields.get("id") or fields.get("urn")
    raise ValueError(f"the engine sent a value with an unknown signature {signature!r}")


def to_struct(properties: Mapping[str, Any]) -> Any:
    """`properties` as a Struct for the wire; the inverse of `from_struct`."""
    struct = Struct()
    for name, value in properties.items():
        struct.fields[name].CopyFrom(_to_value(value))
    return struct


def _to_value(value: Any) -> Any:
    if value is None:
        return Value(null_value=_struct_module.NULL_VALUE)
    if value is UNKNOWN:
        return Value(string_value=_UNKNOWN_STRING)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, int | float):
        return Value(number_value=value)
    if isinstance(value, str):
        return Value(string_value=value)
    if isinstance(value, Secret):
        return _signed(_SECRET, {"value": value.value})
    if isinstance(value, Asset):
        parts = {"hash": value.hash, "path": value.path, "text": value.text, "uri": value.uri}
        return _signed(_ASSET, {k: v for k, v in parts.items() if v is not None})
    if isinstance(value, Archive):
        parts = {"hash": value.hash, "path": value.path, "uri": value.uri, "assets": value.assets}
        return _signed(_ARCHIVE, {k: v for k, v in parts.items() if v is not None})
    if isinstance(value, Mapping):
        return Value(struct_value=to_struct({str(k): v for k, v in value.items()}))
    if isinstance(value, Iterable):
        items = ListValue(values=[_to_value(item) for item in value])
        return Value(list_value=items)
    raise TypeError(f"{type(value).__name__} is no property value")


def _signed(signature: str, fields: dict[str, Any]) -> Any:
    return Value(struct_value=to_struct({_SIGNATURE: signature, **fields}))


def plain(value: Any) -> Any:
    """`value` without its Secret wrappers, at every depth; unknowns and assets stay."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def has_secret(value: Any) -> bool:
    """Whether `value` is a secret or holds one."""
    if isinstance(value, dict):
        return any(has_secret(item) for item in value.values())
    if isinstance(value, list):
        return any(has_secret(item) for item in value)
    return isinstance(value, Secret)


def has_unknown(value: Any) -> bool:
    """Whether `value` is unknown or holds something unknown."""
    if isinstance(value, Secret):
        return has_unknown(value.value)
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return value is UNKNOWN


def carry_secrets(value: Any, marked: Any) -> Any:
    """`value` with the secrets of `marked`, a value of the same property that still has its marks.

    Objects are followed key by key, so that one secret does not hide its neighbours. A list or a
    scalar that changed becomes a secret as a whole, since the secret may have moved within it.
    """
    if isinstance(value, Secret) or not has_secret(marked):
        return value
    if plain(value) == plain(marked):
        return marked
    if isinstance(value, dict) and isinstance(marked, dict):
        return {k: carry_secrets(v, marked[k]) if k in marked else v for k, v in value.items()}
    return Secret(value)
