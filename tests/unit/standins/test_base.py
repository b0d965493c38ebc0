"""The stand-ins' framework over real gRPC, with a small provider of its own."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from standins.base import (
    UNKNOWN,
    Archive,
    Asset,
    Call,
    InitFailed,
    Provider,
    ResourceHandler,
    Secret,
    StandinError,
    carry_secrets,
    changed_paths,
    from_struct,
    replaced_by,
    to_struct,
    unique_name,
)
from standins.values import Empty
from tests.unit.standins.engine import Engine, Failed, engine_for

TOKEN = "toy:index:Box"
ROOT = Path(__file__).resolve().parents[3]


class Box(ResourceHandler):
    """A resource that does what its inputs say."""

    token = TOKEN
    inputs = frozenset({"behave", "label", "nested", "password", "size"})
    required = frozenset({"label"})
    outputs = frozenset({"serial"})
    force_new = frozenset({"label", "nested.deep"})
    defaults = {"size": 1}

    def create(self, call: Call) -> tuple[str, dict[str, Any]]:
        behave = call.inputs.get("behave")
        if behave == "fail":
            raise StandinError("no room")
        if behave == "half":
            raise InitFailed("half made", "id-half", {**call.inputs, "serial": 7})
        if behave == "bug":
            raise ZeroDivisionError("oops")
        if behave == "wait":
            call.wait_for("a day", lambda: None, 60.0)
        call.log("made")
        call.status("working")
        return "id-1", {**call.inputs, "serial": 1, "gone": None}

    def update(self, call: Call) -> dict[str, Any]:
        return {**call.inputs, "serial": call.state["serial"] + 1}

    def delete(self, call: Call) -> None:
        assert call.state["serial"]


class Toy(Provider):
    name = "toy"
    handlers = (Box,)
    config_types = {"place": str, "rules": list}
    replacing_config = frozenset({"place"})

    def __init__(self) -> None:
        super().__init__("1.2.3")
        self.functions = {"toy:index:double": lambda call: {"twice": call.inputs["n"] * 2}}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with engine_for(Toy()) as running:
        yield running


# -- values ------------------------------------------------------------------------------------


def test_every_kind_of_value_survives_the_wire() -> None:
    values = {
        "text": "ä",
        "whole": 3,
        "broken": 1.5,
        "yes": True,
        "none": None,
        "list": [1, {"a": [UNKNOWN]}],
        "secret": Secret({"a": Secret("b")}),
        "unknown": UNKNOWN,
        "file": Asset("h", path="/x"),
        "words": Asset("h", text=""),
        "folder": Archive("h", path="/d"),
        "map": Archive("h", assets={"a": Asset("i", path="/y")}),
    }
    assert from_struct(to_struct(values)) == values
    assert isinstance(from_struct(to_struct({"n": 3}))["n"], int)


def test_an_unknown_value_can_not_be_mistaken_for_a_truth() -> None:
    with pytest.raises(TypeError):
        bool(UNKNOWN)


def test_secrets_follow_their_keys_but_not_beyond() -> None:
    marked = {"open": "a", "shut": Secret("b"), "list": ["a", Secret("c")]}
    changed = {"open": "x", "shut": "y", "list": ["c", "a"]}
    assert carry_secrets(changed, marked) == {
        "open": "x",
        "shut": Secret("y"),
        "list": Secret(["c", "a"]),
    }
    assert carry_secrets({"open": "a", "shut": "b", "list": ["a", "c"]}, marked) == marked


# -- differences -------------------------------------------------------------------------------


def test_differences_are_named_by_path() -> None:
    old = {"a": 1, "same": [1], "gone": "x", "tags": {"a.b": "1"}, "list": [{"p": 1}], "n": None}
    new = {"a": UNKNOWN, "same": [1], "new": True, "tags": {"a.b": "2"}, "list": [{"p": 2}, 3]}
    assert changed_paths(old, new) == {
        "a": "update",
        "gone": "delete",
        "new": "add",
        'tags["a.b"]': "update",
        "list[0].p": "update",
        "list[1]": "add",
    }


def test_assets_differ_by_hash_and_truths_are_no_numbers() -> None:
    assert changed_paths({"s": Asset("h")}, {"s": Asset("h", path="/x")}) == {}
    assert changed_paths({"s": Asset("h")}, {"s": Asset("i", path="/x")}) == {"s": "update"}
    assert changed_paths({"s": 1}, {"s": True}) == {"s": "update"}


def test_replacement_goes_by_property_not_by_prefix_of_its_name() -> None:
    paths = ["disk.size", "disk.kind", "disks", "list[0].disk", "label[1]"]
    assert replaced_by(paths, {"disk.size", "label"}) == {"disk.size", "label[1]"}
    assert replaced_by(paths, {"disk"}) == {"disk.size", "disk.kind"}


# -- the protocol ------------------------------------------------------------------------------


def test_check_fills_in_defaults_and_keeps_secrets(engine: Engine) -> None:
    inputs, failures = engine.check(TOKEN, {"label": "a", "password": Secret("p")})
    assert inputs == {"label": "a", "password": Secret("p"), "size": 1}
    assert failures == []


def test_check_refuses_by_name_and_misses_what_is_required(engine: Engine) -> None:
    _, failures = engine.check(TOKEN, {"colour": "red", "__defaults": []})
    assert failures == [
        (
            "colour",
            "stand-in of pulumi-toy: property colour of toy:index:Box is not something this "
            "stand-in does; install the official plugin",
        ),
        ("label", "missing required property 'label'"),
    ]


def test_other_types_functions_and_settings_are_refused_by_name(engine: Engine) -> None:
    with pytest.raises(Failed, match="stand-in of pulumi-toy: toy:index:Sphere is not something"):
        engine.check("toy:index:Sphere", {})
    with pytest.raises(Failed, match="function toy:index:halve is not something"):
        engine.invoke("toy:index:halve", n=1)
    assert "configuration toy:speed" in engine.check_config({"speed": 1, "place": "x"})[0][1]


def test_diff_says_what_replaces(engine: Engine) -> None:
    old = {"label": "a", "size": 1, "nested": {"deep": 1, "flat": 1}}
    found = engine.diff(TOKEN, old, {"label": "a", "size": 2, "nested": {"deep": 2, "flat": 2}})
    assert found.paths == {
        "size": "UPDATE",
        "nested.deep": "UPDATE_REPLACE",
        "nested.flat": "UPDATE",
    }
    assert found.replaces == ["nested"]
    unknown = engine.diff(TOKEN, old, {**old, "label": UNKNOWN})
    assert unknown.paths == {"label": "UPDATE_REPLACE"}


def test_nothing_changed_is_no_difference(engine: Engine) -> None:
    old = {"label": "a", "size": 1, "extra": True, "__defaults": ["extra"]}
    found = engine.diff(TOKEN, old, {"label": "a", "size": 1, "__other": 1})
    assert (found.paths, found.changes) == ({}, False)


def test_preview_shows_unknown_outputs_and_keeps_secrets(engine: Engine) -> None:
    resource_id, outputs = engine.create(
        TOKEN, {"label": UNKNOWN, "password": Secret(UNKNOWN)}, preview=True
    )
    assert resource_id == ""
    assert outputs == {"label": UNKNOWN, "password": Secret(UNKNOWN), "serial": UNKNOWN}


def test_create_update_delete(engine: Engine) -> None:
    inputs = {"label": "a", "password": Secret("p")}
    resource_id, outputs = engine.create(TOKEN, inputs)
    assert resource_id == "id-1"
    assert outputs == {**inputs, "serial": 1}
    changed = engine.update(TOKEN, resource_id, inputs, outputs, {**inputs, "size": 2})
    assert changed == {**inputs, "size": 2, "serial": 2}
    engine.delete(TOKEN, resource_id, inputs, changed)
    assert ("made", False) in engine.log.lines
    assert ("working", True) in engine.log.lines


def test_read_without_a_handler_of_its_own_is_the_state(engine: Engine) -> None:
    inputs, state = {"label": "a", "password": Secret("p")}, {"label": "a", "serial": 4}
    assert engine.read(TOKEN, "id-1", inputs, state) == ("id-1", inputs, state)


def test_an_error_names_the_resource_and_the_cause(engine: Engine) -> None:
    with pytest.raises(Failed) as caught:
        engine.create(TOKEN, {"label": "a", "behave": "fail"})
    assert str(caught.value) == "creating toy:index:Box 'thing': no room"
    assert caught.value.kept_id == ""
    with pytest.raises(Failed, match="toy:index:Box 'thing': ZeroDivisionError: oops"):
        engine.create(TOKEN, {"label": "a", "behave": "bug"})


def test_what_is_half_made_is_kept_with_its_secrets(engine: Engine) -> None:
    with pytest.raises(Failed) as caught:
        engine.create(TOKEN, {"label": "a", "behave": "half", "password": Secret("p")})
    assert caught.value.kept_id == "id-half"
    assert caught.value.kept["serial"] == 7
    assert caught.value.kept["password"] == Secret("p")


def test_functions_answer_and_keep_secrets(engine: Engine) -> None:
    assert engine.invoke("toy:index:double", n=2) == {"twice": 4}
    assert engine.invoke("toy:index:double", n=Secret(2)) == {"twice": Secret(4)}


def test_configuration_comes_as_json_text() -> None:
    provider = Toy()
    with engine_for(provider) as engine:
        engine.configure(place="here", rules='[{"a": 1}]', __internal={})
        assert provider.config == {"place": "here", "rules": [{"a": 1}]}
        with pytest.raises(Failed, match="configuration toy:rules is not JSON"):
            engine.configure(rules="[")


def test_a_plugin_has_the_version_of_its_sdk() -> None:
    class Command(Provider):
        name = "command"

    assert Command().version == importlib.metadata.version("pulumi-command")
    assert Toy().version == "1.2.3"


def test_a_custom_timeout_ends_a_wait(engine: Engine) -> None:
    with pytest.raises(Failed, match=r"waited 0\.3 s for a day, in vain"):
        engine.create(TOKEN, {"label": "a", "behave": "wait"}, timeout=0.3)


def test_cancel_ends_what_runs_and_what_comes(engine: Engine) -> None:
    errors: list[Failed] = []

    def run() -> None:
        try:
            engine.create(TOKEN, {"label": "a", "behave": "wait"})
        except Failed as error:
            errors.append(error)

    running = threading.Thread(target=run)
    running.start()
    time.sleep(0.3)
    started = time.monotonic()
    engine.cancel()
    running.join(timeout=5)
    assert time.monotonic() - started < 2
    assert [str(error) for error in errors] == [
        "creating toy:index:Box 'thing': cancelled before it was done"
    ]
    with pytest.raises(Failed, match="cancelled"):
        engine.create(TOKEN, {"label": "a"})


def test_operations_run_side_by_side(engine: Engine) -> None:
    threads = [
        threading.Thread(
            target=lambda: pytest.raises(
                Failed, engine.create, TOKEN, {"label": "a", "behave": "wait"}, False, 0.5
            )
        )
        for _ in range(20)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 5  # one after the other they would take ten


def test_automatic_names() -> None:
    call = Call(urn="urn:pulumi:s::p::t::web", random_seed=b"1")
    assert unique_name(call) == unique_name(call)
    assert unique_name(call).startswith("web-")
    assert unique_name(Call(urn=call.urn, random_seed=b"2")) != unique_name(call)
    assert unique_name(Call(urn=call.urn, autonaming=("enforce", "mine"))) == "mine"
    with pytest.raises(StandinError, match="switched off"):
        unique_name(Call(urn=call.urn, autonaming=("disable", "")))


# -- the process -------------------------------------------------------------------------------

PLUGIN = """
import sys
sys.path.insert(0, {root!r})
from tests.unit.standins.test_base import Toy
from standins.server import run
run(Toy())
"""


def _start_plugin() -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", PLUGIN.format(root=str(ROOT))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_process_says_its_port_and_leaves_without_a_word(number: int) -> None:
    process, port = _start_plugin()
    stub = provider_pb2_grpc.ResourceProviderStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
    assert stub.GetPluginInfo(Empty()).version == "1.2.3"
    assert '"toy:index:Box"' in stub.GetSchema(provider_pb2.GetSchemaRequest()).schema
    process.send_signal(number)
    out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err) == (0, "", "")


def test_the_process_leaves_when_the_engine_is_gone() -> None:
    script = textwrap.dedent("""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
        child.stdout.readline()
        print(child.pid, flush=True)
        sys.stdin.read()
    """)
    engine = subprocess.Popen(
        [sys.executable, "-c", script, PLUGIN.format(root=str(ROOT))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert engine.stdout is not None
    plugin = int(engine.stdout.readline())
    engine.kill()
    engine.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(plugin, 0)
            state = Path(f"/proc/{plugin}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return
        if state == "Z":  # ended; nobody has asked for its exit code
            return
        time.sleep(0.1)
    os.kill(plugin, signal.SIGKILL)
    pytest.fail("the plugin outlived its engine")
