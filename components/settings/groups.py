"""All groups together: what a stack's settings are made of."""

from __future__ import annotations

import functools
import itertools
import typing
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

from components.settings.aws import (
    AwsSettings,
    MirrorSettings,
    NetworkSettings,
    NodesSettings,
)
from components.settings.cluster import ClusterSettings, NamespaceSettings, StorageSettings
from components.settings.group import Group, empty_if_null, key_of
from components.settings.kinds import Kind, Unfit, text
from components.settings.opex import OpexSettings
from components.settings.spark import S3Settings, SparkSettings, WordCountSettings

_TAKEN_NAMESPACES = ("default", "spark", "opex")
_NAME = text("names of up to 40 of a-z, 0-9 and -", r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")


def _take_name(value: object) -> str:
    """A name that Kubernetes takes, and that is not the stack's or the cluster's already."""
    name = _NAME.take(value)
    if name != value:
        raise Unfit(_NAME.words)
    if name in _TAKEN_NAMESPACES or name.startswith("kube-"):
        raise Unfit("names that are not taken")
    return name


class Groups(Group):
    """Every setting, each checked by itself."""

    aws: AwsSettings = Field(default_factory=AwsSettings)
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    nodes: NodesSettings = Field(default_factory=NodesSettings)
    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    mirror: MirrorSettings = Field(default_factory=MirrorSettings)
    spark: SparkSettings = Field(default_factory=SparkSettings)
    s3: S3Settings = Field(default_factory=S3Settings)
    word_count: WordCountSettings = Field(default_factory=WordCountSettings)
    opex: OpexSettings = Field(default_factory=OpexSettings)
    namespaces: Annotated[
        Mapping[Annotated[str, Kind(_NAME.words, _take_name)], NamespaceSettings],
        BeforeValidator(empty_if_null),
    ] = Field(default_factory=dict)


def kind_of(field: FieldInfo) -> Kind:
    """What a key takes, whether it may be left out or not."""
    optional = [getattr(part, "__metadata__", ()) for part in typing.get_args(field.annotation)]
    found = [*field.metadata, *itertools.chain.from_iterable(optional)]
    return next(part for part in found if isinstance(part, Kind))


def group_of(field: FieldInfo) -> type[Group]:
    """The model of an object; of one that has names of the user's choice, that of each name."""
    of_each = typing.get_args(field.annotation)
    return of_each[-1] if of_each else typing.cast(type[Group], field.annotation)


@functools.cache
def keys() -> Mapping[str, FieldInfo]:
    """Every key, such as nodes.count; namespaces have names of the user's choice before theirs."""
    found = {}
    for name, field in Groups.model_fields.items():
        named = ".NAME" if typing.get_args(field.annotation) else ""
        prefix = f"{key_of(name)}{named}"
        for inner, key in group_of(field).model_fields.items():
            found[f"{prefix}.{key_of(inner)}"] = key
    return found
