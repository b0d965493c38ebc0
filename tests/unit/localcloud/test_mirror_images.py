"""The mirror's images: their names, what they are made of, and that the cluster's are all there."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from components.cluster import addons
from localcloud.mirror import Mirror, charts, images, location, registry, serve_commands, upstream
from toolchain import builds

CATALOGUE = {image.reference: image for image in images.catalogue()}
FOLDERS = [*images.BASES, *(image.folder for image in CATALOGUE.values())]


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("registry.k8s.io/kube-apiserver:v1.36.4", "kube-apiserver:v1.36.4"),
        ("registry.k8s.io/coredns/coredns:v1.14.2", "coredns/coredns:v1.14.2"),
        ("ghcr.io/flannel-io/flannel:v0.28.4", "flannel-io/flannel:v0.28.4"),
        ("docker.io/apache/spark:4.2.0-python3", "apache/spark:4.2.0-python3"),
        ("apache/spark:4.2.0-python3", "apache/spark:4.2.0-python3"),
        ("localhost:5000/a/b:1", "a/b:1"),
        ("localhost/a:1", "a:1"),
        ("pause:3.10.2", "pause:3.10.2"),
    ],
)
def test_an_image_keeps_its_path_in_the_mirror(reference, path):
    assert images.mirror_path(reference) == path


def test_no_two_images_share_a_place_in_the_mirror():
    assert len({image.mirrored for image in CATALOGUE.values()}) == len(CATALOGUE)


def test_spark_is_the_official_name_of_the_environments_version():
    assert "docker.io/apache/spark:4.2.0-python3" in CATALOGUE


def test_all_that_kubeadm_names_is_there():
    listing = subprocess.check_output(
        [builds.binary("kubeadm"), "config", "images", "list", "--kubernetes-version", "v1.36.4"],
        text=True,
    )
    assert set(listing.split()) <= set(CATALOGUE)
    assert len(listing.split()) == 7


def test_all_that_the_chart_of_flannel_names_is_there():
    values = yaml.safe_load(
        (builds.module_dir("flannel") / "chart/kube-flannel/values.yaml").read_text()
    )["flannel"]
    named = [values["image"], values["flannel_cni"]["image"]]
    assert {f"{image['repository']}:{image['tag']}" for image in named} <= set(CATALOGUE)


@pytest.mark.parametrize("asked", [addons._FLANNEL, addons._METRICS_SERVER])
def test_the_charts_are_those_that_the_program_asks_for(asked):
    name, version, repository = asked
    module, folder = charts.CHARTS[name, version]
    assert upstream.CHARTS[name] == repository.rstrip("/")
    text = (builds.module_dir(module) / folder / "Chart.yaml").read_text()
    assert yaml.safe_load(text)["version"] == version


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_containerfile_builds_on_our_bases_and_copies_what_is_laid_beside_it(folder):
    text = (images.FOLDER / folder / "Containerfile").read_text()
    base = re.findall(r"^FROM (\S+)$", text, re.MULTILINE)
    assert base in [["scratch"], *([f"localhost/tinderbox/{name}"] for name in images.BASES)]
    image = next((i for i in CATALOGUE.values() if i.folder == folder), None)
    for source in re.findall(r"^COPY (?:--\S+ )*(\S+) ", text, re.MULTILINE):
        beside = (images.FOLDER / folder / source).exists()
        assert image and (beside or source in image.binaries or image.stage)


def test_the_bases_stand_in_the_order_of_their_building():
    built: set[str] = set()
    for name in images.BASES:
        text = (images.FOLDER / name / "Containerfile").read_text()
        assert set(re.findall(r"^FROM localhost/tinderbox/(\S+)", text, re.MULTILINE)) <= built
        built.add(name)


def test_a_change_of_a_base_is_one_of_what_stands_on_it(monkeypatch, tmp_path):
    for name, text in {
        "below": "FROM scratch\n",
        "above": "FROM localhost/tinderbox/below\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "Containerfile").write_text(text)
    monkeypatch.setattr(images, "FOLDER", tmp_path)
    before = images.key("above")
    assert images.key("above") == before
    (tmp_path / "below" / "file").write_text("new")
    assert images.key("above") != before
    assert images.key("above", ["binary-v2"]) != images.key("above")


def test_sparks_files_lie_as_in_the_official_image(tmp_path):
    images.stage_spark(tmp_path, images.spark_version())
    home = tmp_path / "spark"
    for name in ("bin/spark-submit", "bin/spark-class", "sbin", "python/pyspark/sql", "RELEASE"):
        assert (home / name).exists(), name
    assert list((home / "jars").glob("spark-kubernetes_*.jar"))
    assert list((home / "python" / "lib").glob("py4j-*-src.zip"))
    assert (home / "examples/src/main/python/pi.py").is_file()
    assert not (home / "python" / "pyspark" / "jars").exists()
    assert not list(home.rglob("*.cmd"))
    assert not list(home.rglob("__pycache__"))


def test_another_spark_is_fetched_and_lies_there_in_the_same_way(tmp_path, monkeypatch):
    def install(target: Path, *what: str) -> None:
        assert what[-1] == "pyspark==3.5.9"
        for folder in ("jars", "bin", "sbin", "examples", "data", "licenses", "sql", "python/lib"):
            (target / "pyspark" / folder).mkdir(parents=True)
        for file in ("jars/a.jar", "bin/spark-submit", "bin/pyspark.cmd", "sql/functions.py"):
            (target / "pyspark" / file).write_text("3.5.9")

    monkeypatch.setattr(images, "pip_install", install)
    images.stage_spark(tmp_path, "3.5.9")
    home = tmp_path / "spark"
    assert (home / "RELEASE").read_text() == "Spark 3.5.9 (from PyPI's pyspark)\n"
    found = {str(file.relative_to(home)) for file in home.rglob("*") if file.is_file()}
    assert found == {"RELEASE", "jars/a.jar", "bin/spark-submit", "python/pyspark/sql/functions.py"}
    assert (home / "jars" / "a.jar").read_text() == "3.5.9"
    assert [path.name for path in tmp_path.iterdir()] == ["spark"]


def test_sparks_entrypoint_runs_any_other_command_as_it_stands():
    script = images.FOLDER / "spark" / "entrypoint.sh"
    done = subprocess.run(
        [script, "sh", "-c", 'echo "$0 $1"; exit 3', "a b", "c"],
        env={"PATH": "/usr/bin:/bin", "SPARK_HOME": "/opt/spark"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (3, "a b c\n")


# As in a pod, where no other processes are: a stand-in for the executor, the hook, and their ends.
POD = """
exec -a java bash "$1/executor" x.ExecutorBackend &
until [ -e "$1/up" ]; do sleep 0.05; done
"$0" & hook=$!
wait %1
wait $hook
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make such a place here")
def test_sparks_decom_tells_the_executor_and_waits_for_its_end(tmp_path):
    """It is what Spark names as the hook of executors' pods."""
    (tmp_path / "executor").write_text(
        f"trap 'echo told; exit' PWR; touch {tmp_path}/up; while :; do sleep 0.05; done"
    )
    alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-euc", POD]
    done = subprocess.run(
        [*alone, images.FOLDER / "spark" / "decom.sh", tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr


def test_the_registry_is_read_only_where_it_serves(tmp_path):
    registry.write_config(tmp_path / "c.yml", tmp_path / "store", readonly=True)
    storage = yaml.safe_load((tmp_path / "c.yml").read_text())["storage"]
    assert storage["filesystem"]["rootdirectory"] == str(tmp_path / "store")
    assert storage["maintenance"]["readonly"]["enabled"] is True


def test_what_serves_the_mirror_listens_on_the_given_address_only():
    files, images_ = serve_commands(Mirror(Path("/cache/m")), "10.43.0.1")
    assert files[files.index("--bind") + 1] == "10.43.0.1"
    assert files[files.index("--directory") + 1] == "/cache/m/static"
    assert files[-1] == "8080"
    assert images_[:2] == ["env", "REGISTRY_HTTP_ADDR=10.43.0.1:5000"]
    assert images_[-1] == "/cache/m/registry.yml"


def test_the_mirrors_place_is_found_quickly_and_always_the_same():
    assert location() == location()


def test_what_goes_into_an_image_can_be_read_by_its_user_whatever_the_umask(tmp_path, monkeypatch):
    """Of a checkout that was made with umask 077: COPY keeps the modes that it finds."""
    folders = shutil.copytree(images.FOLDER, tmp_path / "images")
    for path in folders.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    binary = tmp_path / "pause"
    binary.touch(0o700)
    seen: dict[str, int] = {}

    class Buildah(images.Buildah):
        def key_of(self, name: str) -> str:
            return "" if name in ("spark", "pause") else keys[name]

        def build(self, context: Path, name: str, key: str) -> None:
            seen.update((file.name, file.stat().st_mode & 0o777) for file in context.iterdir())

    monkeypatch.setattr(images, "FOLDER", folders)
    chosen = [image for image in images.catalogue() if image.folder in ("spark", "pause")]
    chosen = [dataclasses.replace(image, stage=None) for image in chosen]
    monkeypatch.setattr(images.builds, "binary", lambda name: binary)
    keys = {name: images.image_key(images.Image("", "", name)) for name in images.BASES}
    (tmp_path / "scratch").mkdir()
    images.build(Buildah(tmp_path), chosen, tmp_path / "scratch", lambda line: None)
    assert seen == {"Containerfile": 0o644, "pause": 0o755} | dict.fromkeys(
        ["entrypoint.sh", "decom.sh"], 0o755
    )
