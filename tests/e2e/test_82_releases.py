"""The minor releases of Kubernetes before the default's: each begins a cluster that counts words.

Each has a local cloud of its own, so these tests come before those that share one stack.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.stack import ROOT, Stack
from localcloud import releases
from localcloud.layout import STATE
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import Watch
from toolchain.versions import GoModule, go_modules

MINOR = int(go_modules()["kubernetes"].version.split(".")[1])
CONTAINERD = releases.known_containerds()[-1]
OLDER = [m for m in releases._modules() if int(m.version.split(".")[1]) < MINOR]


@pytest.fixture(scope="module", params=OLDER, ids=lambda module: module.version)
def older(request: pytest.FixtureRequest) -> GoModule:
    """A release before the default's."""
    return request.param


@pytest.fixture(scope="module")
def up(older: GoModule, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack that begins with it."""
    assert not STATE.exists(), "there is a local cloud already: make destroy"
    made, version = Up(Stack("local")), older.version.removeprefix("v")
    try:
        for verb in (["up"], ["release", version], ["containerd", CONTAINERD]):
            subprocess.run([sys.executable, "-m", "localcloud", *verb], cwd=ROOT, check=True)
        made.stack.prepare(str(text))
        made.configure({"cluster": {"version": version, "containerdVersion": CONTAINERD}})
        made.stack.up(tmp_path_factory.mktemp("up") / "events.jsonl")
        yield made
    finally:
        subprocess.run(["make", "destroy"], cwd=ROOT, check=True)


def test_the_words_are_counted_on_nodes_of_this_release(up: Up, older: GoModule, text: Path):
    nodes = up.get("nodes")["items"]
    assert [node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes] == [older.version] * 3
    up.assert_counted(text)


def test_what_kubeadm_brings_is_of_the_releases_that_it_names(up: Up, older: GoModule):
    pods = up.get("pods", "-n", "kube-system")["items"]
    running = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
    wanted = {image.reference for image in releases.release_images(older)}
    assert {image for image in wanted if "/pause:" not in image} <= running


def test_another_update_has_nothing_to_do(up: Up):
    assert up.changes() == {}


def _containerds(up: Up) -> set[str]:
    nodes = up.get("nodes")["items"]
    return {node["status"]["nodeInfo"]["containerRuntimeVersion"] for node in nodes}


def test_another_containerd_goes_from_node_to_node_although_it_is_interrupted(up: Up):
    newer = go_modules()["containerd"].version.removeprefix("v")
    assert _containerds(up) == {f"containerd://{CONTAINERD}"}
    up.configure({"cluster": {"containerdVersion": newer}})
    with Watch(up) as watch:
        assert "error" in up.interrupted("worker-1-upgrade updating")
        # Half of it serves, and the next update goes on.
        assert up.ready() == up.hosts()
        assert len(_containerds(up)) == 2
        up.pulumi("up", "--yes", "--skip-preview")
    assert _containerds(up) == {f"containerd://{newer}"}
    assert max(len(names) for names in watch.cordoned) == 1
    assert {name for names in watch.cordoned for name in names} == up.workers()
    assert up.ready() == up.hosts()
    assert up.changes() == {}


def test_a_snapshot_is_made_with_the_tools_of_its_etcd(up: Up):
    assert ".snapshot, " in up.make("backup")
