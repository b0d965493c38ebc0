"""Another instance type: one node at a time, what happens to it, and what a failure does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from components.cluster import roll
from components.cluster.roll import Entrance, Roll

CONTROL_PLANE = "cp"
# What a run of a script on the control plane is, by what is in it.
KINDS = {"drain_for ": "away", "is_back()": "back", "|| let_back": "let back"}


class Way:
    """In place of an Entrance: notes what runs, and does as it is told."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.hold: asyncio.Event | None = None
        self.fails: set[str] = set()

    async def run(self, script: str, within: float) -> str:
        step = script.partition("step()")[2]
        kind = next((KINDS[part] for part in reversed(KINDS) if part in step), "reached")
        name = script.partition("export WORKER=")[2].partition("\n")[0]
        did = f"{kind} {name}".strip()
        await asyncio.sleep(0)
        if did in self.fails:
            raise RuntimeError("no")
        self.ran.append(did)
        return "draining\nboot-1\n" if kind == "away" else ""


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What the program says."""
    lines: list[str] = []
    for level in ("info", "warn"):
        monkeypatch.setattr(pulumi.log, level, lines.append)
    return lines


@pytest.fixture
def way() -> Way:
    return Way()


class Hooks:
    """The hooks of a cluster, called as the engine does."""

    def __init__(self, way: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.in_preview: list[Any] = []

        def hook(name: str, func: Any, opts: Any = None) -> Any:
            if opts is not None and opts.on_dry_run:
                self.in_preview.append(func)
            return func

        monkeypatch.setattr(pulumi, "ResourceHook", hook)
        monkeypatch.setattr(pulumi, "ErrorHook", hook)
        offered = {name: ("nodes", ("eu-central-1a",)) for name in (CONTROL_PLANE, "w1", "w2")}
        binding = Roll("x", CONTROL_PLANE, way, offered).options.hooks
        assert binding is not None
        self.look: Any
        self.away: Any
        self.look, self.away = binding.before_update or []
        self.back: Any = (binding.after_update or [])[0]
        self.failed: Any = (binding.on_error or [])[0]

    async def update(self, name: str, stop: Callable[[], Any] | None = None, **more: Any) -> None:
        """One instance's update; stop: what EC2 does, which may raise."""
        args = change(name, **more)
        self.look(args)
        await self.away(args)
        try:
            if stop is not None:
                await stop()
        except RuntimeError:
            error = pulumi.ErrorHookArgs("urn", "id", name, "type", old_outputs=args.old_outputs)
            assert await self.failed(error) is False
            raise
        await self.back(args)


def change(name: str, was="t3.medium", wanted="t3.large", zone="eu-central-1a") -> Any:
    return pulumi.ResourceHookArgs(
        *("urn", "id", name, "type"),
        new_inputs={"instanceType": wanted, "tags": {}},
        old_inputs={"instanceType": was},
        old_outputs={"availabilityZone": zone, "privateDns": f"{name}.internal"},
    )


@pytest.fixture
def hooks(way: Way, monkeypatch, said) -> Hooks:
    return Hooks(way, monkeypatch)


def test_one_node_is_away_at_a_time(hooks, way, said):
    away = 0

    async def stop() -> None:
        nonlocal away
        away += 1
        assert away == 1
        for _ in range(5):
            await asyncio.sleep(0)
        away -= 1

    async def all_nodes() -> None:
        await asyncio.gather(*(hooks.update(name, stop) for name in ("w1", CONTROL_PLANE, "w2")))

    asyncio.run(all_nodes())
    assert said[0] == "t3.medium becomes t3.large, one node after the other"
    assert sorted(said[1:]) == ["cp is back", "w1 is back", "w2 is back"]
    turns = [did for did in way.ran if did != "reached"]
    for did, after in zip(turns[::2], turns[1::2], strict=True):
        assert after == did.replace("away", "back")
    assert {did.split()[1] for did in turns} == {"w1.internal", "cp.internal", "w2.internal"}


def test_the_preview_only_says_and_refuses(hooks):
    assert hooks.in_preview == [hooks.look]


@pytest.mark.parametrize("more", [{"wanted": "t3.medium"}, {"wanted": None}, {"was": None}])
def test_an_update_that_stops_nothing_needs_no_turn(hooks, way, said, more):
    asyncio.run(hooks.update("w1", **more))
    assert (way.ran, said) == ([], [])


def test_a_type_that_the_zone_does_not_offer_is_refused(hooks):
    with pytest.raises(ValueError) as caught:
        hooks.look(change("w1", zone="eu-central-1b"))
    assert str(caught.value) == (
        "nodes.type is t3.medium in this cluster, and t3.large is asked for: eu-central-1b, where"
        " the nodes are, does not offer it (eu-central-1a do)"
    )


async def two(hooks: Hooks, **of_first: Any) -> list[Any]:
    """w1, and w2 that waits for its turn; what each raised."""
    first = asyncio.create_task(hooks.update("w1", **of_first))
    await asyncio.sleep(0)
    second = asyncio.create_task(hooks.update("w2"))
    return list(await asyncio.gather(first, second, return_exceptions=True))


@pytest.mark.parametrize("at", ["away w1.internal", "back w1.internal"])
def test_after_one_that_failed_no_other_begins(hooks, way, at):
    way.fails = {at}
    first, second = asyncio.run(two(hooks))
    assert str(first) == "no"
    why = "w1 failed" if at.startswith("away") else "w1 did not come back"
    assert str(second) == f"not begun, since {why}; the next up goes on"
    assert "away w2.internal" not in way.ran


def test_a_node_that_ec2_did_not_stop_takes_pods_again(hooks, way):
    async def stop() -> None:
        raise RuntimeError("InsufficientInstanceCapacity")

    first, second = asyncio.run(two(hooks, stop=stop))
    assert str(first) == "InsufficientInstanceCapacity"
    assert str(second) == "not begun, since w1 failed; the next up goes on"
    assert [did for did in way.ran if did != "reached"] == [
        "away w1.internal",
        "let back w1.internal",
    ]


def test_another_failure_is_no_turn_s_end(hooks, way):
    error = pulumi.ErrorHookArgs("urn", "id", "w1", "type", old_outputs={})
    assert asyncio.run(hooks.failed(error)) is False
    assert way.ran == []


def test_a_control_plane_that_is_off_is_changed_before_its_workers(hooks, way, said):
    """As an update left it that was interrupted: workers can't be drained before."""
    way.fails = {"reached", "away cp.internal"}

    async def start() -> None:
        way.fails = set()

    async def both() -> None:
        worker = asyncio.create_task(hooks.update("w1"))
        with pytest.raises(RuntimeError):
            await worker  # it did not take the turn from the control plane
        await hooks.update(CONTROL_PLANE, start)

    asyncio.run(both())
    assert way.ran == ["back cp.internal"]
    assert "cp is off already: no" in said


# By SSH.


@pytest.fixture
def entrance(tmp_path, monkeypatch, sandbox) -> Callable[..., str]:
    """Runs a script through a fake ssh; arguments: its body, seconds."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("SANDBOX", str(tmp_path))

    class Known:
        def __init__(self, value: str) -> None:
            self._value = value

        async def future(self) -> str:
            return self._value

    def call(body: str, within: float = 30) -> str:
        sandbox.fake("ssh", body)
        way = Entrance(Known("10.43.0.10"), "admin", Known("KEY\n"))  # ty: ignore[invalid-argument-type]
        return asyncio.run(way.run("echo hello", within))

    return call


READ_KEY = 'while [[ $1 != -i ]]; do shift; done; stat --format %a "$2"; cat "$2"; bash'


def test_a_script_goes_in_by_standard_input_with_the_key_in_a_file_of_its_own(entrance, sandbox):
    assert entrance(READ_KEY) == "600\nKEY\nhello\n"
    (called,) = sandbox.calls("ssh")
    assert called.endswith(" admin@10.43.0.10 sudo bash -s")
    assert "KEY" not in called and "hello" not in called


def test_it_is_sent_again_until_there_is_a_connection(entrance, sandbox, monkeypatch):
    async def at_once(_: float) -> None:
        return None

    monkeypatch.setattr(roll.asyncio, "sleep", at_once)
    assert entrance('[[ $(wc -l <"$SANDBOX/calls") == 3 ]] || exit 255; bash') == "hello\n"
    with pytest.raises(RuntimeError, match="^Connection refused$"):
        entrance('echo "Connection refused" >&2; exit 255', within=0)


def test_what_a_script_says_last_is_the_error(entrance, sandbox):
    with pytest.raises(RuntimeError, match="^w1 could not be drained$"):
        entrance("echo pods >&2; echo 'w1 could not be drained' >&2; exit 1")
    assert len(sandbox.calls("ssh")) == 1


# On the control plane.

KUBECTL = r"""
case "$*" in
  "get node w1 --ignore-not-found"*) [[ -e $SANDBOX/unknown ]] || echo node/w1 ;;
  "get --raw /api/v1/nodes/w1/"*) [[ ! -e $SANDBOX/silent ]] ;;
  "get node w1"*bootID*) cat "$SANDBOX/boot" ;;
  "get node w1"*Ready*) echo -n True ;;
  "get node w1"*annotations*) cat "$SANDBOX/mark" ;;
  "annotate node w1 tinderbox.internal/upgrade="*) echo -n "${4#*=}" >"$SANDBOX/mark" ;;
  "annotate node w1 tinderbox.internal/upgrade-") : >"$SANDBOX/mark" ;;
  "drain w1"*) [[ ! -e $SANDBOX/budget ]] ;;
esac
"""


@pytest.fixture
def control_plane(sandbox, tmp_path):
    """Runs a script on a control plane with the worker w1."""
    sandbox.fake("kubectl", KUBECTL)
    sandbox.file("/etc/kubernetes/admin.conf", "")
    (tmp_path / "boot").write_text("boot-1")
    (tmp_path / "mark").write_text("")

    def run(scripts: tuple[str, ...], **values: str) -> Any:
        return sandbox.step(*scripts, **{"WORKER": "w1", "IS_WORKER": "true", **values})

    return run


def verbs(sandbox: Any) -> list[str]:
    return [call for call in sandbox.calls("kubectl") if not call.startswith("get ")]


def test_a_worker_is_drained_and_comes_back_with_its_next_boot(control_plane, sandbox, tmp_path):
    ran = control_plane(roll._AWAY)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "boot-1"
    assert verbs(sandbox)[-1].startswith("drain w1 ") and (tmp_path / "mark").read_text()
    # It is Ready as before, since it has not said anything yet.
    impatient = control_plane(roll._BACK, BOOT="boot-1", PATIENCE="0")
    assert impatient.returncode == 1
    assert "waiting for w1 to be ready again" in impatient.stderr
    (tmp_path / "boot").write_text("boot-2")
    assert control_plane(roll._BACK, BOOT="boot-1").returncode == 0
    assert "uncordon w1" in verbs(sandbox) and not (tmp_path / "mark").read_text()


def test_a_budget_that_lets_nobody_go_keeps_the_worker(control_plane, sandbox, tmp_path):
    (tmp_path / "budget").touch()
    ran = control_plane(roll._AWAY)
    assert ran.returncode == 1
    assert ran.stderr == (
        "w1 could not be drained within 420 s (see above): it takes pods again and stays as it is\n"
    )
    assert "uncordon w1" in verbs(sandbox)


@pytest.mark.parametrize("what", ["silent", "unknown"])
def test_nothing_moves_from_a_node_that_is_off_or_none(control_plane, sandbox, tmp_path, what):
    (tmp_path / what).touch()
    assert control_plane(roll._AWAY).returncode == 0
    assert verbs(sandbox) == []


def test_the_control_plane_itself_is_not_drained(control_plane, sandbox):
    ran = control_plane(roll._AWAY, IS_WORKER="false")
    assert (ran.returncode, ran.stdout) == (0, "boot-1")
    assert verbs(sandbox) == []


def test_where_there_is_no_cluster_yet_nothing_is_waited_for(control_plane, sandbox):
    sandbox.file("/etc/kubernetes/admin.conf").unlink()
    for scripts in (roll._AWAY, roll._BACK):
        ran = control_plane(scripts, BOOT="")
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert sandbox.calls("kubectl") == []
