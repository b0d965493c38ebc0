"""All groups together: what a stack's settings are made of."""

from __future__ import annotations

import functools
import itertools
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

from components.settings.applications import ApplicationSettings
from components.settings.aws import (
    AwsSettings,
    MirrorSettings,
    NetworkSettings,
    NodesSettings,
    WorkersSettings,
)
from components.settings.cluster import ClusterSettings, NamespaceSettings, StorageSettings
from components.settings.group import Group, empty_if_null, key_of
from components.settings.kinds import Kind, Unfit, text
from components.settings.opex import OpexSettings
from components.settings.spark import S3Settings, SparkSettings, WordCountSettings

_TAKEN_NAMESPACES = ("default", "spark", "opex")


def _names(longest: int, is_taken: Callable[[str], bool]) -> Kind:
    """Names of the user's choice that Kubernetes takes, and that nothing else has already."""
    words = f"names of up to {longest} of a-z, 0-9 and -, with a letter first"
    shape = text(words, rf"[a-z]([a-z0-9-]{{0,{longest - 2}}}[a-z0-9])?")

    def take(value: object) -> str:
        name = shape.take(value)
        if name != value:
            raise Unfit(words)
        if is_taken(name):
            raise Unfit("names that are not taken")
        return name

    return Kind(words, take)


_NAMESPACE = _names(40, lambda name: name in _TAKEN_NAMESPACES or name.startswith("kube-"))
# By the name an application is found, as are what the chart makes and the word count. What Spark
# makes pods from adds 15 to it, of the 47 that it takes.
_APPLICATION = _names(32, lambda name: name == "wordcount" or f"{name}-".startswith("spark-"))
# What a node is called begins with it.
_WORKERS = _names(32, lambda name: name in ("nodes", "worker", "control-plane"))


class Groups(Group):
    """Every setting, each checked by itself."""

    aws: AwsSettings = Field(default_factory=AwsSettings)
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    nodes: NodesSettings = Field(default_factory=NodesSettings)
    workers: Annotated[
        Mapping[Annotated[str, _WORKERS], WorkersSettings],
        BeforeValidator(empty_if_null),
    ] = Field(default_factory=dict)
    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    mirror: MirrorSettings = Field(default_factory=MirrorSettings)
    spark: SparkSettings = Field(default_factory=SparkSettings)
    s3: S3Settings = Field(default_factory=S3Settings)
    word_count: WordCountSettings = Field(default_factory=WordCountSettings)
    opex: OpexSettings = Field(default_factory=OpexSettings)
    namespaces: Annotated[
        Mapping[Annotated[str, _NAMESPACE], NamespaceSettings],
        BeforeValidator(empty_if_null),
    ] = Field(default_factory=dict)
    applications: Annotated[
        Mapping[Annotated[str, _APPLICATION], ApplicationSettings],
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
def named() -> frozenset[str]:
    """The objects that have names of the user's choice before their keys."""
    return frozenset(
        key_of(name)
        for name, field in Groups.model_fields.items()
        if typing.get_args(field.annotation)
    )


@functools.cache
def keys() -> Mapping[str, FieldInfo]:
    """Every key, such as nodes.count, namespaces.NAME.cpu, applications.NAME.driver.cores."""
    found: dict[str, FieldInfo] = {}
    for name, field in Groups.model_fields.items():
        group = key_of(name)
        found |= _keys_of(f"{group}.NAME" if group in named() else group, group_of(field))
    return found


def _keys_of(prefix: str, group: type[Group]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in group.model_fields.items():
        key, inner = f"{prefix}.{key_of(name)}", field.annotation
        if isinstance(inner, type) and issubclass(inner, Group):
            yield from _keys_of(key, inner)
        else:
            yield key, field
