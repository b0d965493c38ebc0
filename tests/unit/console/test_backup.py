"""make backup, make restore, what status says of snapshots, and an update that looks first."""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console import backup
from console.stack import ConsoleError, Stack
from console.verbs import backup as backup_verb
from console.verbs import restore as restore_verb
from console.verbs import up as up_verb

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
NODE = {"publicIp": "198.18.1.1", "instanceId": "i-1"}
SSH = """#!/bin/bash
printf '%s\\n' "$*" >>{here}/calls
cat "$2" >{here}/key
echo printed
exit "$(cat {here}/code)"
"""


class Place:
    """A stack with a control plane behind an ssh that notes its calls."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self.fails(0)
        program = folder / "ssh"
        program.write_text(SSH.format(here=folder))
        program.chmod(0o755)
        self.key = folder / "key"
        printed = json.dumps("BEGIN\nabc\nEND\nssh-ed25519 AAAA\n")
        self.resources = [
            {"urn": f"{urn}command:local:Command::tinderbox-dev-{name}", "outputs": value}
            for urn, name, value in (
                ("urn::tinderbox:index:KubeadmBootstrap$", "backup-key", {}),
                ("urn::tinderbox:index:KubeNodes$", "key-file", {}),
                ("urn::tinderbox:index:KubeNodes$", "key", {"stdout": {"plaintext": printed}}),
            )
        ]
        state = {"deployment": {"resources": self.resources}}
        monkeypatch.setattr(Stack, "state", lambda _, secrets: state)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.setattr(Stack, "folder", folder)
        monkeypatch.setattr(Stack, "exists", lambda _: True)
        monkeypatch.setattr(Stack, "outputs", lambda _, secrets=False: {"nodes": [NODE]})
        path = {"PATH": f"{folder}:/usr/bin:/bin"}
        monkeypatch.setattr("console.stack.environment", lambda local: path)
        self.stack = Stack("dev")

    def fails(self, code: int) -> None:
        (self._folder / "code").write_text(str(code))

    def calls(self) -> list[str]:
        file = self._folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def make(place: Place) -> None:
    backup_verb.run(Namespace(stack="dev"))


def restore(place: Place, snapshot: str, *, agreed: bool) -> None:
    restore_verb.run(Namespace(stack="dev", snapshot=snapshot, yes=agreed))


def test_a_backup_is_asked_of_the_control_plane_by_the_states_key(place):
    make(place)
    (call,) = place.calls()
    assert place.key.read_text() == "BEGIN\nabc\nEND\n"
    file = Path(call.split()[1])
    assert call.startswith("-i /") and not file.exists()
    assert call.endswith(" admin@198.18.1.1 sudo tinderbox-snapshot 'make backup'")


def test_a_failure_there_is_one_here(place):
    place.fails(3)
    with pytest.raises(ConsoleError, match="tinderbox-snapshot on the control plane failed"):
        make(place)


def test_without_a_key_in_the_state_that_is_said(place):
    place.resources.clear()
    with pytest.raises(ConsoleError, match="the state of stack dev has no key; `make up` makes"):
        make(place)


def test_a_stack_without_nodes_of_its_own_has_no_snapshots(place, monkeypatch):
    monkeypatch.setattr(Stack, "outputs", lambda _, secrets=False: {})
    with pytest.raises(ConsoleError, match="has no control plane of its own"):
        make(place)


def test_a_restore_without_a_name_lists_what_there_is(place, capsys):
    restore(place, "", agreed=False)
    assert place.calls()[0].endswith(" sudo tinderbox-restore")
    assert capsys.readouterr().out == "printed\n"


def test_a_restore_that_nobody_agrees_to_does_nothing(place, monkeypatch):
    with pytest.raises(ConsoleError, match="nobody is here to be asked"):
        restore(place, "a.snapshot", agreed=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "no")
    with pytest.raises(ConsoleError, match="nothing was changed"):
        restore(place, "a.snapshot", agreed=False)
    assert place.calls() == []


@pytest.mark.parametrize("agreed", [True, False])
def test_a_restore_that_is_agreed_to_names_the_snapshot(place, monkeypatch, agreed):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    restore(place, "a b.snapshot", agreed=agreed)
    assert place.calls()[0].endswith(" sudo tinderbox-restore 'a b.snapshot'")


def kept(newest: str = "2026-11-26T11-48-00Z", until: str = "2027-09-01") -> dict[str, Any]:
    """What the cluster keeps, by the ConfigMap's name."""
    made = {"newest": f"{newest}.snapshot", "bytes": "9", "kept": "40", "minutes": "15"}
    times = {"until": f"{until}T12:00:00Z", "ca": "2036-11-24T12:00:00Z", "days": "365"}
    return {"kube-root-ca.crt": {}, "tinderbox-backup": made, "tinderbox-certificates": times}


def test_status_tells_the_age_of_the_newest_and_the_days_that_are_left():
    assert backup.describe(kept(), NOW) == [
        "Snapshots: 40, the newest 12 min old (2026-11-26T11-48-00Z.snapshot)",
        "Certificates: 279 days left, the CA's 3651",
    ]
    assert backup.describe({}, NOW) == []


@pytest.mark.parametrize(
    ("newest", "age"), [("2026-11-26T11-00-00Z", "60 min"), ("2026-11-23T11-00-00Z", "3 days")]
)
def test_status_warns_where_snapshots_have_stopped(newest, age):
    said = backup.describe(kept(newest), NOW)
    assert f"the newest {age} old" in said[0]
    assert said[1].startswith("WARNING: one is due every 15 minutes; ")


def test_status_warns_where_certificates_are_not_renewed():
    assert backup.describe(kept(until="2026-12-20"), NOW)[-1].startswith("WARNING: they are not")
    assert "WARNING" not in str(backup.describe(kept(until="2027-01-20"), NOW))


class Updates:
    """A stack whose updates and refreshes are only noted; an update may bring another node."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ids: list[str]) -> None:
        self.done: list[str] = []
        self._ids = ids
        for name in ("refresh", "up"):
            monkeypatch.setattr(Stack, name, lambda *_, name=name: self.done.append(name))
        monkeypatch.setattr(Stack, "prepare", lambda *_: None)
        monkeypatch.setattr(Stack, "encoding", None)
        monkeypatch.setattr(Stack, "outputs", self.outputs)
        monkeypatch.setattr(up_verb, "require_answer", lambda *_: None)
        monkeypatch.setattr(up_verb.interrupted, "settle", lambda _: None)
        monkeypatch.setattr(up_verb.report, "top_words", lambda _: "words")
        monkeypatch.setattr(up_verb.report, "used", lambda _: "usage")
        monkeypatch.setattr(up_verb.timings, "read_events", lambda _: [])
        monkeypatch.setattr(up_verb, "ROOT", Path("/"))

    def outputs(self, *_: Any, **__: Any) -> dict[str, Any]:
        count = min(self.done.count("up"), len(self._ids) - 1)
        node = {**NODE, "instanceId": self._ids[count]}
        return {"nodes": [node], "wordCount": {"usage": None}}


@pytest.mark.parametrize(
    ("refresh", "ids", "done"),
    [
        (False, ["i-1"], ["up"]),
        (True, ["i-1", "i-1"], ["refresh", "up"]),
        # What is newer than the snapshot is missing in the cluster, which the first could not see.
        (True, ["i-1", "i-2"], ["refresh", "up", "refresh", "up"]),
    ],
)
def test_an_update_that_looks_first_looks_again_with_another_control_plane(
    place, monkeypatch, refresh, ids, done
):
    updates = Updates(monkeypatch, ids)
    up_verb.up(place.stack, None, refresh=refresh)
    assert updates.done == done
