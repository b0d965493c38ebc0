"""Further releases of Kubernetes in the mirror: which, and what they consist of."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud import mirror, releases
from localcloud.errors import CloudError
from localcloud.mirror import images, own_images, packages
from toolchain.versions import go_modules


@pytest.fixture(params=releases._modules(), ids=lambda module: module.version)
def module(request):
    return request.param


def test_a_release_has_all_that_is_of_kubernetes_and_nothing_else(module):
    version = module.version.removeprefix("v")
    own = set(go_modules()["kubernetes"].commands)
    found = list(releases.release_packages(module))
    assert {p.file_name for p in found} == {
        f"{name}_{version}-1.1_amd64.deb" for name in ("kubelet", "kubeadm", "kubectl")
    }
    pictures = list(releases.release_images(module))
    assert {image.reference for image in pictures} == {
        f"{image.name}:{module.version}"
        for image in images.catalogue()
        if set(image.binaries) & own
    }
    built = [name for p in found for name in p.binaries.values()]
    built += [name for image in pictures for name in image.binaries]
    assert set(built) == set(module.commands)
    assert {name.partition("@")[0] for name in built} == own


def test_the_mirrors_own_release_is_none_of_them():
    assert go_modules()["kubernetes"].version.removeprefix("v") not in releases.known()
    assert {p.version for p in packages.kubernetes()}.isdisjoint(
        p.version for m in releases._modules() for p in releases.release_packages(m)
    )


def test_one_that_is_not_known_is_told_with_those_that_are():
    with pytest.raises(CloudError) as caught:
        releases.offer("1.2.3")
    assert str(caught.value) == (
        f"there is no release 1.2.3; there are: {', '.join(releases.known())}"
    )


def test_a_release_goes_into_a_cloud_that_is_up(monkeypatch, tmp_path):
    monkeypatch.setattr(own_images, "CONFIG", tmp_path / "registry.yml")
    with pytest.raises(CloudError, match="the local cloud is not up"):
        releases.offer(releases.known()[0])


def test_what_a_cloud_serves_can_change_without_the_mirror(monkeypatch, tmp_path):
    """The mirror lies in the cache for all clouds."""
    monkeypatch.setattr(releases, "STATIC", tmp_path / "state" / "static")
    index = tmp_path / "mirror" / "static" / "deb" / "Packages"
    index.parent.mkdir(parents=True)
    index.write_text("old")
    (tmp_path / "state").mkdir()
    releases.lay_out(mirror.Mirror(tmp_path / "mirror"))
    served = releases.STATIC / "deb" / "Packages"
    assert served.read_text() == "old"
    Path(f"{served}.new").write_text("new")
    Path(f"{served}.new").replace(served)
    assert index.read_text() == "old"
