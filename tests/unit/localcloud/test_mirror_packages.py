"""The nodes' packages and their repositories, as dpkg and apt see them."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import http.server
import os
import subprocess
import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from localcloud.host import debian
from localcloud.mirror import packages, repository, upstream

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the mirror is built by root")


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    debian.ensure_packages(("apt-utils", "gpg", "util-linux"), "to test the mirror")


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """Programs of a few bytes in place of the compiled ones; returns one that stands for runc."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setattr(packages.builds, "binary", lambda name: program)
    return program


@pytest.fixture(scope="module")
def signer(tmp_path_factory) -> repository.Signer:
    signer = repository.Signer(tmp_path_factory.mktemp("key") / "key")
    signer.ensure()
    return signer


def build(package: packages.Package, runc: Path, into: Path) -> Path:
    into.mkdir(parents=True, exist_ok=True)
    return packages.build(package, runc, into)


def find(name: str) -> packages.Package:
    return next(p for p in [*packages.kubernetes(), *packages.docker()] if p.name == name)


def field(deb: Path, name: str) -> str:
    return subprocess.check_output(["dpkg-deb", "-f", deb, name], text=True).strip()


def contents(deb: Path) -> dict[str, str]:
    """Path -> "mode owner" of each file in a package."""
    lines = subprocess.check_output(["dpkg-deb", "-c", deb], text=True).splitlines()
    columns = [line.split() for line in lines]
    return {c[5].removeprefix("."): f"{c[0]} {c[1]}" for c in columns if not c[5].endswith("/")}


def test_names_and_versions_are_those_of_upstream():
    versions = {p.name: p.version for p in [*packages.kubernetes(), *packages.docker()]}
    assert versions["kubelet"] == versions["kubeadm"] == versions["kubectl"] == "1.36.4-1.1"
    assert versions["containerd.io"] == "2.4.2-1~debian.13~trixie"
    assert set(versions) == {
        *("kubelet", "kubeadm", "kubectl"),
        *("cri-tools", "kubernetes-cni", "containerd.io"),
    }


@pytest.mark.parametrize(
    "package", [*packages.kubernetes(), *packages.docker()], ids=lambda p: p.name
)
def test_control_fields(package, small, tmp_path):
    deb = build(package, small, tmp_path / "out")
    assert deb.name == f"{package.name}_{package.version}_amd64.deb"
    assert field(deb, "Package") == package.name
    assert field(deb, "Version") == package.version
    assert field(deb, "Architecture") == "amd64"
    for path in package.binaries:
        assert contents(deb)[f"/{path}"] == "-rwxr-xr-x root/root"


def test_kubelet_as_upstream_lays_it_out(small, tmp_path):
    kubelet = build(find("kubelet"), small, tmp_path / "out")
    files = contents(kubelet)
    assert files["/usr/lib/systemd/system/kubelet.service"] == "-rw-r--r-- root/root"
    assert "/etc/default/kubelet" in files
    assert "kubernetes-cni" in field(kubelet, "Depends")
    conffiles = subprocess.check_output(["dpkg-deb", "-I", kubelet, "conffiles"], text=True)
    assert conffiles.split() == ["/etc/default/kubelet"]
    drop_in = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"
    assert drop_in in contents(build(find("kubeadm"), small, tmp_path / "out"))


def test_containerd_comes_without_the_kubernetes_interface(small, tmp_path):
    """The report's first failure: nodes must cope with it, here as with Docker's package."""
    deb = build(find("containerd.io"), small, tmp_path / "out")
    subprocess.run(["dpkg-deb", "-x", deb, tmp_path / "root"], check=True)
    config = (tmp_path / "root" / "etc" / "containerd" / "config.toml").read_text()
    assert 'disabled_plugins = ["cri"]' in config
    assert "/usr/bin/runc" in contents(deb)
    assert field(deb, "Conflicts") == "containerd, runc"


# ---- repositories, by apt itself


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Generator[str]:
    """Serve a folder on the loopback; yields its URL."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def apt(root: Path, source: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run apt-get with one source and nothing of this machine's own configuration."""
    for folder in ("etc/apt", "state/lists/partial", "cache/archives/partial"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/apt/sources.list").write_text(source + "\n")
    (root / "status").touch()
    options = {
        "Dir::Etc": root / "etc/apt",
        "Dir::State": root / "state",
        "Dir::State::status": root / "status",
        "Dir::Cache": root / "cache",
        "APT::Sandbox::User": "root",
        "APT::Architecture": "amd64",
        "Acquire::Languages": "none",
    }
    return subprocess.run(
        ["apt-get", *(f"-o{name}={value}" for name, value in options.items()), *command],
        cwd=root,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_apt_takes_the_flat_repository(small, signer, tmp_path):
    flat = tmp_path / "www" / "core:" / "stable:" / "v1.36" / "deb"
    for package in packages.kubernetes():
        build(package, small, flat)
    repository.flat(flat, signer, "Kubernetes")
    with served(tmp_path / "www") as url:
        source = f"deb [signed-by={flat}/Release.key] {url}/core:/stable:/v1.36/deb/ /"
        update = apt(tmp_path, source, "update", "--error-on=any")
        assert update.returncode == 0, update.stderr
        pinned = ("kubelet=1.36.4-1.1", "kubeadm=1.36.4-1.1", "cri-tools")
        plan = apt(tmp_path, source, "download", "--print-uris", *pinned)
        assert plan.returncode == 0, plan.stderr
        assert plan.stdout.count("SHA256:") == 3


def test_apt_takes_the_repository_of_docker(small, signer, tmp_path):
    root = tmp_path / "www" / "linux" / "debian"
    build(find("containerd.io"), small, root / "dists/trixie/pool/stable/amd64")
    repository.suite(root, signer, "trixie", "stable", "Docker CE")
    with served(tmp_path / "www") as url:
        source = f"deb [arch=amd64 signed-by={root}/gpg] {url}/linux/debian trixie stable"
        update = apt(tmp_path, source, "update", "--error-on=any")
        assert update.returncode == 0, update.stderr
        plan = apt(tmp_path, source, "download", "--print-uris", "containerd.io")
        assert "/linux/debian/dists/trixie/pool/stable/amd64/containerd.io_2.4.2" in plan.stdout


def test_apt_refuses_an_index_that_was_changed(small, signer, tmp_path):
    flat = tmp_path / "www"
    build(find("kubectl"), small, flat)
    repository.flat(flat, signer, "Kubernetes")
    (flat / "Packages").write_text((flat / "Packages").read_text().replace("admin", "games"))
    with served(flat) as url:
        source = f"deb [signed-by={flat}/Release.key] {url}/ /"
        update = apt(tmp_path, source, "update", "--error-on=any")
        assert update.returncode != 0
        assert "Hash Sum mismatch" in update.stderr


def test_apt_refuses_the_key_of_another(small, signer, tmp_path):
    flat = tmp_path / "www"
    build(find("kubectl"), small, flat)
    repository.flat(flat, signer, "Kubernetes")
    other = repository.Signer(tmp_path / "other")
    other.ensure()
    other.export(tmp_path / "other.asc")
    with served(flat) as url:
        source = f"deb [signed-by={tmp_path}/other.asc] {url}/ /"
        assert apt(tmp_path, source, "update", "--error-on=any").returncode != 0


def test_the_key_is_made_once_and_kept_private(signer):
    key = signer.folder / "signing-key.asc"
    before = key.read_text()
    signer.ensure()
    assert key.read_text() == before
    assert key.stat().st_mode & 0o077 == 0
    assert signer.folder.stat().st_mode & 0o077 == 0


# ---- upstream's, where they can be reached


@pytest.fixture
def said(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.setenv("TINDERBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return []


def publish(www: Path, small: Path, signer: repository.Signer, *others: packages.Package) -> None:
    """Kubernetes' repository as upstream has it: signed, of more than nodes take."""
    for package in [*packages.kubernetes(), *others]:
        build(package, small, www)
    repository.flat(www, signer, "Kubernetes")


def test_upstreams_repository_is_copied_with_what_nodes_take(small, signer, tmp_path, said):
    www, copy = tmp_path / "www", tmp_path / "copy"
    wanted = packages.kubernetes()
    tools, kubelet = find("cri-tools"), find("kubelet")
    newer = [replace(one, version="1.100.0-1.1") for one in (tools, kubelet)]
    older = [replace(one, version="1.9.0-1.1") for one in (tools, kubelet)]
    publish(www, small, signer, *newer, *older)
    with served(www) as url:
        there = upstream.Repository(f"{url}/", "Release.key", "", "")
        assert upstream.take_packages(there, wanted, copy, said.append)
    assert (copy / "InRelease").read_bytes() == (www / "InRelease").read_bytes()
    got = {file.name for file in copy.glob("*.deb")}
    assert got == {one.file_name for one in [*wanted, *newer]}
    with served(copy) as url:
        source = f"deb [signed-by={copy}/Release.key] {url}/ /"
        assert apt(tmp_path, source, "update", "--error-on=any").returncode == 0
        got = apt(
            tmp_path, source, "download", "kubelet=1.36.4-1.1", "kubeadm=1.36.4-1.1", "cri-tools"
        )
        assert got.returncode == 0, got.stderr
    assert said == [f"packages of {there.url} are upstream's"]


def test_an_index_that_is_packed_or_asked_for_by_its_hash_is_copied_too(
    small, signer, tmp_path, said
):
    www, copy = tmp_path / "www" / "linux" / "debian", tmp_path / "copy"
    build(find("containerd.io"), small, www / "dists/trixie/pool/stable/amd64")
    repository.suite(www, signer, "trixie", "stable", "Docker CE")
    index, release = www / "dists/trixie/stable/binary-amd64/Packages", www / "dists/trixie/Release"
    packed = gzip.compress(index.read_bytes())
    index.with_name("Packages.gz").write_bytes(packed)
    index.unlink()
    digest = hashlib.sha256(packed).hexdigest()
    lines = (
        f"Acquire-By-Hash: yes\nSHA256:\n {digest} {len(packed)} stable/binary-amd64/Packages.gz\n"
    )
    release.write_text(release.read_text().partition("SHA256:")[0] + lines)
    with served(tmp_path / "www") as url:
        there = replace(upstream.docker(), url=f"{url}/linux/debian/")
        assert upstream.take_packages(there, packages.docker(), copy, said.append)
    assert (copy / index.relative_to(www).parent / "by-hash" / "SHA256" / digest).exists()
    assert (copy / "dists/trixie/pool/stable/amd64" / find("containerd.io").file_name).exists()


@pytest.mark.parametrize("fault", ["version", "changed", "gone", "away", "outside"])
def test_of_a_repository_that_has_not_all_nothing_is_taken(fault, small, signer, tmp_path, said):
    www, copy = tmp_path / "www", tmp_path / "copy"
    wanted = packages.kubernetes()
    publish(www, small, signer)
    match fault:
        case "version":
            wanted = [replace(wanted[0], version="1.36.99-1.1"), *wanted[1:]]
        case "changed":
            (www / wanted[0].file_name).write_text("other")
        case "gone":
            (www / wanted[0].file_name).unlink()
        case "away":
            (www / "Release.key").unlink()
        case "outside":
            index, release = www / "Packages", www / "Release"
            before = hashlib.sha256(index.read_bytes()).hexdigest()
            index.write_text(index.read_text().replace("Filename: ./", "Filename: a/../../"))
            after = hashlib.sha256(index.read_bytes()).hexdigest()
            release.write_text(release.read_text().replace(before, after))
    with served(www) as url:
        there = upstream.Repository(f"{url}/", "Release.key", "", "")
        assert not upstream.take_packages(there, wanted, copy, said.append)
    assert not copy.exists()
    reason = {
        "version": "it has no kubelet 1.36.99-1.1",
        "changed": "has SHA-256",
        "gone": "404",
        "outside": "it names a file outside of it: a/../../",
    }
    if fault == "away":
        assert said == []
    else:
        (line,) = said
        assert f"packages of {there.url} are built here: " in line and reason[fault] in line


def test_a_chart_of_upstream_is_taken_by_its_version(tmp_path, said, monkeypatch):
    content = b"a chart"
    entry = {"digest": hashlib.sha256(content).hexdigest(), "urls": ["files/m-3.13.1.tgz"]}
    entries = [{**entry, "version": version} for version in ("3.14.0", "3.13.1")]
    (tmp_path / "www" / "files").mkdir(parents=True)
    (tmp_path / "www" / "files" / "m-3.13.1.tgz").write_bytes(content)
    text = yaml.safe_dump({"entries": {"metrics-server": entries}})
    (tmp_path / "www" / "index.yaml").write_text(text)
    with served(tmp_path / "www") as url:
        monkeypatch.setitem(upstream.CHARTS, "metrics-server", url)
        take = functools.partial(upstream.take_chart, "metrics-server", progress=said.append)
        assert take(version="3.13.1", into=tmp_path)
        assert not take(version="3.13.2", into=tmp_path)
    assert (tmp_path / "metrics-server-3.13.1.tgz").read_bytes() == content
    assert said == ["chart metrics-server is of its module: upstream has none of 3.13.2"]
