"""All wrong settings in one answer, near misses, secrets, and what is in effect."""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import threading
from argparse import Namespace
from typing import Any

import pulumi
import pytest
import yaml

from components.settings import Settings, SettingsError, document, packages
from components.settings.effective import Setting, effective
from components.settings.errors import SECRETS
from components.settings.groups import keys, kind_of
from console.stack import ConsoleError, Stack, read_settings
from console.verbs import settings as shown
from tests.unit.plan import EXISTING, MINIMAL, ROOT, Plan, plan

KUBECONFIG: str = EXISTING["cluster"]["kubeconfig"]


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    """Where Pulumi runs the program."""
    monkeypatch.chdir(ROOT)


def lines(config: dict[str, Any]) -> list[str]:
    """What is said of the configuration, without the project's name."""
    with pytest.raises(SettingsError) as caught:
        Settings.parse(config)
    return [line.removeprefix("tinderbox:") for line in str(caught.value).split("\n")]


def keys_of(config: dict[str, Any]) -> list[str]:
    return [line.split(" is ")[0] for line in lines(config)]


def test_an_empty_configuration_lacks_what_is_needed():
    assert keys_of({}) == ["aws.region", "network.operatorCidr"]


def test_all_that_is_wrong_is_said_at_once():
    config = {
        "aws": {"accessKey": "AKIA"},
        "network": {"cidr": "10.42.0.0/255.255.0.0", "operatorCidr": "1.2.3.4"},
        "nodes": {"count": 0, "price": "cheap", "cuont": 4},
        "mirror": "http://mirror",
        "opex": {"engine": "kube-resource-report"},
        "wordCount": {"input": "/nowhere", "master": "yarn"},
        "namespaces": {"Team": {}, "team": {"cpu": 0, "pods": "many"}},
        "storag": {},
    }
    assert keys_of(config) == [
        "network.cidr",
        "network.operatorCidr",
        "nodes.count",
        "nodes.price",
        "nodes.cuont",
        "mirror",
        "wordCount.master",
        "namespaces",
        "namespaces.team.cpu",
        "namespaces.team.pods",
        "storag",
        "aws.secretKey",
        "wordCount.input",
        "aws.region",
    ]


def test_what_only_follows_from_a_wrong_key_is_not_said():
    """The default range would overlap with the pods', and the engine has no price."""
    network = {"cidr": "10.1.0.0/33", "operatorCidr": "1.2.3.4/32"}
    config = {
        **MINIMAL,
        "network": network,
        "cluster": {"podCidr": "10.42.0.0/16"},
        "nodes": {"price": True},
        "opex": {"engine": "kube-resource-report"},
    }
    assert keys_of(config) == ["network.cidr", "nodes.price"]
    assert keys_of({"cluster": {"kubeconfig": "s3cr3t"}}) == ["cluster.kubeconfig"]


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_object_whose_keys_are_all_commented_out_has_its_defaults(nothing):
    found = Settings.parse({**MINIMAL, "nodes": nothing, "namespaces": {"team": nothing}})
    assert (found.nodes.count, found.namespaces["team"].pods) == (3, 10)
    assert Settings.parse({**MINIMAL, "namespaces": nothing}).namespaces == {}


@pytest.mark.parametrize(
    ("config", "near"),
    [
        ({"Nodes": {}}, "nodes"),
        ({"wordcount": {}}, "wordCount"),
        ({"nodes": {"count": 3, "Count": 4}}, "nodes.count"),
        ({"nodes": {"disk_gib": 4}}, "nodes.diskGiB"),
        ({"spark": {"memoryMiB": 4}}, "spark.workerMemoryMiB"),
        ({"network": {"podCidr": "10.0.0.0/8"}}, "cluster.podCidr"),
        ({"operatorCidr": "1.2.3.4/32"}, "network.operatorCidr"),
        ({"namespaces": {"team": {"cpus": 1}}}, "namespaces.NAME.cpu"),
        ({"applications": {"pi": {"scedule": "@daily"}}}, "applications.NAME.schedule"),
        ({"applications": {"pi": {"driver": {"coers": 1}}}}, "applications.NAME.driver.cores"),
    ],
)
def test_a_near_miss_is_suggested(config, near):
    (line,) = [line for line in lines(config) if "is not a setting" in line]
    assert f" is not a setting (did you mean {near}?); known here: " in line


def test_nothing_is_suggested_for_what_is_near_to_nothing():
    assert "did you mean" not in "".join(lines({**MINIMAL, "nodes": {"xyzzy": 1}}))


@pytest.mark.parametrize("group", ["aws", "s3"])
@pytest.mark.parametrize("half", ["accessKey", "secretKey"])
def test_half_of_a_key_pair_is_refused(group, half):
    config = {**MINIMAL, "spark": {"image": "mine:1"}}
    config[group] = {"region": "eu-central-1", half: "s3cr3t"}
    (line,) = lines(config)
    other = "secretKey" if half == "accessKey" else "accessKey"
    assert line.startswith(f"{group}.{other} is ") and "other half" in line
    assert "s3cr3t" not in line


def load(**config: Any) -> str:
    """What is said when Pulumi keeps all of these objects encrypted."""
    pulumi.runtime.set_all_config(
        {f"tinderbox:{key}": json.dumps(value) for key, value in config.items()},
        [f"tinderbox:{key}" for key in config],
    )
    try:
        with pytest.raises(SettingsError) as caught:
            Settings.load()
        return str(caught.value)
    finally:
        pulumi.runtime.set_all_config({}, [])


def test_what_the_user_keeps_encrypted_is_not_shown():
    assert "tinderbox:spark.image is not right" in load(spark={"image": "S3CR3T"})
    said = load(network={"cidr": "10.244.0.0/16"})  # which is the pods'
    assert "tinderbox:network.cidr is not right; it must be apart from" in said
    # Here the secret is known, and it is not the version.
    assert "cluster.version is '1.0.0'" in load(
        cluster={"kubeconfig": KUBECONFIG, "version": "1.0.0"}
    )


def test_the_secrets_are_those_that_no_model_shows():
    assert set(SECRETS) == {key for key, field in keys().items() if not field.repr}
    settings = Settings.parse({"cluster": {"kubeconfig": KUBECONFIG}})
    assert "s3cr3t" not in repr(settings)


MIRROR = "http://mirror.test"
INDEX = (
    b"Package: kubeadm\nArchitecture: amd64\nVersion: 1.36.4-1.1\n\n"
    b"Package: kubelet\nVersion: 1.36.9-1.1\n\nPackage: kubeadm\nVersion: 1.36.5-2.1\n"
)


def pages(minor: str = "1.36", **files: bytes) -> dict[str, bytes]:
    folder = f"{MIRROR}/core:/stable:/v{minor}/deb"
    return {f"{folder}/{name.replace('_', '.')}": content for name, content in files.items()}


def ask(answers: dict[str, bytes], version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks whether a mirror with these pages has the release."""
    monkeypatch.setattr(packages, "fetch", Plan(pages=answers).fetch)
    config = {**MINIMAL, "mirror": {"packages": MIRROR}, "cluster": {"version": version}}
    packages.CHECK.require(Settings.parse(config))


@pytest.mark.parametrize(
    "answers",
    [
        pages(Release_key=b"", Packages=INDEX),
        pages(Release_key=b"", Packages_gz=gzip.compress(INDEX)),
        pages(Release_key=b""),  # an index of another kind
        pages(Release_key=b"", Packages=b"<html>"),
        pages(Release_key=b"", Packages_gz=b"\x1f\x8b"),
        {},  # out of reach
    ],
)
def test_a_release_that_the_mirror_has_or_may_have(answers, monkeypatch):
    ask(answers, "1.36.5", monkeypatch)


@pytest.mark.parametrize(
    ("answers", "has"),
    [
        (pages(Release_key=b"", Packages=INDEX), "has 1.36.4, 1.36.5)"),
        (pages(Release_key=b"", Packages_gz=gzip.compress(INDEX)), "has 1.36.4, 1.36.5)"),
        (pages("1.35", Release_key=b"", Packages=INDEX), "has none of that minor release)"),
    ],
)
def test_a_release_that_the_mirror_lacks(answers, has, monkeypatch):
    with pytest.raises(SettingsError) as caught:
        ask(answers, "1.36.9", monkeypatch)
    assert str(caught.value).startswith("tinderbox:cluster.version is '1.36.9'; it must be one ")
    assert has in str(caught.value)


def test_nothing_is_made_with_a_release_that_the_mirror_lacks():
    tried = Plan(pages=pages(Release_key=b"", Packages=INDEX))
    with pytest.raises(SettingsError, match=r"cluster\.version is '1\.36\.9'"):
        config = {"mirror": {"packages": MIRROR}, "cluster": {"version": "1.36.9"}}
        plan(config, recorder=tried, preview=True)
    assert not tried.made


@pytest.mark.parametrize("asked", [{"Packages": b"x"}, {}])
def test_a_page_of_a_server_that_answers(tmp_path, asked, monkeypatch):
    """What there is, or None for what there is not; no proxy of the environment's is asked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    for name, content in asked.items():
        (tmp_path / name).write_bytes(content)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/Packages"
            assert packages.fetch(url) == asked.get("Packages")
        finally:
            server.shutdown()
    with pytest.raises(OSError):
        packages.fetch(url)


@pytest.mark.parametrize("name", document.FILES)
def test_the_documents_are_what_the_models_say(name):
    """To bring them up to date: python -m components.settings.document"""
    assert document.filled(name) == (ROOT / name).read_text()


def test_every_key_has_a_description_and_says_what_it_takes():
    for key, field in keys().items():
        assert field.description and kind_of(field).words, key


def test_the_effective_settings_and_where_they_come_from():
    layers = [
        (
            "stack",
            {
                "nodes": {"count": "5", "price": "cheap", "odd": 1},
                "aws": {"secretKey": "s3cr3t", "region": {"secure": "v1:abc"}},
                "cluster": {"secure": "v1:abc"},
                "spark": None,
                "namespaces": {"team": {"pods": 4}},
                "applications": {
                    "pi": {"args": [1], "conf": {"spark.x": True}, "driver": {"cores": 2, "odd": 1}}
                },
                "s3": "s3cr3t",
            },
        ),
        ("project", {"nodes": {"count": 7}, "storage": {"sizeGiB": 9}}),
    ]
    rows = {row.key: row for row in effective(layers)}
    assert rows["nodes.count"] == Setting("nodes.count", "5", "stack")
    assert rows["nodes.price"].wrong == "must be a number"
    assert rows["nodes.odd"].wrong == "is not a setting"
    assert rows["nodes.type"] == Setting("nodes.type", "t3.medium", "default")
    assert rows["storage.sizeGiB"] == Setting("storage.sizeGiB", "9", "project")
    assert rows["namespaces.team.pods"] == Setting("namespaces.team.pods", "4", "stack")
    assert rows["namespaces.team.cpu"] == Setting("namespaces.team.cpu", "2.0", "default")
    assert rows["applications.pi.args"] == Setting("applications.pi.args", '["1"]', "stack")
    assert rows["applications.pi.conf"].value == '{"spark.x": "true"}'
    assert rows["applications.pi.driver.cores"].value == "2"
    assert rows["applications.pi.driver.odd"].wrong == "is not a setting"
    assert rows["applications.pi.driver.tolerations"].source == "default"
    assert rows["applications.pi.executor.cores"].source == "default"
    assert rows["spark.history"] == Setting("spark.history", "true", "default")
    assert rows["aws.region"].value == rows["cluster"].value == "(secret)"
    assert rows["s3"].wrong == "must be an object"
    assert "s3cr3t" not in shown.effective_table(list(rows.values()))


def test_make_settings_shows_the_shipped_stack(capsys):
    shown.run(Namespace(stack="dev"))
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["nodes.count", "3", "Pulumi.dev.yaml"] in table
    assert ["nodes.diskGiB", "20", "default"] in table


def test_the_consoles_copy_of_a_configuration_has_no_null(tmp_path):
    """Pulumi refuses it by the type that Pulumi.yaml gives each object."""
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_bytes(b"\xef\xbb\xbfconfig:\r\n  tinderbox:nodes:\r\n    # count: 3\r\n")
    assert read_settings(file)["config"] == {"tinderbox:nodes": {}}


def test_make_settings_names_what_is_wrong(tmp_path, monkeypatch, capsys):
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(yaml.safe_dump({"config": {"tinderbox:nodes": {"count": "many"}}}))
    monkeypatch.setattr(Stack, "config_file", file)
    with pytest.raises(ConsoleError, match=r"^nodes\.count: not right"):
        shown.run(Namespace(stack="dev"))
    assert "must be a whole number" in capsys.readouterr().out
