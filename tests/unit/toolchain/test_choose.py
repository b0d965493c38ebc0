"""What is installed wins where its version fits, then the download, then the build or stand-in."""

import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from toolchain import choose, installed, paths, tools
from toolchain.choose import BUILD, DOWNLOAD, INSTALLED, STANDIN, Choice
from toolchain.installed import Found
from toolchain.versions import parse


def script(path: Path, says: str = "", code: int = 0) -> Path:
    """An executable that prints a version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("TINDERBOX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def user(tmp_path, monkeypatch, cache):
    """A user with an empty PATH folder and home; returns the home."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PULUMI_HOME", raising=False)
    return tmp_path / "home"


def test_an_installed_command_wins_even_if_a_download_is_to_be_had():
    found = [Found(Path("/old/pulumi"), (2, 9, 0)), Found(Path("/new/pulumi"), (3, 1, 0))]
    choice = choose.command("pulumi", found, reached=True)
    assert (choice.kind, choice.path, choice.version) == (INSTALLED, "/new/pulumi", "3.1.0")


def test_a_download_comes_before_a_build():
    assert choose.command("helm", [], reached=True).kind == DOWNLOAD


def test_a_build_says_why():
    choice = choose.command("kubectl", [Found(Path("/usr/bin/kubectl"), (1, 32, 4))], reached=False)
    assert (choice.kind, choice.version) == (BUILD, "1.36.4")
    assert "/usr/bin/kubectl is 1.32.4, needed is 1.35 to 1.37" in choice.why
    assert "dl.k8s.io is out of reach" in choice.why


def test_commands_are_asked_for_their_versions(user, tmp_path):
    script(tmp_path / "bin" / "helm", "v3.19.1+g2")
    script(tmp_path / "bin" / "kubectl", "broken", code=1)
    script(user / ".pulumi" / "bin" / "pulumi", "v3.200.0")
    found = choose.look_for_commands(os.environ)
    assert found["helm"] == [Found(tmp_path / "bin" / "helm", (3, 19, 1))]
    assert found["kubectl"] == [Found(tmp_path / "bin" / "kubectl", None)]
    assert found["pulumi"] == [Found(user / ".pulumi" / "bin" / "pulumi", (3, 200, 0))]


def test_our_own_folders_are_not_the_users(cache, tmp_path):
    own = [paths.BIN, paths.VENV / "bin", cache / "x" / "bin"]
    path = os.pathsep.join(map(str, [*own, tmp_path, tmp_path]))
    assert installed.path_folders({"PATH": path}) == [tmp_path]
    home = {"HOME": "/home/u", "PULUMI_HOME": str(cache / "pulumi-home" / "x")}
    assert installed.user_pulumi_home(home) == Path("/home/u/.pulumi")
    assert installed.user_pulumi_home({"PULUMI_HOME": "/opt/p"}) == Path("/opt/p")


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (["7.51.1", "7.60.0"], "7.51.1"),
        (["7.30.0", "7.60.0", "8.0.0"], "7.60.0"),
        (["6.9.0"], None),
        ([], None),
    ],
)
def test_of_several_plugins_the_exact_one_then_the_newest_of_the_major(tmp_path, there, expected):
    for version in there:
        script(tmp_path / "plugins" / f"resource-aws-v{version}" / "pulumi-resource-aws")
    (tmp_path / "plugins" / "resource-aws-v7.99.0").mkdir(parents=True)  # half installed
    choice = choose.plugin("aws", "7.51.1", [], installed.plugins(tmp_path, "aws"), False)
    assert choice.kind == (INSTALLED if expected else STANDIN)
    assert choice.version == (expected or "7.51.1")


@pytest.mark.parametrize(
    ("version", "told"), [(None, "of unknown version"), ((6, 1, 0), "6.1.0"), ((8, 0, 0), "8.0.0")]
)
def test_a_plugin_on_path_is_passed_over_unless_it_tells_the_major(version, told):
    ambient = [Found(Path("/p/pulumi-resource-aws"), version)]
    choice = choose.plugin("aws", "7.51.1", ambient, [], False)
    assert (choice.kind, choice.path) == (STANDIN, "")
    refused = f"/p/pulumi-resource-aws is {told}, needed is 7.x"
    assert choice.why == f"{refused}; no download, get.pulumi.com is out of reach"
    cached = [Found(Path("/h/pulumi-resource-aws"), (7, 51, 1))]
    choice = choose.plugin("aws", "7.51.1", ambient, cached, False)
    assert (choice.kind, choice.path) == (INSTALLED, "/h/pulumi-resource-aws")
    assert choice.why == f"it is in PULUMI_HOME; {refused}"
    ambient.append(Found(Path("/q/pulumi-resource-aws"), (7, 0, 0)))
    choice = choose.plugin("aws", "7.51.1", ambient, cached, False)
    assert (choice.kind, choice.path) == (INSTALLED, "/q/pulumi-resource-aws")


@pytest.fixture
def plugin(tmp_path) -> Callable[..., Path]:
    """A plugin that behaves as the official ones do."""

    def make(*behaviour: str) -> Path:
        path = tmp_path / "pulumi-resource-aws"
        program = Path(__file__).with_name("official_plugin.py")
        words = shlex.join([sys.executable, str(program), str(tmp_path), *behaviour])
        path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        path.chmod(0o755)
        return path

    return make


def is_gone(folder: Path) -> bool:
    """Whether the plugin's process is there no more."""
    return not Path("/proc", (folder / "pid").read_text()).exists()


@pytest.mark.parametrize("version", ["7.51.1", "v6.83.2", "8.0.0-alpha.1+dev"])
def test_a_plugin_is_asked_as_pulumi_asks_it(plugin, tmp_path, monkeypatch, version):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    path = plugin(version)
    assert installed.version_of(path, ["--version"]) is None
    told = installed.plugin_version(Path(sys.executable), path)
    assert told == parse(version) and told is not None
    assert is_gone(tmp_path)


@pytest.mark.parametrize("behaviour", ["", "dies", "babbles", "refuses", "hangs", "stalls"])
def test_a_plugin_that_does_not_answer_is_not_trusted_and_does_not_stay(
    plugin, tmp_path, monkeypatch, behaviour
):
    # The program has its limit; here it is a short one.
    script = Path(installed.__file__).with_name("plugin_info.py").read_text()
    short = tmp_path / "plugin_info.py"
    short.write_text(re.sub(r"(?m)^ANSWER_WITHIN = .*", "ANSWER_WITHIN = 3.0", script))
    monkeypatch.setattr(installed, "__file__", str(tmp_path / "installed.py"))
    assert installed.plugin_version(Path(sys.executable), plugin(behaviour)) is None
    assert is_gone(tmp_path)


def test_a_plugin_that_can_not_be_started_is_not_trusted(tmp_path):
    path = script(tmp_path / "pulumi-resource-aws")
    path.write_bytes(b"\x7fELF of another machine")
    assert installed.plugin_version(Path(sys.executable), path) is None


def test_a_plugin_that_can_be_built_is_no_stand_in():
    choice = choose.plugin("kubernetes", "4.25.0", [], [], False)
    assert (choice.kind, choice.version) == (BUILD, "4.25.0")
    there = [Found(Path("/h/pulumi-resource-kubernetes"), (4, 34, 2))]
    choice = choose.plugin("kubernetes", "4.25.0", [], there, False)
    assert (choice.kind, choice.version) == (INSTALLED, "4.34.2")
    assert choose.plugin("kubernetes", "4.25.0", [], there, True).kind == DOWNLOAD


def test_what_is_built_or_a_stand_in_lies_in_a_home_of_our_own(tmp_path):
    places = {
        Choice("kubernetes", BUILD, "4.25.0", "", "/b/k"): "plugins/resource-kubernetes-v4.25.0",
        Choice("aws", STANDIN, "7.51.1", ""): "plugins/resource-aws-v7.51.1",
        Choice("pulumi", BUILD, "3.260.0", "", "/b/pulumi"): "bin",
        Choice(choose.LANGUAGE_HOST, STANDIN, "", ""): "bin",
    }
    for choice, folder in places.items():
        assert Path(tools._in_home(choice, tmp_path).path).parent == tmp_path / folder
    for other in (
        Choice("helm", BUILD, "3.22.0", "", "/b/helm"),
        Choice("aws", INSTALLED, "7", "", "/a"),
    ):
        assert tools._in_home(other, tmp_path) == other


def test_the_language_host_beside_the_cli_comes_first(tmp_path):
    pulumi = script(tmp_path / "pulumi")
    assert choose.language_host(pulumi, []).kind == STANDIN
    assert choose.language_host(pulumi, [Path("/p/h")]).path == "/p/h"
    beside = script(tmp_path / "pulumi-language-python")
    assert choose.language_host(pulumi, [Path("/p/h")]).path == str(beside)


def test_links_hold_what_the_engine_would_not_find_by_itself(user, tmp_path):
    exact = Choice("aws", INSTALLED, "7.51.1", "", "/h/resource-aws-v7.51.1/pulumi-resource-aws")
    other = Choice("command", INSTALLED, "1.0.0", "", "/h/resource-command-v1.0.0/c")
    cli = Choice("pulumi", INSTALLED, "3.1.0", "", "/usr/bin/pulumi")
    assert set(tools._links([cli, exact, other], None)) == {"pulumi", "pulumi-resource-command"}
    # With a PULUMI_HOME of the stand-ins' own, the user's one is out of the engine's sight.
    assert "pulumi-resource-aws" in tools._links([cli, exact], tmp_path)
    # One on PATH that does not fit would win over the choice, were that not linked before it.
    script(tmp_path / "bin" / "pulumi-resource-kubernetes")
    built = Choice("kubernetes", BUILD, "4.25.0", "", "/home/k")
    assert "pulumi-resource-kubernetes" in tools._links([cli, built], tmp_path)


def test_links_replace_what_was_there(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "BIN", tmp_path / "bin")
    tools._link({"pulumi": Path("/a"), "pulumi-resource-aws": Path("/b")})
    tools._link({"pulumi": Path("/c")})
    assert [p.name for p in (tmp_path / "bin").iterdir()] == ["pulumi"]
    assert (tmp_path / "bin" / "pulumi").readlink() == Path("/c")


def test_a_newly_installed_command_changes_the_stamp(user, tmp_path):
    before = tools._stamp(os.environ)
    assert tools._stamp(os.environ) == before
    script(tmp_path / "bin" / "pulumi", "v3.1.0")
    after = tools._stamp(os.environ)
    assert after != before
    (user / ".pulumi" / "plugins" / "resource-aws-v7.51.1").mkdir(parents=True)
    assert tools._stamp(os.environ) != after


def test_what_is_needed_for_people():
    assert choose.needed({"major": 3}) == "3.x"
    assert choose.needed({"major": 1, "minor": 36, "skew": 1}) == "1.35 to 1.37"
    assert choose.dotted(None) == "of unknown version"
