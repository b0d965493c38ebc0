"""A kubeconfig with several clusters: the stack goes by the current context, and by it alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from components.settings import Settings, SettingsError
from components.settings.kubeconfig import KubeconfigError, current

CONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "home", "cluster": {"server": "https://10.0.0.1:6443"}}],
    "users": [{"name": "me", "user": {"token": "s3cr3t"}}],
    "contexts": [{"name": "mine", "context": {"cluster": "home", "user": "me"}}],
    "current-context": "mine",
}
OTHER = {"name": "work", "cluster": {"server": "https://10.0.0.2:6443"}}


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    """The kubeconfig with a change in it, as YAML."""
    config = copy.deepcopy(CONFIG)
    change(config)
    return yaml.safe_dump(config, sort_keys=False)


def rename(config: dict[str, Any]) -> None:
    """Other names for the same."""
    for kind, name in (("clusters", "kind-home"), ("users", "root"), ("contexts", "there")):
        config[kind][0]["name"] = name
    config["contexts"][0]["context"] = {"cluster": "kind-home", "user": "root"}
    config["current-context"] = "there"


ADDED = {"name": "theirs", "context": {"cluster": "work", "user": "me"}}


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["clusters"].append(OTHER),
        lambda config: config["clusters"].insert(0, OTHER),
        lambda config: config["contexts"].insert(0, ADDED),
        lambda config: config["users"].insert(0, {"name": "you", "user": {"token": "other"}}),
        lambda config: config.update(preferences={"colors": True}),
        lambda config: config["contexts"][0]["context"].update(namespace="team"),
        lambda config: config["clusters"][0]["cluster"].update(extensions=[{"name": "minikube"}]),
        rename,
    ],
)
def test_what_changes_nothing(change):
    assert current(changed(change)) == current(yaml.safe_dump(CONFIG))


def test_nor_does_how_it_is_written():
    text = yaml.safe_dump(CONFIG)
    assert current("\ufeff" + text.replace("\n", "\r\n")) == current(text)


def test_another_context_is_another_cluster():
    def switch(config: dict[str, Any]) -> None:
        config["clusters"].append(OTHER)
        config["contexts"].append(ADDED)
        config["current-context"] = "theirs"

    found = yaml.safe_load(current(changed(switch)))
    assert [entry["cluster"] for entry in found["clusters"]] == [OTHER["cluster"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("current-context"), "a kubeconfig with a current-context"),
        (lambda c: c.update({"current-context": ""}), "a kubeconfig with a current-context"),
        (
            lambda c: c.update({"current-context": "s3cr3t"}),
            "the context which its current-context",
        ),
        (lambda c: c.pop("contexts"), "the context which its current-context names"),
        (lambda c: c["contexts"][0]["context"].pop("user"), "the user which its current context"),
        (lambda c: c["clusters"][0].update(name="x"), "the cluster which its .*: .* not at all"),
        (lambda c: c["clusters"].append(c["clusters"][0]), "the cluster which its .*: .* twice"),
        (lambda c: c["users"][0].update(user=None), "the user which its current context names"),
        (lambda c: c["clusters"][0]["cluster"].pop("server"), "has an http or https URL as its se"),
        (
            lambda c: c["clusters"][0]["cluster"].update({"certificate-authority": "/s3cr3t/ca"}),
            "which its certificate-authority is: kubectl config view --minify --flatten",
        ),
        (
            lambda c: c["users"][0]["user"].update({"client-key": "pki/s3cr3t"}),
            "not on this machine, which its client-key is",
        ),
        (
            lambda c: c["users"][0].update(user={"exec": {"command": "s3cr3t-login"}}),
            "exec command is installed on this machine",
        ),
    ],
)
def test_what_is_none_is_one_line_without_its_content(change, said):
    with pytest.raises(KubeconfigError, match=said):
        current(changed(change))
    with pytest.raises(SettingsError, match=f"cluster.kubeconfig is not right; .*{said}") as caught:
        Settings.parse({"cluster": {"kubeconfig": changed(change)}})
    for secret in ("s3cr3t", "10.0.0.1", "\n"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize("text", ["", "a: [s3cr3t", "s3cr3t", "{}", "[1]", "clusters: 3", "\t-"])
def test_what_is_no_kubeconfig_at_all(text):
    with pytest.raises(KubeconfigError, match="^a kubeconfig file's content, in YAML"):
        current(text)


def test_files_of_this_machine_serve_here(tmp_path):
    authority = tmp_path / "ca.crt"
    authority.touch()
    files = {"certificate-authority": str(authority)}
    found = current(changed(lambda c: c["clusters"][0]["cluster"].update(files)))
    assert yaml.safe_load(found)["clusters"][0]["cluster"]["certificate-authority"] == str(
        authority
    )
