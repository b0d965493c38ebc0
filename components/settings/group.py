"""What all groups of settings have in common: keys in camelCase, no others, nothing changes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

_UNITS = {"gib": "GiB", "mib": "MiB"}


def key_of(field: str) -> str:
    """The key of a field: disk_gib is diskGiB."""
    first, *rest = field.split("_")
    return first + "".join(_UNITS.get(part, part.capitalize()) for part in rest)


def empty_if_null(values: Any) -> Any:
    """In YAML an object whose keys are all commented out is null, and an empty text to Pulumi."""
    return {} if values is None or values == "" else values


class Group(BaseModel):
    """One object of the project's configuration; each field is one key in it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=key_of,
        validate_by_name=True,
        hide_input_in_errors=True,  # there may be a secret in it
    )

    @model_validator(mode="before")
    @classmethod
    def _of_null(cls, values: Any) -> Any:
        return empty_if_null(values)
