"""Debian packages, the environment's variables, the links, and the command line's errors."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolchain import debian, env, paths, plugin_home, tools, venv
from toolchain.errors import ToolchainError


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TINDERBOX_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert paths.cache_dir() == tmp_path / ".cache" / "tinderbox"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert paths.cache_dir() == tmp_path / ".cache" / "tinderbox"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert paths.cache_dir() == Path("/x/tinderbox")
    monkeypatch.setenv("TINDERBOX_CACHE", "/own")
    assert paths.cache_dir() == Path("/own")


def test_digests_tell_where_one_part_ends():
    assert paths.digest_of("ab", "c") != paths.digest_of("a", "bc")


def test_without_apt_the_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(debian.shutil, "which", lambda _: None)
    with pytest.raises(ToolchainError, match="missing: gcc .*there is no apt-get here"):
        debian.install(["gcc"], "to build flannel")


def test_without_root_the_command_is_named(monkeypatch):
    monkeypatch.setattr(debian.shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(debian.os, "geteuid", lambda: 1000)
    with pytest.raises(ToolchainError, match="as root: apt-get install gcc libc6-dev"):
        debian.install(["gcc", "libc6-dev"], "to build flannel")


def test_apts_last_word_is_the_error(monkeypatch):
    def fail(command, **_):
        return subprocess.CompletedProcess(command, 100, "", "W: old\nE: Unable to locate x\n")

    monkeypatch.setattr(debian.shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(debian.os, "geteuid", lambda: 0)
    monkeypatch.setattr(debian.subprocess, "run", fail)
    with pytest.raises(ToolchainError, match="apt-get update for x failed: E: Unable to locate x"):
        debian.install(["x"], "a test")


def test_no_java_and_no_root_is_said_but_stops_nothing(monkeypatch, capsys):
    def refuse(packages, _):
        raise ToolchainError(f"missing: {packages[0]}")

    monkeypatch.setattr(tools.debian, "install", refuse)
    monkeypatch.setattr(tools.shutil, "which", lambda c: None if c == "java" else f"/bin/{c}")
    tools._debian_packages()
    assert "going on without Java; missing: default-jre-headless" in capsys.readouterr().out
    monkeypatch.setattr(tools.shutil, "which", lambda _: None)
    with pytest.raises(ToolchainError, match="missing: openssh-client"):
        tools._debian_packages()


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """A record of `tools` to write; returns the function that writes it."""
    file = tmp_path / "tools.json"
    monkeypatch.setattr(env, "CHOSEN", file)
    return file.write_text


def test_the_environment_before_tools_has_run(chosen):
    with pytest.raises(ToolchainError, match="run `make tools` first"):
        env.environment()


def test_ours_come_first_on_path_and_only_once(chosen, monkeypatch):
    chosen('{"home": null}')
    monkeypatch.setenv("PATH", f"/usr/bin:{paths.BIN}")
    assert env.changes()["PATH"] == f"{paths.BIN}:{paths.VENV}/bin:/usr/bin"
    assert "PULUMI_HOME" not in env.changes()
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in env.changes()


def test_stand_ins_have_a_home_of_their_own(chosen):
    chosen('{"home": "/cache/pulumi home"}')
    assert env.environment()["PULUMI_HOME"] == "/cache/pulumi home"
    assert "export PULUMI_HOME='/cache/pulumi home'" in env.shell().splitlines()
    assert "export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true" in env.shell().splitlines()


def test_a_folder_of_the_users_in_place_of_the_venv_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "VENV", tmp_path / ".venv")
    venv.link(tmp_path / "one")
    venv.link(tmp_path / "two")
    assert (tmp_path / ".venv").readlink() == tmp_path / "two"
    (tmp_path / ".venv").unlink()
    (tmp_path / ".venv").mkdir()
    with pytest.raises(ToolchainError, match="is a folder of its own"):
        venv.link(tmp_path / "one")


def test_an_environment_that_was_cut_short_is_not_ready(tmp_path):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    assert not venv.ready(tmp_path)
    (tmp_path / ".complete").touch()
    assert venv.ready(tmp_path)
    python.unlink()
    python.symlink_to("/nonexistent/python")
    assert not venv.ready(tmp_path)


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Puts a program of a shell in the place of what makes the environment; none is there yet."""
    python = tmp_path / "python"

    def put(program: str) -> None:
        python.write_text(f"#!/bin/sh\n{program}\n")
        python.chmod(0o755)

    monkeypatch.setenv("TINDERBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(venv.sys, "executable", str(python))
    return put


def test_the_environment_is_made_beside_what_else_is_got(tmp_path, monkeypatch, beside):
    got = tmp_path / "got"
    beside(f'[ "$*" = "-m toolchain venv" ] && until [ -e {got} ]; do sleep 0.05; done')
    monkeypatch.setattr(venv, "make", lambda: Path("/made"))
    with venv.making() as made:
        got.touch()
        assert made() == Path("/made")


def test_an_environment_that_cannot_be_made_is_said(beside):
    beside("exit 1")
    with pytest.raises(ToolchainError, match="no Python environment"), venv.making() as made:
        made()


def test_who_stops_does_not_wait_for_the_environment(tmp_path, beside):
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    beside(f"trap 'touch {ended}; exit' TERM; touch {begun}; while :; do sleep 0.05; done")
    with pytest.raises(KeyboardInterrupt), venv.making():
        while not begun.exists():
            time.sleep(0.05)
        raise KeyboardInterrupt
    assert ended.exists()


def test_plugins_are_installed_by_the_cli_and_stand_ins_run_from_their_own_copy(
    tmp_path, monkeypatch
):
    """With a fake CLI that copies a folder or a file, as `pulumi plugin install --file` does."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("TINDERBOX_CACHE", str(cache))
    cli = cache / "build" / "pulumi"
    cli.parent.mkdir(parents=True)
    cli.write_text(
        '#!/bin/sh\nfolder="$PULUMI_HOME/plugins/resource-$4-v$5"\n'
        'mkdir -p "$folder"\n'
        '[ ! -d "$7" ] || exec cp -r "$7/." "$folder"\n'
        'cp "$7" "$folder/pulumi-resource-$4"\n'
    )
    cli.chmod(0o755)
    standins = tmp_path / "standins"
    (standins / "demo").mkdir(parents=True)
    (standins / "__init__.py").touch()
    (standins / "demo" / "__init__.py").touch()
    (standins / "demo" / "__main__.py").write_text("import sys; print('demo', sys.argv[1:])\n")
    monkeypatch.setattr(plugin_home, "SOURCES", standins)
    venv_folder = tmp_path / "venv"
    (venv_folder / "bin").mkdir(parents=True)
    (venv_folder / "bin" / "python").symlink_to(sys.executable)

    built = tmp_path / "built"
    built.write_text("an executable")
    plugins, files = {"demo": "1.2.3", "real": "4.5.6"}, {"real": built}
    content = plugin_home.Home(venv_folder, cli, plugins, files, cli=True, language=True)
    home = content.make()
    real = home / "plugins" / "resource-real-v4.5.6" / "pulumi-resource-real"
    assert real.read_text() == "an executable"
    plugin = home / "plugins" / "resource-demo-v1.2.3" / "pulumi-resource-demo"
    said = subprocess.run([plugin, "127.0.0.1:1"], capture_output=True, text=True, check=True)
    assert said.stdout == "demo ['127.0.0.1:1']\n"
    assert "STAND-IN" in plugin.read_text()
    assert (home / "bin" / "pulumi").samefile(cli)
    assert os.access(home / "bin" / "pulumi-language-python", os.X_OK)
    assert [p.name for p in home.parent.iterdir()] == [home.name]

    (standins / "demo" / "__main__.py").write_text("print('other')\n")
    assert content.location != home


def test_a_stand_in_that_the_cli_refuses_leaves_no_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TINDERBOX_CACHE", str(tmp_path / "cache"))
    cli = tmp_path / "pulumi"
    cli.write_text("#!/bin/sh\necho 'no such\nplugin' >&2\nexit 1\n")
    cli.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    with pytest.raises(ToolchainError, match="plugin aws 7.51.1 failed: no such plugin"):
        plugin_home.Home(tmp_path, cli, {"aws": "7.51.1"}, {}, cli=False, language=False).make()
    assert list((tmp_path / "cache" / "pulumi-home").iterdir()) == []


def test_errors_are_one_line_and_exit_code_1(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "toolchain", "build", "nonesuch"],
        cwd=paths.CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("tools: no binary is called nonesuch")
    assert done.stderr.count("\n") == 1


def test_other_stand_ins_are_another_choice():
    """They are installed from their sources: an older copy would stay."""
    own = tools._own_files()
    assert paths.CHECKOUT / "standins" / "aws" / "instances.py" in own
    assert paths.CHECKOUT / "toolchain" / "versions.toml" in own
    assert paths.CHECKOUT / "requirements.txt" in own
