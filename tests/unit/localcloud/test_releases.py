"""Further releases of Kubernetes in the mirror: which, and what they consist of."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.settings.cluster import MINORS
from localcloud import mirror, releases
from localcloud.errors import CloudError
from localcloud.mirror import images, own_images, packages
from toolchain import versions
from toolchain.versions import go_modules


@pytest.fixture(params=releases._modules(), ids=lambda module: module.version)
def module(request):
    return request.param


def test_a_release_has_all_that_is_of_kubernetes_and_what_it_needs(module):
    version = module.version.removeprefix("v")
    found = list(releases.release_packages(module, packages.kubernetes()))
    assert {p.file_name for p in found} == {
        f"{name}_{version}-1.1_amd64.deb" for name in ("kubelet", "kubeadm", "kubectl")
    }
    pictures = releases.release_images(module)
    tags = {image.name.rpartition("/")[2]: image.tag for image in pictures}
    parts = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    needed = dict(module.needs)
    if "etcd" in needed:
        needed["etcd"] = f"{needed['etcd'].removeprefix('v')}-0"
    assert tags == dict.fromkeys(parts, module.version) | needed
    built = [name for p in found for name in p.binaries.values()]
    built += [name for image in pictures for name in image.binaries]
    known = {name for m in versions.releases() for name in m.commands}
    assert set(module.commands) <= set(built) <= known
    assert len({image.mirrored for image in pictures}) == len(pictures)


@pytest.mark.parametrize(
    ("version", "images_"),
    [
        ("v1.34.10", {"etcd:3.6.5-0", "coredns/coredns:v1.12.1", "pause:3.10.1"}),
        ("v1.36.5", set()),
        ("v1.37.2", {"etcd:3.7.0-0", "coredns/coredns:v1.14.6"}),
    ],
)
def test_what_kubeadm_names_besides(version, images_):
    (module,) = (m for m in releases._modules() if m.version == version)
    found = {image.mirrored for image in releases.release_images(module)}
    assert {name for name in found if not name.startswith("kube-")} == images_


def test_every_minor_release_that_a_stack_may_have_can_be_had():
    own = go_modules()["kubernetes"].version.removeprefix("v")
    assert {int(v.split(".")[1]) for v in (own, *releases.known())} == set(MINORS)
    minor = int(own.split(".")[1])
    assert range(minor - 2, minor + 2) == MINORS


def test_the_mirrors_own_release_is_none_of_them():
    assert go_modules()["kubernetes"].version.removeprefix("v") not in releases.known()
    assert {p.version for p in packages.kubernetes()}.isdisjoint(
        p.version
        for m in releases._modules()
        for p in releases.release_packages(m, packages.kubernetes())
    )


KINDS = pytest.mark.parametrize(
    ("what", "known", "offer"),
    [
        ("release", releases.known, releases.offer),
        ("containerd", releases.known_containerds, releases.offer_containerd),
        ("Spark", releases.known_sparks, releases.offer_spark),
    ],
)


@KINDS
def test_one_that_is_not_known_is_told_with_those_that_are(what, known, offer):
    with pytest.raises(CloudError) as caught:
        offer("1.2.3")
    assert str(caught.value) == f"there is no {what} 1.2.3; there are: {', '.join(known())}"


@KINDS
def test_a_release_goes_into_a_cloud_that_is_up(what, known, offer, monkeypatch, tmp_path):
    monkeypatch.setattr(own_images, "CONFIG", tmp_path / "registry.yml")
    with pytest.raises(CloudError, match="the local cloud is not up"):
        offer(known()[0])


@pytest.mark.parametrize("module", releases._modules("containerd"), ids=lambda m: m.version)
def test_another_containerd_has_debians_runc_and_a_version_of_its_own(module):
    (package,) = releases.release_packages(module, packages.docker())
    version = module.version.removeprefix("v")
    assert package.file_name == f"containerd.io_{version}-1~debian.13~trixie_amd64.deb"
    assert {*package.binaries.values()} == {*module.commands, "runc"}
    assert version != go_modules()["containerd"].version.removeprefix("v")


def test_a_further_spark_is_an_image_beside_the_mirrors_own():
    own = images.spark(f"{images.spark_version()}-python3")
    further = list(releases.further_sparks().values())
    for version, image in releases.further_sparks().items():
        assert image.reference.startswith(f"docker.io/apache/spark:{version}-")
        assert image.reference.endswith("python3")
    assert own.mirrored not in {image.mirrored for image in further}
    keys = {images.image_key(image) for image in (own, *further)}
    assert len(keys) == len(further) + 1


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
