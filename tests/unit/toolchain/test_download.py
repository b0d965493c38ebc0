"""Official downloads, from a server of the test's own on loopback."""

import hashlib
import io
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from toolchain import download, paths
from toolchain.errors import ToolchainError


class Quiet(SimpleHTTPRequestHandler):
    """A file server that logs nothing."""

    def log_message(self, format, *args):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """(folder, address) of a web server; the cache is the test's own."""
    monkeypatch.setenv("TINDERBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def archive(entries: dict[str, bytes]) -> bytes:
    """A .tar.gz of executables."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def put(folder, name: str, content: bytes) -> str:
    """Publish a file with its checksum beside it; returns the checksum."""
    (folder / name).write_bytes(content)
    value = hashlib.sha256(content).hexdigest()
    (folder / f"{name}.sha256").write_text(f"{value}  {name}\n")
    return value


def test_an_archive_is_unpacked_with_what_lies_beside_the_command(site):
    folder, address = site
    entries = {
        "pulumi/pulumi": b"cli",
        "pulumi/pulumi-language-python": b"host",
        "pulumi/deep/x": b"no",
        "../evil": b"no",
    }
    put(folder, "p.tar.gz", archive(entries))
    url = f"{address}/p.tar.gz"
    path = download.fetch("pulumi", "3.1.0", url, f"{url}.sha256", "pulumi/pulumi")
    assert path.read_bytes() == b"cli"
    assert path.stat().st_mode & 0o111
    assert {p.name for p in path.parent.iterdir()} == {"pulumi", "pulumi-language-python"}
    assert not list((paths.cache_dir() / "build").glob(".*"))


def test_a_plain_executable(site):
    folder, address = site
    put(folder, "kubectl", b"#!/bin/sh\n")
    url = f"{address}/kubectl"
    path = download.fetch("kubectl", "1.36.4", url, f"{url}.sha256", "")
    assert path.name == "kubectl" and path.stat().st_mode & 0o111
    (folder / "kubectl").unlink()
    assert download.fetch("kubectl", "1.36.4", url, f"{url}.sha256", "") == path  # from the cache


def test_what_does_not_match_its_checksum_is_refused(site):
    folder, address = site
    put(folder, "kubectl", b"right")
    (folder / "kubectl").write_bytes(b"wrong")
    url = f"{address}/kubectl"
    with pytest.raises(ToolchainError, match="kubectl has SHA-256"):
        download.fetch("kubectl", "1.36.4", url, f"{url}.sha256", "")
    assert not download.location("kubectl", "1.36.4", url, "").exists()


def test_a_missing_download_is_an_error_that_names_it(site):
    _, address = site
    with pytest.raises(ToolchainError, match="downloading helm 3.22.0 failed: .*404"):
        download.fetch("helm", "3.22.0", f"{address}/h.tar.gz", f"{address}/h.sha256", "x/helm")


def test_reach_is_asked_once_and_a_failure_remembered(site):
    folder, address = site
    (folder / "there").touch()
    there, missing = f"{address}/there", f"http://127.0.0.1:1/{folder.name}"
    now = 1_000_000.0
    assert download.reachable([there, missing], now) == {there: True, missing: False}
    assert download._memory() == {"127.0.0.1:1": now}
    download._remember({there.split("/")[2]: now})
    assert download.reachable([there], now + 60) == {there: False}
    assert download.reachable([there], now + download.REMEMBER + 1) == {there: True}
    assert download._memory() == {}


def test_hosts_that_never_answer_do_not_hold_it_up(site, monkeypatch):
    silent = threading.Event()

    def wait(*_, **__):
        silent.wait(30)
        raise TimeoutError

    monkeypatch.setattr(download.urllib.request, "urlopen", wait)
    monkeypatch.setattr(download, "REACH_WITHIN", 0.1)
    assert download.reachable(["http://a/x", "http://b/x"]) == {
        "http://a/x": False,
        "http://b/x": False,
    }
    silent.set()


@pytest.mark.parametrize(
    "listed", ["{s}  file.gz\n{o}  other\n", "{s}\n", "{o}  other\n{s} *file.gz\n", "{s} d/file.gz"]
)
def test_the_forms_of_published_checksums(listed):
    text = listed.format(s="a" * 64, o="b" * 64)
    assert download.published(text, "file.gz") == "a" * 64


def test_a_file_that_is_not_listed_is_refused():
    with pytest.raises(ToolchainError, match="do not list file.gz"):
        download.published(f"{'a' * 64}  other\n", "file.gz")


def test_another_machine_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(download.platform, "machine", lambda: "riscv64")
    with pytest.raises(ToolchainError, match="riscv64; the toolchain is for Linux on x86_64"):
        download.machine()
