"""The local cloud's registry: the mirror's images, and those that the user pushes."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from localcloud.host import debian
from localcloud.mirror import Mirror, own_images, registry


def test_the_clouds_registry_has_the_mirrors_images_and_takes_others(tmp_path, monkeypatch):
    """A push leaves the mirror's store, which other clouds use, as it was."""
    debian.ensure_packages([registry.PROGRAM], "the registry", print)
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
