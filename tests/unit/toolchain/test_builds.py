"""Builds: the cache, interruption, two at once. A fake `go` stands in for the compiler."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolchain import builds, paths
from toolchain.errors import ToolchainError
from toolchain.versions import go_modules

# Writes what `go build -o folder/ packages...` would, and logs that it ran.
FAKE_GO = """#!/bin/sh
echo "$@" >> "$FAKE_GO_LOG"
[ -z "${FAKE_GO_FAIL:-}" ] || { echo "main.go:1: broken" >&2; exit 1; }
folder=; next=; packages=0
for word in "$@"; do
  if [ -n "$next" ]; then folder=$word; next=; packages=1; continue; fi
  if [ "$word" = -o ]; then next=1; continue; fi
  [ "$packages" = 1 ] || continue
  [ "$word" != . ] || word=$(basename "$PWD")
  echo "some/package" >&2
  echo built > "$folder$(basename "$word")"
  while [ -n "${FAKE_GO_BLOCK:-}" ] && [ -e "$FAKE_GO_BLOCK" ]; do sleep 0.05; done
done
"""


@pytest.fixture
def fake_go(tmp_path, monkeypatch):
    """An empty cache and a fake go; returns the log of its calls."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(FAKE_GO)
    go.chmod(0o755)
    log = tmp_path / "go.log"
    log.touch()
    monkeypatch.setenv("PATH", f"{go.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TINDERBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_GO_LOG", str(log))
    return log


def wait_for(condition, what: str) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, f"{what} did not happen within 20 s"
        time.sleep(0.02)


def in_background(*names: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "toolchain", "build", *names],
        cwd=paths.CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_module_is_built_once_for_all_its_binaries(fake_go):
    builds.build(["ctr", "containerd", "etcd"], progress=False)
    assert len(fake_go.read_text().splitlines()) == 2
    path = builds.binary("containerd")
    assert path.read_text() == "built\n"
    assert path.parent.name.startswith("containerd-v2.4.2-")
    assert len(fake_go.read_text().splitlines()) == 2
    assert not list((paths.cache_dir() / "build").glob(".*"))


def test_the_binary_has_our_name_not_the_packages(fake_go):
    assert builds.binary("flanneld").name == "flanneld"


def test_a_failed_build_leaves_nothing_and_tells_the_compilers_last_words(fake_go, monkeypatch):
    monkeypatch.setenv("FAKE_GO_FAIL", "1")
    with pytest.raises(ToolchainError, match=r"build of etcd v3.6.8 failed:\n  main.go:1: broken"):
        builds.build(["etcd"], progress=False)
    assert list((paths.cache_dir() / "build").iterdir()) == []
    monkeypatch.delenv("FAKE_GO_FAIL")
    assert builds.binary("etcd").exists()


def test_a_killed_build_is_taken_up_again(fake_go, tmp_path, monkeypatch):
    block = tmp_path / "block"
    block.touch()
    monkeypatch.setenv("FAKE_GO_BLOCK", str(block))
    first = in_background("containerd", "ctr")
    build = paths.cache_dir() / "build"
    wait_for(lambda: list(build.glob(".containerd.*/containerd")), "the first binary")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert not builds.location("containerd").exists()
    block.unlink()
    builds.build(["containerd", "ctr"], progress=False)
    assert builds.location("ctr").exists()
    assert not list(build.glob(".*"))  # what the killed one left is gone too


def test_two_at_once_wait_for_each_other_and_say_so(fake_go, tmp_path, monkeypatch):
    block = tmp_path / "block"
    block.touch()
    monkeypatch.setenv("FAKE_GO_BLOCK", str(block))
    first = in_background("helm")
    wait_for(lambda: fake_go.read_text(), "the first build's start")
    second = in_background("helm")
    assert second.stderr is not None
    waiting = second.stderr.readline()
    block.unlink()
    said = [process.communicate() for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    assert f"waiting for the build of helm: process {first.pid} is at it" in waiting
    assert len(fake_go.read_text().splitlines()) == 1


def test_a_module_is_built_with_files_of_ours_in_it(fake_go, tmp_path, monkeypatch):
    module = go_modules()["pulumi-kubernetes"]
    theirs, into = tmp_path / "theirs", tmp_path / "into"
    into.mkdir()
    made = {file: own for file, own in module.patches.items() if file.endswith("-embed.json")}
    for file in {*module.patches, *made.values()} - made.keys():
        (theirs / file).parent.mkdir(parents=True, exist_ok=True)
        (theirs / file).write_text(f"their {file}")
        (theirs / file).chmod(0o444)
        (theirs / file).parent.chmod(0o555)
    monkeypatch.setattr(builds, "module_dir", lambda name: theirs)
    line = builds.command_line(module, list(module.commands), into)

    pinned = (builds.source(module) / "go.mod").read_text()
    replaced = f"\nreplace {module.module} => {into / 'upstream'}\n"
    assert Path(line[line.index("-modfile") + 1]).read_text() == pinned + replaced
    for file, own in module.patches.items():
        ours = f"their {own}" if file in made else (builds.source(module) / own).read_text()
        assert (into / "upstream" / file).read_text() == ours
    assert len(made) == 2 and len(module.patches) == 3
    assert "-modfile" not in builds.command_line(go_modules()["etcd"], ["etcd"], into)


def test_progress_counts_to_the_end(fake_go):
    done = subprocess.run(
        [sys.executable, "-m", "toolchain", "build", "etcd", "ctr", "pause"],
        cwd=paths.CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tools: [1/3] etcd v3.6.8, 1 packages, 0 s" in done.stderr
    assert "tools: [3/3] pause 3.10.2" in done.stderr
    assert [Path(line).name for line in done.stdout.splitlines()] == ["etcd", "ctr", "pause"]


def test_the_stand_in_for_pause_ends_where_kubeadm_waits_for_its_end():
    """kubeadm runs it with -v before an upgrade; a pod has it with nothing until its own end."""
    pause = builds.binary("pause")
    said = subprocess.run([pause, "-v"], capture_output=True, text=True, check=True, timeout=20)
    assert said.stdout == f"pause (stand-in) {go_modules()['pause'].version}\n"
    held = subprocess.Popen([pause])
    with pytest.raises(subprocess.TimeoutExpired):
        held.wait(0.2)
    held.terminate()
    assert held.wait(20) == 0


def test_an_unknown_name_is_an_error_that_lists_the_known(fake_go):
    with pytest.raises(ToolchainError, match="no binary is called nonesuch; there are: kubeadm, "):
        builds.binary("nonesuch")
    with pytest.raises(ToolchainError, match="no upstream module called pause"):
        builds.module_dir("pause")


def test_without_go_the_error_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(builds.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ToolchainError, match="missing: Go 1.26.6 or newer"):
        builds.go()


def test_what_changes_a_binary_changes_its_place():
    flannel, helm = go_modules()["flannel"], go_modules()["helm"]
    assert builds._digest(flannel, "flanneld") != builds._digest(helm, "helm")


def test_flannel_is_linked_static_and_others_without_cgo(tmp_path, monkeypatch):
    monkeypatch.setattr(builds, "go", lambda: "go")
    flannel, etcd = go_modules()["flannel"], go_modules()["etcd"]
    assert "-extldflags -static" in " ".join(builds.command_line(flannel, ["flanneld"], tmp_path))
    assert builds._environment(etcd)["CGO_ENABLED"] == "0"
    assert "-mod=readonly" in builds._environment(etcd)["GOFLAGS"]
