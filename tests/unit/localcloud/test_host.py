"""The host's packages and mirrors, and the recipe of the machines' tree."""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path

import pytest

from localcloud import checks
from localcloud.daemons import services
from localcloud.errors import CloudError
from localcloud.host import debian
from localcloud.machines import machine, rootfs
from localcloud.mirror import own_images
from tests.unit.localcloud.node import NODE
from toolchain.paths import CHECKOUT


def test_what_is_installed_is_not_missing():
    assert debian.missing_packages(["dpkg", "no-such-package-at-all", "apt"]) == [
        "no-such-package-at-all"
    ]


def test_nothing_is_done_where_nothing_is_missing(monkeypatch):
    monkeypatch.setattr(debian, "_apt_get", lambda *arguments: pytest.fail("apt-get was called"))
    debian.ensure_packages(["dpkg", "apt"], "to test")


def test_a_user_who_is_not_root_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(debian.os, "geteuid", lambda: 1000)
    with pytest.raises(CloudError, match="apt-get install no-such-package-at-all"):
        debian.ensure_packages(["apt", "no-such-package-at-all"], "to test")


def test_a_machine_that_is_no_debian_is_told_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CloudError, match="pulumi up -s dev"):
        debian.ensure_packages(["mmdebstrap"], "to test")


def test_a_module_that_is_there_is_not_loaded(monkeypatch):
    monkeypatch.setattr(
        debian.subprocess, "run", lambda *_, **__: pytest.fail("modprobe was called")
    )
    debian.load_modules({"overlay": lambda: True})


def modprobe(folder: Path, body: str) -> Path:
    """A modprobe in `folder`, which comes first on PATH; notes what it loads in `folder`/loaded."""
    program = folder / "modprobe"
    program.write_text(f'#!/bin/sh\necho "$1" >>{folder}/loaded\n{body}\n')
    program.chmod(0o755)
    return folder / "loaded"


def test_only_what_is_missing_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(debian, "ensure_packages", lambda *_: None)
    loaded = modprobe(tmp_path, "")
    debian.load_modules({"loop": lambda: True, "overlay": loaded.exists})
    assert loaded.read_text() == "overlay\n"


def test_a_module_that_cannot_be_had_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(debian, "ensure_packages", lambda *_: None)
    modprobe(tmp_path, "echo 'modprobe: FATAL: Module overlay not found.' >&2; exit 1")
    with pytest.raises(CloudError, match=r"the module overlay \(modprobe: FATAL.*pulumi up -s dev"):
        debian.load_modules({"overlay": lambda: False})


def test_the_host_loads_all_that_nodes_ask_for():
    """A machine has no /lib/modules, so a node's modprobe finds nothing there."""
    script = (CHECKOUT / "components/cluster/scripts/containerd.sh").read_text()
    asked = re.search(r"modules-load\.d/kubernetes\.conf <<END\n(.*?)\nEND", script, re.S)
    assert asked and set(asked[1].split()) == set(checks.MODULES)
    readme = (CHECKOUT / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in checks.MODULES)


def test_what_runs_is_looked_for_where_it_runs(tmp_path):
    """On a host with a warm cache nothing is built, so nothing else would install it."""
    commands = [one.command for one in services.services("id", tmp_path)]
    commands += [machine.nspawn(NODE, tmp_path, tmp_path)]
    programs = {words[2] if words[0] == "env" else words[0] for words in commands}
    packages = {
        "dnsmasq": "dnsmasq-base",
        "docker-registry": "docker-registry",
        "systemd-nspawn": "systemd-container",
    }
    assert programs - {sys.executable} == set(packages)
    assert set(packages.values()) <= set(checks.PACKAGES)


def test_an_image_of_the_users_own_needs_what_builds_it(monkeypatch, tmp_path):
    monkeypatch.setattr(own_images, "CONFIG", tmp_path)

    def refuse(names, *_):
        raise CloudError(" ".join(names))

    monkeypatch.setattr(debian, "ensure_packages", refuse)
    with pytest.raises(CloudError, match="buildah docker-registry"):
        own_images.publish(tmp_path, "a", "1")


@pytest.mark.parametrize("place", ["boot/config-6.12", "lib/modules/6.12/config"])
def test_the_kernels_configuration_is_found_where_distributions_keep_it(tmp_path, place):
    assert debian.kernel_config("6.12", tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(b"CONFIG_IKCONFIG_PROC=y\n"))
    assert debian.kernel_config("6.12", tmp_path) == b"CONFIG_IKCONFIG_PROC=y\n"
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text("CONFIG_CGROUPS=y\n")
    assert debian.kernel_config("6.12", tmp_path) == b"CONFIG_CGROUPS=y\n"
    assert debian.kernel_config("6.13", tmp_path) == b"CONFIG_IKCONFIG_PROC=y\n"


def test_debians_mirrors_are_those_of_the_host(monkeypatch):
    listed = (
        "Other http://other.example/apt/\n"
        "Debian http://mirror.example/debian/\n"
        "Debian http://mirror.example/debian/\n"
        "Debian-Security http://mirror.example/security/\n"
    )
    monkeypatch.setattr(debian, "run", lambda command: listed)
    lines = debian.debian_sources("trixie").splitlines()
    assert [line.split("] ")[1] for line in lines] == [
        "http://mirror.example/debian trixie main",
        "http://mirror.example/security trixie-security main",
    ]


def test_a_host_without_debians_archive_is_told_so(monkeypatch):
    monkeypatch.setattr(debian, "run", lambda command: "Other http://other.example/apt/\n")
    with pytest.raises(CloudError, match="no Debian archive"):
        debian.debian_mirrors()


def test_proxies_are_those_of_apt(monkeypatch):
    dump = 'APT "";\nAcquire::http::Proxy "http://cache.example:3142";\nAcquire::Retries "3";\n'
    monkeypatch.setattr(debian, "run", lambda command: dump)
    assert debian.apt_proxies() == {"Acquire::http::Proxy": "http://cache.example:3142"}


def test_a_machine_has_no_runtime_until_its_node_installs_one():
    """Docker's containerd.io conflicts with Debian's runc; Debian's AMI has neither."""
    listed = rootfs.packages()
    assert {"systemd", "cloud-init", "openssh-server", "sudo", "apt"} <= set(listed)
    assert not {"runc", "containerd", "containernetworking-plugins"} & set(listed)


def test_the_machines_tree_is_keyed_by_its_recipe(monkeypatch, tmp_path):
    before = rootfs.location()
    for file in rootfs.RECIPE.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(rootfs, "RECIPE", tmp_path)
    assert rootfs.location() == before
    with (tmp_path / "packages").open("a") as file:
        file.write("vim\n")
    assert rootfs.location() != before
