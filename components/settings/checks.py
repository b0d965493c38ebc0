"""What one setting asks of another, and of the files that it names."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from components.settings.errors import PROJECT, SettingsError
from components.settings.groups import Groups
from components.settings.node_plan import node_plans
from components.settings.pod_ranges import require_pod_ranges
from submission.place import SHARED_PATH

_RANGES = ("network.cidr", "cluster.podCidr", "cluster.serviceCidr")


@dataclass(frozen=True, init=False)
class Check:
    """require: raises SettingsError. keys: those that it looks at."""

    require: Callable[[Groups], None]
    keys: tuple[str, ...]

    def __init__(self, require: Callable[[Groups], None], *keys: str) -> None:
        object.__setattr__(self, "require", require)
        object.__setattr__(self, "keys", keys)


def faults(
    settings: Groups, checks: Iterable[Check], wrong: Collection[str]
) -> Iterator[SettingsError]:
    """What the checks find, but for what follows from keys or groups that are wrong already."""
    wrong = set(wrong)
    for check in checks:
        if any(_touch(key, one) for key in check.keys for one in wrong):
            continue
        try:
            check.require(settings)
        except SettingsError as error:
            wrong.add(error.key)
            yield error


def _touch(key: str, other: str) -> bool:
    """Whether the two are one, or one is in the other."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def _require_whole_aws_key(settings: Groups) -> None:
    _require_both("aws", settings.aws.access_key, settings.aws.secret_key)


def _require_whole_s3_key(settings: Groups) -> None:
    _require_both("s3", settings.s3.access_key, settings.s3.secret_key)


def _require_both(group: str, access_key: str | None, secret_key: str | None) -> None:
    if (access_key is None) != (secret_key is None):
        key = f"{group}.accessKey" if access_key is None else f"{group}.secretKey"
        raise SettingsError(key, None, "set, since the other half of the key is")


def _require_price(settings: Groups) -> None:
    if not settings.opex.needs_price:
        return
    unknown = next((plan for plan in node_plans(settings) if plan.price is None), None)
    if unknown is not None:
        wanted = f"the USD an hour of one node, above 0: {settings.opex.engine} counts with it"
        raise SettingsError(f"{unknown.key}.price", None, wanted)


def _require_growth(settings: Groups) -> None:
    for key, group in (
        ("nodes", settings.nodes),
        *((f"workers.{name}", group) for name, group in settings.workers.items()),
    ):
        if group.grow_to is not None and group.grow_to < group.count:
            wanted = f"at least {key}.count, {group.count}"
            raise SettingsError(f"{key}.growTo", group.grow_to, wanted)


def _require_chart(settings: Groups) -> None:
    chart = settings.opex.chart
    remote = re.fullmatch(r"(oci|https?)://[!-~]+", chart)
    is_used = settings.opex.engine is not None or "chart" in settings.opex.model_fields_set
    if is_used and not remote and not _exists(f"{chart}/Chart.yaml"):
        wanted = "a folder with a Helm chart, or the URL of one (oci://, https://)"
        raise SettingsError("opex.chart", chart, wanted)


def _require_input(settings: Groups) -> None:
    words = settings.word_count
    if not words.is_input_there and not _exists(words.input):
        raise SettingsError(
            "wordCount.input",
            words.input,
            f"a file or a folder here, a path below {SHARED_PATH} on the volume, or"
            " s3a://BUCKET/KEY",
        )


def _require_s3_region(settings: Groups) -> None:
    s3 = settings.s3
    if s3.region is None and s3.is_set:
        raise SettingsError("s3.region", None, "set, such as eu-central-1")
    if settings.word_count.uses_s3 and not s3.is_set:
        raise SettingsError("s3.region", None, "set, since wordCount names s3a://")


def _require_s3_jars(settings: Groups) -> None:
    spark = settings.spark
    if settings.s3.is_set and spark.jars is None and spark.is_image_default:
        wanted = "a folder with the jars for s3a:// (make jars), or spark.image one that has them"
        raise SettingsError("spark.jars", None, wanted)


def _require_jars(settings: Groups) -> None:
    jars = settings.spark.jars
    if jars is not None and not (_exists(jars) and any(Path(jars).glob("*.jar"))):
        raise SettingsError("spark.jars", jars, "a folder here with .jar files in it")


def _require_no_jars(settings: Groups) -> None:
    if settings.spark.jars is not None and settings.cluster.kubeconfig is not None:
        wanted = "empty where the cluster is not the stack's own: use an image that has the jars"
        raise SettingsError("spark.jars", settings.spark.jars, wanted)


def _require_connect(settings: Groups) -> None:
    """Of images that are not Spark's own, the pod itself says it."""
    spark = settings.spark
    if spark.connect and re.search(r"(^|/)apache/spark:[0-3]\.", spark.image):
        wanted = "false with this spark.image: Spark 4 is the first that has Spark Connect"
        raise SettingsError("spark.connect", spark.connect, wanted)


def _require_enough_nodes(settings: Groups) -> None:
    nodes = settings.nodes
    if nodes.count < nodes.control_planes:
        wanted = f"at least {nodes.control_planes}, since nodes.controlPlanes are among them"
        raise SettingsError("nodes.count", nodes.count, wanted)


def _require_region(settings: Groups) -> None:
    _require_set("aws.region", settings.aws.region)


def _require_operator(settings: Groups) -> None:
    _require_set("network.operatorCidr", settings.network.operator_cidr)


def _require_set(key: str, value: str | None) -> None:
    if value is None:
        raise SettingsError(key, value, f"set: pulumi config set --path {key} VALUE")


def _require_disjoint(key: str, other_key: str, settings: Groups) -> None:
    """The two ranges share no address: a packet could not tell where it belongs."""
    ranges = {
        "network.cidr": settings.network.cidr,
        "cluster.podCidr": settings.cluster.pod_cidr,
        "cluster.serviceCidr": settings.cluster.service_cidr,
    }
    value, other = ranges[key], ranges[other_key]
    if ipaddress.IPv4Network(value).overlaps(ipaddress.IPv4Network(other)):
        raise SettingsError(key, value, f"apart from {PROJECT}:{other_key} ({other})")


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False  # too long, or otherwise no path at all


def _of_own_cluster(require: Callable[[Groups], None], *keys: str) -> Check:
    """With a cluster that exists no network and no nodes are made, so none have to be right."""

    def unless_it_exists(settings: Groups) -> None:
        if settings.cluster.kubeconfig is None:
            require(settings)

    return Check(unless_it_exists, *keys, "cluster.kubeconfig")


ACROSS = (
    Check(_require_whole_aws_key, "aws.accessKey", "aws.secretKey"),
    Check(_require_whole_s3_key, "s3.accessKey", "s3.secretKey"),
    Check(_require_price, "nodes.price", "workers", "opex.engine", "opex.costModel"),
    Check(_require_growth, "nodes", "workers"),
    Check(_require_chart, "opex.chart", "opex.engine"),
    Check(_require_input, "wordCount.input"),
    Check(_require_s3_region, "s3", "wordCount.input", "wordCount.output"),
    Check(_require_s3_jars, "s3", "spark.jars", "spark.image"),
    Check(_require_jars, "spark.jars"),
    Check(_require_no_jars, "spark.jars", "cluster.kubeconfig"),
    Check(_require_connect, "spark.connect", "spark.image"),
    _of_own_cluster(_require_region, "aws.region"),
    _of_own_cluster(_require_operator, "network.operatorCidr"),
    _of_own_cluster(_require_enough_nodes, "nodes.count", "nodes.controlPlanes"),
    *(
        _of_own_cluster(partial(_require_disjoint, *pair), *pair)
        for pair in itertools.combinations(_RANGES, 2)
    ),
    _of_own_cluster(require_pod_ranges, "nodes.count", "workers", "cluster.podCidr"),
)
