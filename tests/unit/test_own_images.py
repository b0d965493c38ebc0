"""Images of the user's own: their tags, how they are built, and the local cloud's registry."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from console import image
from localcloud import own_images
from localcloud.mirror import Mirror, registry


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A folder to build an image from."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Containerfile").write_text("FROM docker.io/apache/spark:4.2.0-python3\n")
    return folder


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A podman that notes its calls in the file that is returned."""
    program = tmp_path / "bin" / "podman"
    program.parent.mkdir()
    notes = tmp_path / "calls"
    program.write_text(f'#!/bin/sh\necho "$@" >>{notes}\n[ "$1" != "$FAIL" ]\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    return notes


def test_the_tag_is_the_contents(context: Path) -> None:
    first = image.tag_of(context)
    assert image.tag_of(context) == first and len(first) == 12
    (context / "more").write_text("x")
    assert image.tag_of(context) != first


def test_an_image_for_a_registry_is_built_and_pushed(context, engine, capfd) -> None:
    assert image.main(["mine", str(context), "--registry", "docker.io/me/"]) == 0
    reference = f"docker.io/me/mine:{image.tag_of(context)}"
    assert capfd.readouterr().out == f"{reference}\n"
    build, push = engine.read_text().splitlines()
    file = context / "Containerfile"
    assert build == f"build --tag {reference} --file {file} {context}"
    assert push == f"push {reference}"


def test_a_build_that_fails_is_not_pushed(context, engine, capfd, monkeypatch) -> None:
    monkeypatch.setenv("FAIL", "build")
    assert image.main(["mine", str(context), "--registry", "docker.io/me"]) == 1
    assert capfd.readouterr().err == "image: podman build failed (exit code 1)\n"
    assert len(engine.read_text().splitlines()) == 1


@pytest.mark.parametrize("name", ["", "Mine", "a/b", "-x", "a b"])
def test_what_is_no_name_is_refused(context: Path, name: str, capfd) -> None:
    assert image.main(["--registry", "r.test", "--", name, str(context)]) == 1
    assert "is no image's name" in capfd.readouterr().err


def test_a_context_must_be_there(tmp_path: Path, capfd) -> None:
    assert image.main(["mine", str(tmp_path / "none"), "--registry", "r.test"]) == 1
    assert "must be a folder" in capfd.readouterr().err


@pytest.mark.skipif(
    shutil.which(registry.PROGRAM) is None, reason="docker-registry comes with the local cloud"
)
def test_the_clouds_registry_has_the_mirrors_images_and_takes_others(tmp_path, monkeypatch):
    """A push leaves the mirror's store, which other clouds use, as it was."""
    monkeypatch.setattr(own_images, "STORE", tmp_path / "state" / "registry")
    monkeypatch.setattr(own_images, "CONFIG", tmp_path / "state" / "registry.yml")
    mirror = Mirror(tmp_path / "mirror")
    config = tmp_path / "writable.yml"
    registry.write_config(config, mirror.folder / "registry", readonly=False)
    with registry.running(config) as address:
        push(address, "theirs", b'{"a": 1}')
    before = files(mirror.folder)

    (tmp_path / "state").mkdir()
    own_images.lay_out(mirror)
    registry.write_config(config, own_images.STORE, readonly=False)
    with registry.running(config) as address:
        push(address, "mine", b'{"b": 2}')
        push(address, "theirs", b'{"c": 3}')
    with registry.running(own_images.CONFIG) as address:
        assert b'"b": 2' in manifest(address, "mine")
        assert b'"c": 3' in manifest(address, "theirs")
        with pytest.raises(urllib.error.HTTPError, match="405"):
            push(address, "late", b"{}")
    assert files(mirror.folder) == before


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, with their content."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def request(method: str, url: str, body: bytes = b"", kind: str = "application/octet-stream"):
    """The answer to a request; HTTPError for a refused one."""
    asked = urllib.request.Request(url, data=body or None, method=method)
    asked.add_header("Content-Type", kind)
    return urllib.request.urlopen(asked, timeout=10)


def push(address: str, name: str, config: bytes) -> None:
    """Push an image of no layers, with the tag 1, as the registry's protocol has it."""
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    place = request("POST", f"http://{address}/v2/{name}/blobs/uploads/").headers["Location"]
    request("PUT", f"{place}&digest={digest}", config)
    kind = "application/vnd.oci.image.manifest.v1+json"
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest}
    text = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {**described, "size": len(config)},
        "layers": [],
        "annotations": {"is": config.decode()},
    }
    request("PUT", f"http://{address}/v2/{name}/manifests/1", json.dumps(text).encode(), kind)


def manifest(address: str, name: str) -> bytes:
    """The config that the tag 1 of an image names."""
    asked = urllib.request.Request(f"http://{address}/v2/{name}/manifests/1")
    asked.add_header("Accept", "application/vnd.oci.image.manifest.v1+json")
    with urllib.request.urlopen(asked, timeout=10) as answer:
        digest = json.load(answer)["config"]["digest"]
    return request("GET", f"http://{address}/v2/{name}/blobs/{digest}").read()
