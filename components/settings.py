"""The stack's settings: typed, with defaults; a bad value is one clear error that names its key.

Each dataclass below is one object of the project's configuration (`tinderbox:nodes` and so on),
each field one key in it, spelled in camelCase there. Nothing here talks to a cloud:
`Settings.load` fails before the first resource is registered.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime import config as runtime_config

from submission.place import MASTERS, SHARED_PATH

PROJECT = "tinderbox"

# AWS takes VPCs of /16 to /28; below /24 a cluster that grows runs out of addresses.
_LARGEST_VPC, _SMALLEST_VPC = 16, 24
# kubeadm takes no others.
_LARGEST_PODS, _SMALLEST_PODS = 8, 22
_LARGEST_SERVICES, _SMALLEST_SERVICES = 12, 28
# More would be no summary, and the rest of a program has them as one line.
_MOST_TOP = 1000
_TAKEN_NAMESPACES = ("default", "spark", "opex")
_DOCUMENTATION = [
    ipaddress.IPv4Network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
]


# What is found there must be in no message, whatever is wrong with it.
_SECRETS = (
    "aws.accessKey",
    "aws.secretKey",
    "cluster.kubeconfig",
    "s3.accessKey",
    "s3.secretKey",
)


class SettingsError(pulumi.RunError):
    """A setting is wrong. Pulumi prints it as one line, without a traceback."""

    def __init__(self, key: str, found: object, wanted: str) -> None:
        shown = "not right" if key in _SECRETS else repr(found)
        super().__init__(f"{PROJECT}:{key} is {shown}; it must be {wanted}")


def _named(key: str) -> Any:
    """A field whose key is not its own name in camelCase."""
    return {"key": key}


@dataclass(frozen=True)
class AwsSettings:
    """`aws`: where the AWS API is. Without `access_key` the environment's credentials count."""

    region: str | None = None
    endpoint: str | None = None
    access_key: str | None = None
    secret_key: str | None = None

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            _require_url("aws.endpoint", self.endpoint)


@dataclass(frozen=True)
class NetworkSettings:
    """`network`: the VPC's range, and who may reach SSH and the Kubernetes API from outside."""

    cidr: str = "10.42.0.0/16"
    operator_cidr: str | None = None

    def __post_init__(self) -> None:
        vpc = _require_cidr("network.cidr", self.cidr)
        if not _LARGEST_VPC <= vpc.prefixlen <= _SMALLEST_VPC:
            raise SettingsError(
                "network.cidr", self.cidr, f"a range from /{_LARGEST_VPC} to /{_SMALLEST_VPC}"
            )
        if self.operator_cidr is not None:
            _require_cidr("network.operatorCidr", self.operator_cidr)

    @property
    def operator_is_a_placeholder(self) -> bool:
        """True for an address that is reserved for documentation, as Pulumi.dev.yaml ships one."""
        if self.operator_cidr is None:
            return False
        operator = ipaddress.IPv4Network(self.operator_cidr)
        return any(operator.subnet_of(reserved) for reserved in _DOCUMENTATION)


@dataclass(frozen=True)
class NodesSettings:
    """`nodes`: the first node is the control plane; with a count of 1 it takes work too."""

    count: int = 3
    type: str = "t3.medium"
    disk_gib: int = field(default=20, metadata=_named("diskGiB"))
    spot: bool = False
    price: float | None = None  # USD an hour for one node

    def __post_init__(self) -> None:
        _require_at_least("nodes.count", self.count, 1)
        _require_at_least("nodes.diskGiB", self.disk_gib, 10)
        if self.price is not None and not 0 < self.price < math.inf:
            raise SettingsError("nodes.price", self.price, "the USD an hour of one node, above 0")


@dataclass(frozen=True)
class ClusterSettings:
    """`cluster`: what kubeadm makes; or, with `kubeconfig`, the cluster that is used as it is."""

    version: str = "1.36.4"
    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/12"
    kubeconfig: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d+\.\d+\.\d+", self.version):
            raise SettingsError("cluster.version", self.version, "a release such as 1.36.4")
        pods = _require_cidr("cluster.podCidr", self.pod_cidr)
        if not _LARGEST_PODS <= pods.prefixlen <= _SMALLEST_PODS:
            raise SettingsError(
                "cluster.podCidr",
                self.pod_cidr,
                f"a range from /{_LARGEST_PODS} to /{_SMALLEST_PODS} (each node takes a /24)",
            )
        services = _require_cidr("cluster.serviceCidr", self.service_cidr)
        if not _LARGEST_SERVICES <= services.prefixlen <= _SMALLEST_SERVICES:
            raise SettingsError(
                "cluster.serviceCidr",
                self.service_cidr,
                f"a range from /{_LARGEST_SERVICES} to /{_SMALLEST_SERVICES}",
            )
        if self.kubeconfig is not None and not _is_kubeconfig(self.kubeconfig):
            raise SettingsError(
                "cluster.kubeconfig", self.kubeconfig, "a kubeconfig file's content"
            )


@dataclass(frozen=True)
class StorageSettings:
    """`storage`: the shared volume. `storage_class` is for a cluster that exists."""

    size_gib: int = field(default=10, metadata=_named("sizeGiB"))
    storage_class: str | None = None

    def __post_init__(self) -> None:
        _require_at_least("storage.sizeGiB", self.size_gib, 1)


@dataclass(frozen=True)
class MirrorSettings:
    """`mirror`: URLs in place of the upstream hosts, for networks without internet access."""

    packages: str | None = None
    registry: str | None = None
    charts: str | None = None

    def __post_init__(self) -> None:
        for key in ("packages", "registry", "charts"):
            if getattr(self, key) is not None:
                _require_url(f"mirror.{key}", getattr(self, key))


@dataclass(frozen=True)
class SparkSettings:
    """`spark`: the standalone cluster. Without `workers` there is one for each worker node.

    jars: a folder here; each application's driver and executors have its jars on their class path.
    history: the history server. history_days: how long it keeps event logs.
    """

    image: str = "docker.io/apache/spark:4.2.0-python3"
    jars: str | None = None
    workers: int | None = None
    worker_cores: int = 2
    worker_memory_mib: int = field(default=1024, metadata=_named("workerMemoryMiB"))
    history: bool = True
    history_days: int = 14

    def __post_init__(self) -> None:
        if self.workers is not None:
            _require_at_least("spark.workers", self.workers, 1)
        _require_at_least("spark.workerCores", self.worker_cores, 1)
        _require_at_least("spark.historyDays", self.history_days, 1)
        # Spark itself refuses an executor of less than 450 MiB.
        _require_at_least("spark.workerMemoryMiB", self.worker_memory_mib, 512)
        if ":" not in self.image.rsplit("/", 1)[-1]:
            raise SettingsError("spark.image", self.image, "an image with a tag")
        if self.jars is not None and not _has_jars(self.jars):
            raise SettingsError("spark.jars", self.jars, "a folder here with .jar files in it")

    @property
    def is_image_default(self) -> bool:
        """True for the official image; what another one holds is not known here."""
        return self.image == SparkSettings.image


@dataclass(frozen=True)
class S3Settings:
    """`s3`: the object store behind s3a://, for every application.

    endpoint: only where it is not AWS's own. access_key, secret_key: pods have no other way to
    credentials (nodes' metadata answers no pod).
    """

    region: str | None = None
    endpoint: str | None = None
    access_key: str | None = None
    secret_key: str | None = None

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            _require_url("s3.endpoint", self.endpoint)
        if (self.access_key is None) != (self.secret_key is None):
            key = "s3.accessKey" if self.access_key is None else "s3.secretKey"
            raise SettingsError(key, None, "set, since the other half of the key is")
        if self.region is None and self.is_set:
            raise SettingsError("s3.region", None, "set, such as eu-central-1")

    @property
    def is_set(self) -> bool:
        """True when anything of it is set, so when applications are to have it."""
        return any(vars(self).values())


@dataclass(frozen=True)
class WordCountSettings:
    """`wordCount`: the text, where it is counted, and the options of spark_jobs/wordcount.py.

    output: a folder in S3 for the counts; without it they are on the shared volume.
    master: "standalone", the workers of the stack; or "kubernetes", executors of its own.
    """

    input: str = "README.md"
    output: str | None = None
    master: str = "standalone"
    lowercase: bool = False
    pattern: str | None = None
    top: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.top <= _MOST_TOP:
            raise SettingsError("wordCount.top", self.top, f"from 1 to {_MOST_TOP}")
        if self.master not in MASTERS:
            raise SettingsError("wordCount.master", self.master, " or ".join(MASTERS))
        if not self.is_input_there and not _exists(self.input):
            raise SettingsError(
                "wordCount.input",
                self.input,
                f"a file or a folder here, a path below {SHARED_PATH} on the volume, or"
                " s3a://BUCKET/KEY",
            )
        # It goes through a shell, too.
        plain = r"s3a://[a-z0-9][-\w.+=@:/]*[-\w.+=@]"
        if self.output is not None and not re.fullmatch(plain, self.output, re.ASCII):
            raise SettingsError("wordCount.output", self.output, "s3a://BUCKET/FOLDER, or not set")

    @property
    def is_input_there(self) -> bool:
        """True when the text need not be brought: it is on the shared volume, or in S3."""
        return self.input.startswith(SHARED_PATH + "/") or _is_s3(self.input)

    @property
    def uses_s3(self) -> bool:
        """True when the text or the counts are in S3."""
        return _is_s3(self.input) or self.output is not None


OPEX_ENGINES = ("kube-opex-analytics", "kube-resource-report")
_COST_MODELS = ("CHARGE_BACK", "CUMULATIVE_RATIO", "RATIO")


@dataclass(frozen=True)
class OpexSettings:
    """`opex`: cost analytics. Without an engine there are none.

    chart: a folder, an archive's URL or oci://, with the values of charts/opex. image: instead of
    the engine's own. cost_model: of kube-opex-analytics; only CHARGE_BACK is about money.
    """

    engine: str | None = None
    chart: str = "./charts/opex"
    image: str | None = None
    cost_model: str = "CHARGE_BACK"

    def __post_init__(self) -> None:
        if self.engine is None:
            return
        if self.engine not in OPEX_ENGINES:
            raise SettingsError("opex.engine", self.engine, f"one of {', '.join(OPEX_ENGINES)}")
        if self.cost_model not in _COST_MODELS:
            raise SettingsError(
                "opex.costModel", self.cost_model, f"one of {', '.join(_COST_MODELS)}"
            )
        remote = self.chart.startswith(("oci://", "https://", "http://"))
        if not remote and not _exists(f"{self.chart}/Chart.yaml"):
            wanted = "a folder with a Helm chart, or the URL of one (oci://, https://)"
            raise SettingsError("opex.chart", self.chart, wanted)
        if self.image is not None and ":" not in self.image.rsplit("/", 1)[-1]:
            raise SettingsError("opex.image", self.image, "an image with a tag")

    @property
    def needs_price(self) -> bool:
        """Whether the engine counts with `nodes.price`."""
        if self.engine == "kube-opex-analytics":
            return self.cost_model == "CHARGE_BACK"
        return self.engine is not None


@dataclass(frozen=True)
class NamespaceSettings:
    """`namespaces.NAME`: a namespace for applications, and what its pods may request together."""

    cpu: float = 2.0
    memory_mib: int = field(default=4096, metadata=_named("memoryMiB"))
    pods: int = 10


@dataclass(frozen=True)
class Settings:
    """All settings of a stack, checked one by one and against each other."""

    aws: AwsSettings = field(default_factory=AwsSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    nodes: NodesSettings = field(default_factory=NodesSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    mirror: MirrorSettings = field(default_factory=MirrorSettings)
    spark: SparkSettings = field(default_factory=SparkSettings)
    s3: S3Settings = field(default_factory=S3Settings)
    word_count: WordCountSettings = field(default_factory=WordCountSettings)
    opex: OpexSettings = field(default_factory=OpexSettings)
    namespaces: Mapping[str, NamespaceSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_namespaces(self.namespaces)
        if self.opex.needs_price and self.nodes.price is None:
            wanted = f"the USD an hour of one node, above 0: {self.opex.engine} counts with it"
            raise SettingsError("nodes.price", self.nodes.price, wanted)
        _require_s3(self)
        if self.cluster.kubeconfig is not None:
            return  # no network and no nodes are made, so none have to be right
        for key, value in (
            ("aws.region", self.aws.region),
            ("network.operatorCidr", self.network.operator_cidr),
        ):
            if value is None:
                raise SettingsError(key, value, f"set: pulumi config set --path {key} VALUE")
        ranges = {
            "network.cidr": self.network.cidr,
            "cluster.podCidr": self.cluster.pod_cidr,
            "cluster.serviceCidr": self.cluster.service_cidr,
        }
        _require_disjoint(ranges)
        _require_room(self)

    @classmethod
    def load(cls) -> Settings:
        """The settings of the stack that runs. Raises `SettingsError` for the first bad one."""
        settings = cls.parse(_project_config())
        _refuse_placeholder(settings)
        return settings

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Settings:
        """Settings from the project's configuration: {object: {key: value}}, as JSON has them."""
        sections = {_key(item): item for item in dataclasses.fields(cls)}
        _refuse_unknown("", config, sections)
        types_ = typing.get_type_hints(cls)
        return cls(
            **{
                item.name: _sections(key, types_[item.name], config[key])
                for key, item in sections.items()
                if key in config
            }
        )


def _sections(name: str, kind: Any, values: object) -> Any:
    """One dataclass; or one for each name, where the field's type is a mapping to them."""
    if typing.get_origin(kind) is not Mapping:
        return _section(name, kind, values)
    _, each = typing.get_args(kind)
    named = _object(name, values)
    return {key: _section(f"{name}.{key}", each, value) for key, value in named.items()}


def _section(name: str, kind: Any, values: object) -> Any:
    """One dataclass from one configuration object; `name` is the object's key."""
    found = _object(name, values)
    fields = {_key(item): item for item in dataclasses.fields(kind)}
    _refuse_unknown(f"{name}.", found, fields)
    types_ = typing.get_type_hints(kind)
    return kind(
        **{
            fields[key].name: _typed(f"{name}.{key}", types_[fields[key].name], value)
            for key, value in found.items()
        }
    )


def _object(name: str, values: object) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        # Not the value: there may be a secret in it.
        found = type(values).__name__
        raise SettingsError(name, found, f"an object: pulumi config set --path {name}.KEY VALUE")
    return values


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _typed(key: str, kind: Any, value: object) -> object:
    """The value if it is of the field's type (a whole number also where a number is asked)."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    wanted = next(option for option in options if option is not type(None))
    if value is None and type(None) in options:
        return None
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # bool is an int to Python, not to a person.
    if isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool):
        if wanted is str and not value:
            raise SettingsError(key, value, "a text that is not empty")
        return value
    raise SettingsError(key, value, _WORDS[wanted])


def _key(item: dataclasses.Field[Any]) -> str:
    first, *rest = item.name.split("_")
    return item.metadata.get("key") or first + "".join(part.capitalize() for part in rest)


def _refuse_unknown(prefix: str, found: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key in found:
        if key not in known:
            raise pulumi.RunError(
                f"{PROJECT}:{prefix}{key} is not a setting; "
                f"known here: {', '.join(prefix + name for name in sorted(known))}"
                + (" (it was set without --path)" if key.partition(".")[0] in known else "")
            )


def _require_at_least(key: str, value: int, least: int) -> None:
    if value < least:
        raise SettingsError(key, value, f"a whole number of at least {least}")


def _require_cidr(key: str, value: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(value)
    except ValueError as error:
        raise SettingsError(key, value, f"an IPv4 range such as 10.42.0.0/16 ({error})") from None


def _is_kubeconfig(text: str) -> bool:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return isinstance(document, dict) and bool(document.get("clusters"))


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False  # too long, or otherwise no path at all


def _has_jars(path: str) -> bool:
    return _exists(path) and any(Path(path).glob("*.jar"))


def _is_s3(path: str) -> bool:
    return re.match(r"s3a://[a-z0-9]", path) is not None


def _require_url(key: str, value: str) -> None:
    if not re.fullmatch(r"https?://[^/\s]+\S*", value):
        raise SettingsError(key, value, "an http or https URL")


def _require_disjoint(ranges: Mapping[str, str]) -> None:
    """No two of the ranges share an address: a packet could not tell where it belongs."""
    items = list(ranges.items())
    for index, (key, value) in enumerate(items):
        for other_key, other in items[index + 1 :]:
            if ipaddress.IPv4Network(value).overlaps(ipaddress.IPv4Network(other)):
                raise SettingsError(key, value, f"apart from {PROJECT}:{other_key} ({other})")


def _require_namespaces(namespaces: Mapping[str, NamespaceSettings]) -> None:
    """Names that Kubernetes takes, and that are not the stack's or the cluster's already."""
    for name, quota in namespaces.items():
        key = f"namespaces.{name}"
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", name):
            raise SettingsError("namespaces", name, "names of up to 40 of a-z, 0-9 and -")
        if name in _TAKEN_NAMESPACES or name.startswith("kube-"):
            raise SettingsError("namespaces", name, "names that are not taken")
        if not quota.cpu > 0:
            raise SettingsError(f"{key}.cpu", quota.cpu, "a number of cores above 0")
        _require_at_least(f"{key}.memoryMiB", quota.memory_mib, 512)
        _require_at_least(f"{key}.pods", quota.pods, 2)  # a driver and an executor


def _require_room(settings: Settings) -> None:
    """Every node finds a range for its pods (a /24)."""
    pods, count = settings.cluster.pod_cidr, settings.nodes.count
    room = 2 ** (24 - ipaddress.IPv4Network(pods).prefixlen)
    if count > room:
        raise SettingsError(
            "nodes.count", count, f"at most {room}: {PROJECT}:cluster.podCidr ({pods}) has no more"
        )


def _require_s3(settings: Settings) -> None:
    """Who uses S3 has said where it is, and has the jars for it in the pods."""
    spark, s3 = settings.spark, settings.s3
    if settings.word_count.uses_s3 and not s3.is_set:
        raise SettingsError("s3.region", None, "set, since wordCount names s3a://")
    if s3.is_set and spark.jars is None and spark.is_image_default:
        wanted = "a folder with the jars for s3a:// (make jars), or spark.image one that has them"
        raise SettingsError("spark.jars", None, wanted)
    if spark.jars is not None and settings.cluster.kubeconfig is not None:
        wanted = "empty where the cluster is not the stack's own: use an image that has the jars"
        raise SettingsError("spark.jars", spark.jars, wanted)


def _refuse_placeholder(settings: Settings) -> None:
    """A preview may show the shipped placeholder's plan; nothing may be created with it."""
    if settings.cluster.kubeconfig is not None or not settings.network.operator_is_a_placeholder:
        return
    error = SettingsError(
        "network.operatorCidr",
        settings.network.operator_cidr,
        "your own address: pulumi config set --path network.operatorCidr ADDRESS/32",
    )
    if not pulumi.runtime.is_dry_run():
        raise error
    pulumi.log.warn(str(error))


def _project_config() -> dict[str, Any]:
    """The project's whole configuration, {object: {key: value}}, also keys that nobody asks for.

    Pulumi's Config answers for one key at a time, which lets a misspelt one pass unseen.
    """
    prefix = f"{PROJECT}:"
    known = {**runtime_config.get_config_env(), **runtime_config.CONFIG.get()}
    return {
        key.removeprefix(prefix): _from_json(text)
        for key, text in known.items()
        if key.startswith(prefix)
    }


def _from_json(text: str) -> object:
    """Objects come as JSON; what is no JSON is a text, which no setting of that name is."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
