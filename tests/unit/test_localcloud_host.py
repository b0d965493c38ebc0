"""The host's packages and mirrors, and the recipe of the machines' tree."""

from __future__ import annotations

import pytest

from localcloud import host, rootfs
from localcloud.errors import CloudError


def test_what_is_installed_is_not_missing():
    assert host.missing_packages(["dpkg", "no-such-package-at-all", "apt"]) == [
        "no-such-package-at-all"
    ]


def test_nothing_is_done_where_nothing_is_missing(monkeypatch):
    monkeypatch.setattr(host, "_apt_get", lambda *arguments: pytest.fail("apt-get was called"))
    host.ensure_packages(["dpkg", "apt"], "to test")


def test_a_user_who_is_not_root_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(host.os, "geteuid", lambda: 1000)
    with pytest.raises(CloudError, match="apt-get install no-such-package-at-all"):
        host.ensure_packages(["apt", "no-such-package-at-all"], "to test")


def test_a_machine_that_is_no_debian_is_told_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CloudError, match="pulumi up -s dev"):
        host.ensure_packages(["mmdebstrap"], "to test")


def test_debians_mirrors_are_those_of_the_host(monkeypatch):
    listed = (
        "Other http://other.example/apt/\n"
        "Debian http://mirror.example/debian/\n"
        "Debian http://mirror.example/debian/\n"
        "Debian-Security http://mirror.example/security/\n"
    )
    monkeypatch.setattr(host, "run", lambda command: listed)
    lines = host.debian_sources("trixie").splitlines()
    assert [line.split("] ")[1] for line in lines] == [
        "http://mirror.example/debian trixie main",
        "http://mirror.example/security trixie-security main",
    ]


def test_a_host_without_debians_archive_is_told_so(monkeypatch):
    monkeypatch.setattr(host, "run", lambda command: "Other http://other.example/apt/\n")
    with pytest.raises(CloudError, match="no Debian archive"):
        host.debian_mirrors()


def test_proxies_are_those_of_apt(monkeypatch):
    dump = 'APT "";\nAcquire::http::Proxy "http://cache.example:3142";\nAcquire::Retries "3";\n'
    monkeypatch.setattr(host, "run", lambda command: dump)
    assert host.apt_proxies() == {"Acquire::http::Proxy": "http://cache.example:3142"}


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
