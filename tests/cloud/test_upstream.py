"""The mirror takes upstream's images, of registries that play upstream under their own names.

All of it has a mount namespace of its own, with its own /etc/hosts, and a CA that the test made.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.stack import ROOT
from localcloud.host import debian
from localcloud.host.shell import wait_until
from localcloud.mirror import HOST_PACKAGES, images, registry

#: Of this test's: no other program listens there.
ADDRESS = "127.0.0.66"
TAKE = """
import json, sys
from pathlib import Path
from localcloud.mirror import images, upstream
buildah, scratch = images.Buildah(Path(sys.argv[1]) / "buildah"), Path(sys.argv[1]) / "scratch"
scratch.mkdir()
wanted = {one.folder: one for one in images.catalogue() if one.folder in sys.argv[2:]}
said = []
upstream.take_images(buildah, wanted, scratch, said.append)
with_labels = {
    name: json.loads(buildah("inspect", "--type", "image", images.stored(name)))["OCIv1"]["config"]
    for name, one in wanted.items() if images.is_there(buildah, one, name)
}
left = buildah("images", "--format", "{{.Name}}").split()
print(json.dumps([with_labels, said, left]))
"""


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Path]:
    """A registry under Kubernetes' name that has pause; a folder with its CA and /etc/hosts."""
    debian.ensure_packages([*HOST_PACKAGES, "openssl"], "the test", print)
    pause = next(one for one in images.catalogue() if one.folder == "pause")
    buildah = images.Buildah(tmp_path / "upstreams")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Containerfile").write_text("FROM scratch\nLABEL made.by=upstream\nCOPY file /\n")
    (context / "file").write_text("upstream's")
    buildah.build(context, "pause", "")
    config = tmp_path / "registry.yml"
    registry.write_config(config, tmp_path / "store", readonly=False)
    with registry.running(config) as address:
        buildah.push("pause", f"{address}/{pause.mirrored}")

    name = images.registry_of(pause)
    (tmp_path / "hosts").write_text(f"{ADDRESS} {name}\n127.0.0.1 localhost\n")
    certificate = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]
    certificate += ["-nodes", "-days", "2", "-subj", "/CN=the test's CA"]
    certificate += ["-addext", f"subjectAltName=DNS:{name}"]
    certificate += ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "ca")]
    subprocess.run(certificate, check=True, capture_output=True)
    tls = {"CERTIFICATE": tmp_path / "ca", "KEY": tmp_path / "key"}
    server = subprocess.Popen(
        registry.serve_command(config, f"{ADDRESS}:443"),
        env={**os.environ, **{f"REGISTRY_HTTP_TLS_{k}": str(v) for k, v in tls.items()}},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: socket.socket().connect_ex((ADDRESS, 443)) == 0, 20)
        yield tmp_path
    finally:
        server.kill()
        server.wait()


def take(folder: Path, *names: str) -> tuple[dict[str, dict], list[str], list[str]]:
    """The configurations of what was taken, what was said, and all that buildah then has."""
    own_hosts = 'mount --bind "$0/hosts" /etc/hosts && exec "$@"'
    place = folder / "mirror"
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", own_hosts, str(folder)]
        + [sys.executable, "-c", TAKE, str(place), *names],
        cwd=ROOT,
        env={
            **os.environ,
            "SSL_CERT_FILE": str(folder / "ca"),
            "TINDERBOX_CACHE": str(folder / "cache"),
        },
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_upstreams_images_are_taken_and_what_it_lacks_is_told(upstream: Path) -> None:
    taken, said, left = take(upstream, "pause", "kube-scheduler", "flannel")
    assert taken["pause"]["Labels"]["made.by"] == "upstream"
    assert [*taken] == ["pause"]
    pause, scheduler = sorted(said, key=lambda line: "pause" not in line)
    assert pause.endswith("is upstream's")
    assert "kube-scheduler" in scheduler and "is built here, since upstream's can't be" in scheduler
    assert left == ["localhost/tinderbox/pause"]  # flannel's registry is out of reach
