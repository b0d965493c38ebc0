"""Another release of Kubernetes goes through the cluster while an application runs on it."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from console.stack import ROOT
from localcloud import releases
from localcloud.layout import HOST_ADDRESS
from localcloud.mirror import STATIC_PORT
from tests.e2e.conftest import Up, write_text
from tests.e2e.meanwhile import Slow, Watch
from tests.seen import seen
from toolchain.versions import go_modules

WAS = go_modules()["kubernetes"].version.removeprefix("v")
UPDATE = ("up", "--yes", "--skip-preview")


@pytest.fixture(scope="module")
def newer(up: Up) -> str:
    """A newer patch release, which the mirror has from now on."""
    found = [version for version in releases.known() if version > WAS]
    assert found, f"toolchain/versions.toml names no newer release than {WAS}"
    subprocess.run([sys.executable, "-m", "localcloud", "release", found[0]], cwd=ROOT, check=True)
    return found[0]


def _ask_for(up: Up, version: str | None) -> None:
    """Sets cluster.version, or takes the setting away."""
    up.configure({"cluster": {"version": version}})


def _versions(up: Up) -> set[str]:
    """The releases that the nodes' kubelets tell."""
    return {item["status"]["nodeInfo"]["kubeletVersion"] for item in up.get("nodes")["items"]}


def test_the_mirror_tells_which_releases_it_has(newer: str):
    minor = WAS.rpartition(".")[0]
    index = f"http://{HOST_ADDRESS}:{STATIC_PORT}/core:/stable:/v{minor}/deb/Packages"
    with urllib.request.urlopen(index, timeout=10) as answer:
        listed = answer.read().decode()
    for version in (WAS, newer):
        assert f"Version: {version}-1.1\n" in listed


def test_a_release_that_the_mirror_lacks_is_refused_in_the_preview(up: Up, newer: str):
    lacking = f"{newer.rpartition('.')[0]}.99"
    _ask_for(up, lacking)
    printed = up.pulumi("preview", fails=True)
    _ask_for(up, None)
    assert f"cluster.version is '{lacking}'" in printed
    assert f"has {WAS}, {newer})" in printed


def test_a_patch_release_goes_from_node_to_node_while_an_application_runs(
    up: Up, newer: str, slow: Slow
) -> None:
    nodes = {node["name"]: node["instanceId"] for node in up.outputs()["nodes"]}
    workers = up.workers()
    counted = up.outputs()["wordCount"]
    _ask_for(up, newer)
    changed = up.changes()
    assert set(changed.values()) == {"update"}
    assert {name.rpartition("-")[2] for name in changed} == {
        *("release", "packages", "upgrade", "drain", "return")
    }
    began = time.monotonic()
    with Watch(up) as watch, seen("Kubernetes: a patch"):
        printed = up.pulumi(*UPDATE)
    print(
        f"upgraded within {time.monotonic() - began:.0f} s; API away for at most {watch.away:.1f} s"
    )
    assert f"Kubernetes {WAS} becomes {newer}, one node after the other" in printed
    assert _versions(up) == {f"v{newer}"}
    # One after the other, and all of them take pods again.
    assert {name for names in watch.cordoned for name in names} == workers
    assert max(len(names) for names in watch.cordoned) == 1
    assert not [item for item in up.get("nodes")["items"] if item["spec"].get("unschedulable")]
    assert watch.away < 60
    # The application ends as if nothing had been, and so does the next one.
    slow.assert_right()
    assert {node["name"]: node["instanceId"] for node in up.outputs()["nodes"]} == nodes
    assert up.outputs()["wordCount"] == counted
    assert up.changes() == {}


def test_there_is_no_way_back(up: Up, newer: str) -> None:
    _ask_for(up, WAS)
    printed = up.pulumi("preview", fails=True)
    assert f"cluster.version is {newer} in this cluster, and {WAS} is asked for" in printed
    assert "Kubernetes does not go back" in printed
    _ask_for(up, newer)


def test_what_is_no_longer_said_stays(up: Up, newer: str) -> None:
    """Without the setting the default, which is older here, counts for new clusters only."""
    _ask_for(up, None)
    assert up.changes() == {}
    assert _versions(up) == {f"v{newer}"}


def test_the_next_minor_release_goes_the_same_way(up: Up, slow: Slow, tmp_path: Path) -> None:
    """With the etcd and the CoreDNS that its kubeadm brings."""
    following = releases.known()[-1]
    assert following.split(".")[1] != WAS.split(".")[1]
    subprocess.run([sys.executable, "-m", "localcloud", "release", following], cwd=ROOT, check=True)
    _ask_for(up, following)
    with Watch(up) as watch, seen("Kubernetes: the next minor release"):
        up.pulumi(*UPDATE)
    print(f"API away {watch.away:.1f} s")
    assert _versions(up) == {f"v{following}"}
    assert max(len(names) for names in watch.cordoned) == 1
    assert watch.away < 60
    slow.assert_right()
    assert up.changes() == {}
    text = tmp_path / "after.txt"
    write_text(text, seed=80, words=1_000)
    up.make("up", f"INPUT={text}")
    up.assert_counted(text)
    # With the tools of that etcd.
    assert ".snapshot, " in up.make("backup")
