"""A stack's name, its configuration files, and the environment of each call of Pulumi."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from console import stack as module
from console.stack import ConsoleError, Stack, read_settings
from localcloud import layout
from toolchain import env

PULUMI = """#!{python}
import json, os, pathlib, sys, tempfile
here = {here!r}
pathlib.Path(tempfile.gettempdir(), "kubeconfig1").touch()
with open(here + "/calls", "a") as file:
    print(json.dumps([sys.argv[1:], dict(os.environ)]), file=file)
if "ls" in sys.argv:
    print(open(here + "/stacks").read())
elif "init" in sys.argv:
    open("Pulumi." + sys.argv[-1] + ".yaml", "w").write("encryptionsalt: salt\\n")
elif "output" in sys.argv:
    print("{{}}")
elif "history" in sys.argv:
    print("[1]")
elif "export" in sys.argv:
    print('{{"deployment": {{}}}}')
"""


class Place:
    """A checkout, a local cloud's folder and a Pulumi that notes its calls."""

    def __init__(self, folder: Path) -> None:
        self.root, self.cloud = folder / "checkout", folder / "cloud"
        self.shipped = self.root / "Pulumi.local.yaml"
        self.copy = self.cloud / "Pulumi.local.yaml"
        self._calls = folder / "calls"
        self._stacks = folder / "stacks"
        for made in (self.root, self.cloud, folder / "bin"):
            made.mkdir()
        (self.cloud / "passphrase").touch()
        (self.root / "Pulumi.yaml").write_text("name: tinderbox\n")
        self.shipped.write_text("config:\n  tinderbox:aws:\n    region: eu-central-1\n")
        (self.root / "Pulumi.dev.yaml").write_text("# Mine.\nconfig: {}\n")
        program = folder / "bin" / "pulumi"
        program.write_text(PULUMI.format(python=sys.executable, here=str(folder)))
        program.chmod(0o755)
        self.knows()

    def knows(self, *names: str) -> None:
        """The stacks that the backend has; of the local cloud's it has a file each."""
        kept = self.cloud / ".pulumi" / "stacks" / "tinderbox"
        shutil.rmtree(kept, ignore_errors=True)
        for name in names:
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            (kept / f"{name}.json").touch()
        self._stacks.write_text(json.dumps([{"name": name} for name in names]))

    def calls(self) -> list[tuple[list[str], dict[str, str]]]:
        return [json.loads(line) for line in self._calls.read_text().splitlines()]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.setattr(module, "ROOT", made.root)
    monkeypatch.setattr(Stack.pulumi, "__kwdefaults__", {**_defaults(), "cwd": made.root})
    monkeypatch.setattr(layout, "PULUMI", made.cloud)
    monkeypatch.setattr(env, "changes", lambda base: {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    return made


def _defaults() -> dict[str, Any]:
    return dict(Stack.pulumi.__kwdefaults__ or {})


# ---- names


@pytest.mark.parametrize("name", ["dev", "acme/dev", "acme/tinderbox/dev"])
def test_a_stack_has_one_configuration_whoever_it_belongs_to(place: Place, name: str) -> None:
    made = Stack(name)
    assert made.config_file == place.root / "Pulumi.dev.yaml"
    assert made.folder == place.root / ".tinderbox" / "dev"
    made.outputs()
    assert place.calls()[-1][0][-2:] == ["-s", name]


def test_whether_the_local_clouds_backend_has_it_is_seen_without_pulumi(place: Place) -> None:
    place.knows("rehearsal")
    assert not Stack("local").exists() and Stack("rehearsal", of_cloud=True).exists()
    place.knows("local")
    assert Stack("local").exists()
    (place.cloud / "passphrase").unlink()
    assert not Stack("local").exists()


@pytest.mark.parametrize(
    ("name", "known", "exists"),
    [
        ("dev", ["dev"], True),
        ("dev", ["acme/dev"], False),
        ("acme/dev", ["acme/tinderbox/dev"], True),
        ("acme/tinderbox/dev", ["acme/tinderbox/dev"], True),
        ("acme/dev", ["other/tinderbox/dev", "acme/tinderbox/prod"], False),
    ],
)
def test_whether_the_backend_has_it(place: Place, name: str, known: list[str], exists: bool):
    place.knows(*known)
    assert Stack(name).exists() == exists
    assert ("--fully-qualify-stack-names" in place.calls()[-1][0]) == ("/" in name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "--help",
        "..",
        "../dev",
        "a/b/c/d",
        "a//b",
        "/dev",
        "dev/",
        "a b",
        "a'b",
        "dev\n",
        "ü",
    ],
)
def test_what_is_no_name_is_one_line(place: Place, name: str) -> None:
    with pytest.raises(ConsoleError, match=r"^STACK=(?s:.*) is no stack's name: write NAME, ORG"):
        Stack(name)


def test_the_local_clouds_stack_has_no_organization(place: Place) -> None:
    with pytest.raises(ConsoleError, match="^STACK=acme/local: `local` is the local cloud's"):
        Stack("acme/local")


# ---- the environment


def test_a_passphrase_of_another_project_is_not_the_local_stacks(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {
        **{"PULUMI_CONFIG_PASSPHRASE": "other", "PULUMI_CONFIG_PASSPHRASE_FILE": "/other"},
        **{"PULUMI_BACKEND_URL": "s3://other", "PULUMI_STACK": "other", "AWS_PROFILE": "other"},
        **{"KUBECONFIG": "/other", "SPARK_HOME": "/other", "TMPDIR": "/other"},
    }
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    made = Stack("local")
    made.prepare()
    made.outputs()
    made.preview("--diff")
    for _, found in place.calls():
        assert not set(foreign.values()) & set(found.values())
        assert found["PULUMI_BACKEND_URL"] == f"file://{place.cloud}"
        assert found["PULUMI_CONFIG_PASSPHRASE_FILE"] == str(place.cloud / "passphrase")


def test_a_stack_shows_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    assert "s3cr3t" not in repr(Stack("dev"))


def test_on_aws_account_and_backend_are_the_users(place: Place, monkeypatch) -> None:
    given = {"AWS_PROFILE": "mine", "PULUMI_BACKEND_URL": "s3://mine"}
    given["PULUMI_CONFIG_PASSPHRASE"] = "mine"
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    Stack("dev").outputs()
    assert given.items() <= place.calls()[-1][1].items()


# ---- configuration files


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"config:\n\ttinderbox:aws: {}\n", ", line 2, column 1: found character"),
        (b"config:\n  a: 'open\n", ", line 3, column 1: found unexpected end of stream"),
        (b"config: {\n", ", line 2, column 1: "),
        (b"config:\n  a: caf\xe9\n", ", line 2: this is not UTF-8"),
        ("config: {}\n".encode("utf-16"), ", line 1: this is not UTF-8"),
        ("config: {}\n".encode("utf-16-be"), ": unacceptable character"),
        (b"config: !mine {}\n", ", line 1, column 9: could not determine a constructor"),
        (b"config:\n  a: 2026-99-99\n", ": month must be in 1..12"),
        (b"- config\n", ": it must have `config:`"),
        (b"config: text\n", ": it must have `config:`"),
        (b"[" * 5000, ": "),
    ],
)
def test_a_file_that_is_none_is_named_with_the_place(place: Place, content: bytes, said: str):
    place.shipped.write_bytes(content)
    with pytest.raises(ConsoleError) as error:
        Stack("local").check()
    assert str(error.value).startswith(f"{place.shipped}{said}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("line", ["    pi: {}", "  tinderbox:applications: {}"])
def test_a_key_that_is_there_twice_is_named(place: Place, line: str) -> None:
    """yaml itself keeps the last; Pulumi refuses it."""
    text = "config:\n  tinderbox:applications:\n    pi: {}\n    other: {}\n"
    place.shipped.write_text(text)
    assert read_settings(place.shipped)["config"]["tinderbox:applications"].keys() == {
        "pi",
        "other",
    }
    place.shipped.write_text(f"{text}{line}\n")
    name = line.split(": ")[0].strip()
    with pytest.raises(ConsoleError, match=rf"line 5, column \d: {name} is there twice"):
        read_settings(place.shipped)


@pytest.mark.parametrize("content", [b"", b"\n# nothing\n", b"config:\n", b"config:\n  # x\n"])
def test_an_empty_file_has_no_settings(place: Place, content: bytes) -> None:
    place.shipped.write_bytes(content)
    assert read_settings(place.shipped) == {"config": {}}


@pytest.mark.parametrize("content", ["\ufeffconfig:\r\n  tinderbox:aws: {a: ü}\r\n"])
def test_marks_and_line_ends_of_other_systems_do_no_harm(place: Place, content: str) -> None:
    place.shipped.write_bytes(content.encode())
    assert read_settings(place.shipped) == {"config": {"tinderbox:aws": {"a": "ü"}}}


def test_the_clouds_copy_keeps_salt_and_text(place: Place) -> None:
    made = Stack("local")
    made.prepare("/books/a.txt")
    made.prepare()
    assert yaml.safe_load(place.copy.read_text()) == {
        "config": {
            "tinderbox:aws": {"region": "eu-central-1"},
            "tinderbox:wordCount": {"input": "/books/a.txt"},
        },
        "encryptionsalt": "salt",
    }
    assert [call[0][1:3] for call in place.calls()] == [["stack", "init"]]


def test_the_clouds_copy_is_whole_or_as_it_was(place: Place, monkeypatch) -> None:
    made = Stack("local")
    made.prepare("/books/a.txt")
    before = place.copy.read_text()

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        made.prepare("/books/b.txt")
    assert place.copy.read_text() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", ": the stack's configuration is lost; `python -m localcloud down` discards the stack"),
        ('config:\n  tinderbox:aws:\n    region: "eu', ", line 3, column 16: found unexpected end"),
        ("config:\n  tinderbox:wordC", ": it must have `config:`"),
    ],
)
def test_a_copy_that_was_cut_is_said(place: Place, content: str, said: str) -> None:
    place.knows("local")
    place.copy.write_text(content)
    with pytest.raises(ConsoleError) as error:
        Stack("local").prepare()
    assert str(error.value).startswith(f"{place.copy}{said}")


@pytest.mark.parametrize("value", ["", "text", "- a"])
def test_a_count_without_keys_is_none_or_named(place: Place, value: str) -> None:
    place.shipped.write_text(f"config:\n  tinderbox:wordCount:\n    {value}\n")
    made = Stack("local")
    if value:
        with pytest.raises(ConsoleError, match="tinderbox:wordCount must have keys below it"):
            made.prepare("/a")
    else:
        made.prepare("/a")
        assert yaml.safe_load(place.copy.read_text())["config"] == {
            "tinderbox:wordCount": {"input": "/a"}
        }


def test_on_aws_pulumi_sets_the_text_in_the_stacks_file(place: Place) -> None:
    place.knows("acme/tinderbox/dev")
    Stack("acme/dev").prepare("./2026")
    assert place.calls()[-1][0] == [
        *["--non-interactive", "config", "set", "--path", "tinderbox:wordCount.input", "./2026"],
        *["--stack", "acme/dev", "--config-file", str(place.root / "Pulumi.dev.yaml")],
    ]


def test_a_stack_without_a_file_is_named(place: Place) -> None:
    with pytest.raises(ConsoleError, match=r"^there is no Pulumi.none.yaml; see Pulumi.dev.yaml"):
        Stack("acme/none").prepare()
    assert os.listdir(place.cloud) == ["passphrase"]


def test_a_refresh_leaves_what_a_cluster_that_is_away_can_not_tell_of(place):
    """Nobody needs to know the variable; and no other call has it."""
    place.knows("dev")
    stack = Stack("dev")
    stack.refresh()
    stack.preview()
    _, (refresh, with_it), (preview, without_it) = place.calls()
    assert (refresh[1], preview[1]) == ("refresh", "preview")
    assert with_it["PULUMI_K8S_SKIP_UPDATE_UNREACHABLE"] == "true"
    assert "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE" not in without_it


def test_what_plugins_leave_in_the_temporary_folder_goes_with_the_call(place: Place) -> None:
    """The official one of Kubernetes leaves a file with its credentials."""
    place.knows("dev")
    Stack("dev").preview()
    folders = [Path(environment["TMPDIR"]) for _, environment in place.calls()]
    assert len(set(folders)) == len(folders) > 0
    assert not [folder for folder in folders if folder.exists()]


def test_another_stack_can_be_on_the_local_cloud(place: Place) -> None:
    """Its configuration is given, and nothing of the user's backend and accounts is asked."""
    made = Stack("other", of_cloud=True)
    made.configure({"config": {"tinderbox:aws": {"region": "x"}}})
    made.configure({"config": {"tinderbox:aws": {"region": "y"}}})
    kept = {"config": {"tinderbox:aws": {"region": "y"}}, "encryptionsalt": "salt"}
    assert yaml.safe_load((place.cloud / "Pulumi.other.yaml").read_text()) == kept
    assert made.history() == [1]
    assert [call[0][1:3] for call in place.calls()] == [["stack", "init"], ["stack", "history"]]
    assert place.calls()[-1][1]["PULUMI_BACKEND_URL"] == f"file://{place.cloud}"


# ---- what was killed


def test_a_lock_goes_with_the_process_that_was_killed_and_no_other(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locks = place.cloud / ".pulumi" / "locks" / "organization" / "tinderbox"
    waits = tmp_path / "pulumi"
    shutil.copy("/bin/cat", waits)
    with (
        subprocess.Popen([waits], stdin=subprocess.PIPE) as runs,
        subprocess.Popen([waits], stdin=subprocess.PIPE) as killed,
    ):
        killed.kill()
        # The number of the second is somebody else's by now; of the third nobody has heard yet.
        owners = {"local/runs": runs.pid, "local/other": os.getpid(), "local/gone": 2**22 + 1}
        owners["local/killed"] = killed.pid
        for name, pid in {**owners, "other/gone": 2**22 + 1}.items():
            (locks / name).parent.mkdir(parents=True, exist_ok=True)
            (locks / f"{name}.json").write_text(json.dumps({"pid": pid}))
        stacks = place.cloud / ".pulumi" / "stacks"
        stacks.mkdir()
        for name, content in (("local.json", "{}"), ("local.json.attrs", "")):
            (stacks / name).write_text(content)
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        Stack("local").outputs()
        left = {str(file.relative_to(locks)) for file in locks.rglob("*.json")}
        runs.communicate(b"\n")
    assert left == {"local/runs.json", "other/gone.json"}
    assert [file.name for file in stacks.iterdir()] == ["local.json"]
    said = capsys.readouterr()
    assert f"state: process {os.getpid()} held it and was killed; it is free\n" in said.err
    assert said.out == ""
