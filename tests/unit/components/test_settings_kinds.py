"""What each kind of setting takes, makes right, or refuses with what would be right."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.settings import Settings, SettingsError
from components.settings.errors import SECRETS
from components.settings.groups import keys, kind_of
from tests.unit.plan import EXISTING, MINIMAL, ROOT

HEX = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    """Where Pulumi runs the program."""
    monkeypatch.chdir(ROOT)


def config_of(key: str, value: object) -> dict[str, Any]:
    """MINIMAL with this key as well; NAME is a namespace, or an application."""
    config: dict[str, Any] = {group: dict(values) for group, values in MINIMAL.items()}
    if key.startswith("applications."):
        config["applications"] = {"team": {"app": "spark_jobs/pi.py"}}
    *above, last = key.replace("NAME", "team").split(".")
    place = config
    for part in above:
        place = place.setdefault(part, {})
    place[last] = value
    return config


def taken(key: str, value: object) -> object:
    """What the program has for the value."""
    found: Any = Settings.parse(config_of(key, value))
    for part in key.split("."):
        found = getattr(found, re.sub(r"(?<=[a-z])([A-Z][a-zA-Z]*)", r"_\1", part).lower())
    return found


def refused(key: str, value: object) -> str:
    """The line with which the value is refused; no other is said."""
    with pytest.raises(SettingsError) as caught:
        Settings.parse(config_of(key, value))
    (line,) = str(caught.value).split("\n")
    assert line.startswith(f"tinderbox:{key.replace('NAME', 'team')} is ")
    return line


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("nodes.price", "0.048", 0.048),
        ("nodes.price", "1e-1", 0.1),
        ("nodes.price", 1, 1.0),
        ("nodes.count", "5", 5),
        ("nodes.count", " 5\r\n", 5),
        ("nodes.count", "\ufeff5", 5),
        ("nodes.spot", "true", True),
        ("nodes.spot", "False", False),
        ("nodes.type", "t3.large\r", "t3.large"),
        ("aws.region", "\ufeffeu-west-1 ", "eu-west-1"),
        ("network.operatorCidr", "10.0.0.1/32\r\n", "10.0.0.1/32"),
        ("network.operatorCidr", "0.0.0.0/0", "0.0.0.0/0"),
        ("cluster.version", "1.34.0\n", "1.34.0"),
        ("cluster.version", "1.37.12", "1.37.12"),
        ("wordCount.input", "\ufeffREADME.md\r\n", "README.md"),
        ("wordCount.pattern", " ", " "),
        ("wordCount.pattern", "\\w+\r\n", "\\w+"),
        ("spark.image", f"apache/spark@sha256:{HEX}", f"apache/spark@sha256:{HEX}"),
        ("spark.image", f"h:5000/a/s:4.2@sha256:{HEX}", f"h:5000/a/s:4.2@sha256:{HEX}"),
        ("opex.image", "[::1]:5000/a__b/c-d:V1", "[::1]:5000/a__b/c-d:V1"),
        ("opex.engine", "none", None),
        ("mirror.packages", "http://10.43.0.1:8080/x", "http://10.43.0.1:8080/x"),
    ],
)
def test_a_value_that_is_taken_or_made_right(key, value, right):
    assert taken(key, value) == right


@pytest.mark.parametrize("value", ["0.5", 0.5, "5e-1"])
def test_a_namespaces_cpu_may_be_a_text(value):
    assert Settings.parse(config_of("namespaces.NAME.cpu", value)).namespaces["team"].cpu == 0.5


def test_a_kubeconfig_as_another_system_writes_it():
    text = EXISTING["cluster"]["kubeconfig"]
    found = Settings.parse({"cluster": {"kubeconfig": "\ufeff" + text.replace("\n", "\r\n")}})
    assert found.cluster.kubeconfig == text


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("network.operatorCidr", "1.2.3.4", "did you mean 1.2.3.4/32?"),
        ("network.operatorCidr", "1.2.3.4/255.255.255.0", "did you mean 1.2.3.0/24?"),
        ("network.operatorCidr", "1.2.3.4/24", "host bits set; did you mean 1.2.3.0/24?"),
        ("network.operatorCidr", ["1.2.3.4/32"], "a text"),
        ("network.operatorCidr", "1.2.3.4/32,5.6.7.8/32", "an IPv4 range such as"),
        ("network.operatorCidr", "127.0.0.1/32", "of addresses that hosts can have"),
        ("network.cidr", "10.42.0.0/255.255.0.0", "did you mean 10.42.0.0/16?"),
        ("network.cidr", "10.42.0.0/0.0.255.255", "did you mean 10.42.0.0/16?"),
        ("network.cidr", "10.42.0.0/016", "did you mean 10.42.0.0/16?"),
        ("network.cidr", "169.254.0.0/16", "of addresses that hosts can have"),
        ("cluster.podCidr", "10.244.0.0/255.255.0.0", "did you mean 10.244.0.0/16?"),
        ("cluster.serviceCidr", "10.96.0.0/255.240.0.0", "did you mean 10.96.0.0/12?"),
        ("cluster.serviceCidr", "224.0.0.0/12", "of addresses that hosts can have"),
        ("cluster.version", "1.33.9", "a release of 1.34 to 1.37, such as"),
        ("cluster.version", "1.38.0", "a release of 1.34 to 1.37, such as"),
        ("cluster.version", "2.36.4", "a release of 1.34"),
        ("cluster.version", "1.036.4", "a release of 1.34"),
        ("cluster.version", "1.3٦.4", "a release of 1.34"),
        ("cluster.version", 1.3, "in quotes"),
        ("cluster.version", ["1.36.4"], "a text"),
        ("spark.image", "registry:5000/name", "an image with a tag"),
        ("spark.image", "name@sha256:abc", "an image with a tag"),
        ("spark.image", "Name:1", "an image with a tag"),
        ("spark.image", "name: 1", "an image with a tag"),
        ("opex.image", "name:", "an image with a tag"),
        ("opex.engine", "kube-resource-reports", "did you mean kube-resource-report?"),
        ("opex.engine", False, "in quotes"),
        ("opex.costModel", "charge-back", "did you mean CHARGE_BACK?"),
        ("opex.chart", "/nowhere", "a folder with a Helm chart"),
        ("opex.chart", "https://host/a chart", "a folder with a Helm chart"),
        ("wordCount.master", "Kubernetes", "did you mean kubernetes?"),
        ("wordCount.pattern", "(\\w+", "a ( without its )"),
        ("wordCount.pattern", "a\0b", "without NUL"),
        ("wordCount.input", "/srv/shared/../../etc", "a path below /srv/shared"),
        ("wordCount.input", "README.md\x1b[2J", "can't be printed"),
        ("aws.region", "eu-central-1a", "a region such as eu-central-1"),
        ("aws.region", "EU-Central-1", "a region such as eu-central-1"),
        ("aws.endpoint", "http://host:99999", "an http or https URL"),
        ("mirror.registry", "http://user:s3cr3t@host/ x", "an http or https URL"),
        ("nodes.type", "t3 medium", "an EC2 instance type"),
        ("nodes.count", "٣", "a whole number"),
        ("nodes.count", "3_0", "a whole number"),
        ("nodes.count", "0x3", "a whole number"),
        ("nodes.count", 10**30, "at most 250"),
        ("nodes.count", float("nan"), "a whole number"),
        ("nodes.price", "nan", "a number"),
        ("nodes.price", float("inf"), "from 0.0001 to 1000"),
        ("nodes.price", "1e999", "from 0.0001 to 1000"),
        ("nodes.price", "0,048", "a number"),
        ("nodes.spot", "yes", "true or false"),
        ("spark.workers", 5000, "at most 1000"),
        ("spark.workers", False, "a whole number"),
        ("spark.workerMemoryMiB", 0, "at least 512"),
        ("spark.workerMemoryMiB", 10**9, "at most 1048576"),
        ("namespaces.NAME.cpu", 0.0001, "from 0.1 to 10000"),
        ("namespaces.NAME.cpu", -1, "from 0.1 to 10000"),
        ("namespaces.NAME.memoryMiB", 0, "at least 512"),
        ("storage.storageClass", "My Class", "a storage class"),
        ("s3.endpoint", {"secure": "s3cr3t"}, "a text"),
        ("applications.NAME.schedule", "0 3 * *", "it has 4 fields and not five: minute, hour,"),
        ("applications.NAME.schedule", "@often", "@often is none of @yearly, @annually, @monthly"),
        ("applications.NAME.schedule", "TZ=UTC 0 3 * * *", "a setting of its own (timeZone)"),
        ("applications.NAME.schedule", 3, "in quotes"),
        ("applications.NAME.timeZone", "Europe/Pari", "did you mean Europe/Paris?"),
        ("applications.NAME.timeZone", "localtime", "a time zone such as"),
        ("applications.NAME.master", "spark://host:7077", "standalone or kubernetes"),
        ("applications.NAME.args", "100", "a list of texts"),
        ("applications.NAME.args", [1.3], "a text, in quotes"),
        ("applications.NAME.args", ["a\0"], "without NUL"),
        ("applications.NAME.conf", {"spark": {"x": 1}}, 'write conf["spark...."]'),
        ("applications.NAME.conf", ["spark.x=1"], "properties of Spark, each with its text"),
        ("applications.NAME.driver.cores", 0, "at least 1"),
        ("applications.NAME.executor.instances", "two", "a whole number"),
    ],
)
def test_a_value_that_is_refused_with_what_would_be_right(key, value, right):
    line = refused(key, value)
    assert right in line.partition("; it must be ")[2]
    assert "s3cr3t" not in line


#: What no key takes, whatever is asked for there.
NEVER = [[], ["a"], {"a": 1}, "", "\r\n", "a\nb\0", "\ud800", "x\x1b[2Jy\\"]

#: But those that take several values, by the first of their words.
SEVERAL: dict[str, list[Any]] = {
    "a list of": [[], ["a"]],
    "properties": [{"a": 1}],
    "labels": [{"a": 1}],
}


@pytest.mark.parametrize("key", keys())
def test_no_key_takes_what_is_no_value(key):
    """`s3cr3t` stands for a secret, which no message must show."""
    words = kind_of(keys()[key]).words
    taken = [one for begin, all_ in SEVERAL.items() if words.startswith(begin) for one in all_]
    never = [one for one in NEVER if one not in taken]
    for value in [*never, float("nan"), float("inf"), -1, 1.5e300, "(s3cr3t \a"]:
        with pytest.raises(SettingsError) as caught:
            Settings.parse(config_of(key, value))
            raise AssertionError(f"{key} takes {value!r}")
        lines = str(caught.value).split("\n")
        assert lines[0].startswith(f"tinderbox:{key.replace('NAME', 'team')} is "), lines
        assert key not in SECRETS or "s3cr3t" not in str(caught.value)
        assert max(map(len, lines)) < 500
