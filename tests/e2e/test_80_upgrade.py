"""Another release of Kubernetes goes through the cluster while an application runs on it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.stack import ROOT
from localcloud import releases
from localcloud.layout import HOST_ADDRESS
from localcloud.mirror import STATIC_PORT
from tests.e2e.conftest import Up, write_text
from tests.e2e.test_65_operations import Slow
from tests.seen import seen
from toolchain.versions import go_modules

WAS = go_modules()["kubernetes"].version.removeprefix("v")
KEY = "tinderbox:cluster.version"
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
    verb = ["rm", "--path", KEY] if version is None else ["set", "--path", KEY, version]
    up.pulumi("config", *verb)


@pytest.fixture
def slow(up: Up) -> Iterator[Slow]:
    """An application that has begun, may begin anew elsewhere, and ends when it is asked for."""
    made = Slow(up, tasks=40, seconds=3, waits=True, retries=2)
    made.wait_for_tasks(2)
    yield made
    made.delete()


def _versions(up: Up) -> set[str]:
    """The releases that the nodes' kubelets tell."""
    return {item["status"]["nodeInfo"]["kubeletVersion"] for item in up.get("nodes")["items"]}


class Watch(threading.Thread):
    """Asks the API again and again: which workers took no pods, and for how long it was away.

    away: the most seconds from one answer to the next, so that of a call that was good is in it.
    """

    def __init__(self, up: Up) -> None:
        super().__init__(daemon=True)
        self._up = up
        # Its owner's only; in the middle of an update the outputs can't be asked for it.
        self._config = tempfile.NamedTemporaryFile("w")  # noqa: SIM115 (until the thread goes)
        self._config.write(up.stack.outputs(secrets=True)["kubeconfig"])
        self._config.flush()
        self._done = threading.Event()
        self.away = 0.0
        self.cordoned: set[frozenset[str]] = set()

    def run(self) -> None:
        answered = time.monotonic()
        while not self._done.wait(0.5):
            printed = self._up.kubectl(
                *("get", "nodes", "--request-timeout=5s", "--output"),
                "jsonpath={range .items[?(@.spec.unschedulable)]}{.metadata.name} {end}|",
                check=False,
                config=Path(self._config.name),
            )
            if printed.endswith("|"):
                now = time.monotonic()
                self.away = max(self.away, now - answered)
                answered = now
                self.cordoned.add(frozenset(printed[:-1].split()))

    def end(self) -> None:
        """Asks no more."""
        self._done.set()
        self.join()


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
    workers = {node["hostName"] for node in up.outputs()["nodes"] if node["role"] == "worker"}
    counted = up.outputs()["wordCount"]
    _ask_for(up, newer)
    changed = up.changes()
    assert set(changed.values()) == {"update"}
    assert {name.rpartition("-")[2] for name in changed} == {
        *("release", "packages", "upgrade", "drain", "return")
    }
    watch = Watch(up)
    watch.start()
    began = time.monotonic()
    try:
        with seen("Kubernetes: a patch"):
            printed = up.pulumi(*UPDATE)
    finally:
        watch.end()
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
    watch = Watch(up)
    watch.start()
    try:
        with seen("Kubernetes: the next minor release"):
            up.pulumi(*UPDATE)
    finally:
        watch.end()
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
