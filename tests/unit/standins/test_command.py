"""The stand-in of pulumi-command: over gRPC, against an SSH server on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from standins.base import UNKNOWN, Archive, Asset, Secret
from standins.command import connection
from standins.command.local import matching_files
from standins.command.provider import CommandProvider
from tests.unit.ssh_server import Server, ssh_server
from tests.unit.standins.engine import Engine, Failed, engine_for

LOCAL = "command:local:Command"
REMOTE = "command:remote:Command"
COPY = "command:remote:CopyToRemote"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with engine_for(CommandProvider()) as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with ssh_server() as running:
        yield running


@pytest.fixture(params=["local", "remote"])
def command(request: pytest.FixtureRequest, server: Server) -> tuple[str, dict[str, Any]]:
    """Each kind of command: its token, and the inputs that it can't do without."""
    if request.param == "local":
        return LOCAL, {}
    return REMOTE, {"connection": server.connection()}


def a_free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


# -- what both kinds do ------------------------------------------------------------------------


def test_create_keeps_the_output_less_one_newline(engine: Engine, command: Any) -> None:
    token, inputs = command
    resource_id, checked, outputs = engine.make(
        token, **inputs, create="printf 'a\\n\\n'; echo b >&2"
    )
    assert (outputs["stdout"], outputs["stderr"]) == ("a\n", "b")
    assert resource_id.startswith("thing")
    assert outputs["create"] == checked["create"]
    assert outputs["addPreviousOutputInEnv"] is True


def test_without_a_command_nothing_runs(engine: Engine, command: Any) -> None:
    token, inputs = command
    resource_id, checked, outputs = engine.make(token, **inputs)
    assert (outputs["stdout"], outputs["stderr"]) == ("", "")
    engine.delete(token, resource_id, checked, outputs)


def test_a_failing_command_says_status_command_and_output(engine: Engine, command: Any) -> None:
    token, inputs = command
    checked, _ = engine.check(token, {**inputs, "create": "echo out; echo err >&2; exit 3"})
    with pytest.raises(Failed) as caught:
        engine.create(token, checked)
    text = str(caught.value)
    assert text.startswith(f"creating {token} 'thing': ")
    assert ("exit status 3" if token == LOCAL else "Process exited with status 3") in text
    assert 'running "echo out; echo err >&2; exit 3"' in text
    assert "\nout" in text and "\nerr" in text
    assert caught.value.kept_id == ""


def test_a_failing_command_with_secrets_does_not_tell_them(engine: Engine, command: Any) -> None:
    token, inputs = command
    checked, _ = engine.check(
        token, {**inputs, "create": Secret("echo hush; exit 1"), "logging": "none"}
    )
    with pytest.raises(Failed) as caught:
        engine.create(token, checked)
    assert "hush" not in str(caught.value)
    assert "[secret]" in str(caught.value)


def test_update_runs_update_else_create(engine: Engine, command: Any) -> None:
    token, inputs = command
    first = {**inputs, "create": "echo created", "update": "echo updated"}
    resource_id, old, state = engine.make(token, **first)
    changed = engine.update(token, resource_id, old, state, {**old, "stdin": "x"})
    assert changed["stdout"] == "updated"
    without = {k: v for k, v in old.items() if k != "update"}
    changed = engine.update(token, resource_id, old, state, {**without, "stdin": "x"})
    assert changed["stdout"] == "created"


def test_the_output_before_is_in_the_environment(
    engine: Engine, command: Any, server: Server
) -> None:
    token, inputs = command
    server.accepted = {"PULUMI_COMMAND_STDOUT", "PULUMI_COMMAND_STDERR"}
    show = 'echo "$PULUMI_COMMAND_STDOUT-$PULUMI_COMMAND_STDERR"'
    first = {**inputs, "create": "echo o; echo e >&2", "update": show}
    resource_id, old, state = engine.make(token, **first)
    assert engine.update(token, resource_id, old, state, {**old, "stdin": "x"})["stdout"] == "o-e"
    silent = {**old, "addPreviousOutputInEnv": False}
    assert engine.update(token, resource_id, old, state, silent)["stdout"] == "-"


def test_delete_runs_with_what_the_state_holds(
    engine: Engine, command: Any, tmp_path: Path, server: Server
) -> None:
    token, inputs = command
    server.accepted = {"PULUMI_COMMAND_STDOUT"}
    mark = tmp_path / "mark"
    delete = f'echo "$PULUMI_COMMAND_STDOUT" > {mark}'
    resource_id, old, state = engine.make(token, **inputs, create="echo it", delete=delete)
    assert not mark.exists()
    engine.delete(token, resource_id, old, state)
    assert mark.read_text() == "it\n"


def test_stdin_reaches_the_command_and_may_be_left_unread(engine: Engine, command: Any) -> None:
    token, inputs = command
    text = "ä line\n" * 50_000
    _, _, outputs = engine.make(token, **inputs, create="wc -c", stdin=text)
    assert int(outputs["stdout"]) == len(text.encode())
    _, _, outputs = engine.make(token, **inputs, create="echo none", stdin=text)
    assert outputs["stdout"] == "none"


def test_much_output_arrives_whole(engine: Engine, command: Any) -> None:
    token, inputs = command
    _, _, outputs = engine.make(token, **inputs, create="seq 100000", logging="none")
    assert outputs["stdout"].splitlines() == [str(n) for n in range(1, 100001)]


def test_bytes_that_are_no_text_are_replaced(engine: Engine, command: Any) -> None:
    token, inputs = command
    _, _, outputs = engine.make(token, **inputs, create="printf 'a\\377b'")
    assert outputs["stdout"] == "a\ufffdb"


@pytest.mark.parametrize(
    ("logging", "expected"),
    [
        (None, {"out", "err", "half"}),
        ("stdoutAndStderr", {"out", "err", "half"}),
        ("stdout", {"out", "half"}),
        ("stderr", {"err"}),
        ("none", set()),
    ],
)
def test_lines_go_to_the_log_as_asked(
    engine: Engine, command: Any, logging: str | None, expected: set[str]
) -> None:
    token, inputs = command
    more = {} if logging is None else {"logging": logging}
    engine.make(token, **inputs, **more, create="echo out; echo err >&2; printf half")
    assert {line for line, _ in engine.log.lines} == expected
    assert all(ephemeral for _, ephemeral in engine.log.lines)


def test_lines_go_to_the_log_while_the_command_runs(
    engine: Engine, command: Any, tmp_path: Path
) -> None:
    token, inputs = command
    go = tmp_path / "go"
    checked, _ = engine.check(
        token, {**inputs, "create": f"echo ready; until test -e {go}; do sleep 0.02; done"}
    )
    running = threading.Thread(target=engine.create, args=(token, checked))
    running.start()
    assert engine.log.arrived.wait(timeout=10)
    assert engine.log.lines == [("ready", True)]
    go.touch()
    running.join(timeout=10)
    assert not running.is_alive()


def test_cancel_ends_the_command(engine: Engine, command: Any, tmp_path: Path) -> None:
    token, inputs = command
    started, ended = tmp_path / "started", tmp_path / "ended"
    script = f"trap 'touch {ended}; exit' TERM; touch {started}; while :; do sleep 0.05; done"
    checked, _ = engine.check(token, {**inputs, "create": script})
    errors: list[Failed] = []

    def run() -> None:
        try:
            engine.create(token, checked)
        except Failed as error:
            errors.append(error)

    running = threading.Thread(target=run)
    running.start()
    until(started.exists)
    engine.cancel()
    running.join(timeout=10)
    assert [str(e) for e in errors] == [f"creating {token} 'thing': cancelled before it was done"]
    until(ended.exists)


def test_a_custom_timeout_ends_the_command(engine: Engine, command: Any, tmp_path: Path) -> None:
    token, inputs = command
    ended = tmp_path / "ended"
    script = f"trap 'touch {ended}; exit' TERM; echo here; while :; do sleep 0.05; done"
    checked, _ = engine.check(token, {**inputs, "create": script})
    with pytest.raises(Failed, match=r"not done within its timeout of 1 s[\s\S]*here"):
        engine.create(token, checked, timeout=1)
    until(ended.exists)


def test_triggers_replace_and_all_else_updates(engine: Engine, command: Any) -> None:
    token, inputs = command
    old, _ = engine.check(token, {**inputs, "create": "a", "triggers": ["1"], "delete": "d"})
    found = engine.diff(token, old, {**old, "create": "b", "delete": "e", "stdin": "s"})
    assert found.paths == {"create": "UPDATE", "delete": "UPDATE", "stdin": "ADD"}
    found = engine.diff(token, old, {**old, "triggers": [UNKNOWN]})
    assert (found.paths, found.replaces) == ({"triggers[0]": "UPDATE_REPLACE"}, ["triggers"])


def test_preview_runs_nothing_and_knows_no_output(
    engine: Engine, command: Any, tmp_path: Path
) -> None:
    token, inputs = command
    checked, _ = engine.check(token, {**inputs, "create": f"touch {tmp_path}/mark"})
    _, outputs = engine.create(token, checked, preview=True)
    assert (outputs["stdout"], outputs["stderr"]) == (UNKNOWN, UNKNOWN)
    assert outputs["create"] == checked["create"]
    state = {**checked, "stdout": "old", "stderr": ""}
    outputs = engine.update(token, "id", checked, state, {**checked, "create": "b"}, preview=True)
    assert (outputs["stdout"], outputs["create"]) == (UNKNOWN, "b")
    assert list(tmp_path.iterdir()) == []


def test_secrets_stay_secret_and_the_output_is_open(engine: Engine, command: Any) -> None:
    token, inputs = command
    _, checked, outputs = engine.make(
        token, **inputs, create=Secret("echo x"), environment={}, stdin=Secret("s")
    )
    assert checked["create"] == outputs["create"] == Secret("echo x")
    assert outputs["stdin"] == Secret("s")
    assert (
        outputs["stdout"] == "x"
    )  # as with the official plugin: additionalSecretOutputs is for it


def test_check_refuses_what_it_does_not_do(engine: Engine, command: Any) -> None:
    token, inputs = command
    _, failures = engine.check(token, {**inputs, "shell": "zsh", "logging": "loud"})
    assert [name for name, _ in failures] == ["shell", "logging"]
    assert "stand-in of pulumi-command: property shell" in failures[0][1]
    with pytest.raises(Failed, match="command:remote:CopyFile is not something"):
        engine.check("command:remote:CopyFile", {})
    with pytest.raises(Failed, match="function command:local:run is not something"):
        engine.invoke("command:local:run", command="true")


def test_refresh_finds_the_state_as_it_is(engine: Engine, command: Any) -> None:
    token, inputs = command
    resource_id, checked, outputs = engine.make(token, **inputs, create="echo x")
    assert engine.read(token, resource_id, checked, outputs) == (resource_id, checked, outputs)


# -- local.Command -----------------------------------------------------------------------------


def test_local_takes_folder_environment_and_interpreter(engine: Engine, tmp_path: Path) -> None:
    _, _, outputs = engine.make(
        LOCAL,
        create="import os; print(os.getcwd(), os.environ['WORD'])",
        interpreter=["python3", "-c"],
        dir=str(tmp_path),
        environment={"WORD": "w"},
    )
    assert outputs["stdout"] == f"{tmp_path.resolve()} w"


def test_local_names_an_interpreter_or_folder_that_is_not_there(engine: Engine) -> None:
    for wrong in ({"interpreter": ["/no/such"]}, {"dir": "/no/such"}):
        checked, _ = engine.check(LOCAL, {"create": "true", **wrong})
        with pytest.raises(Failed, match=r"can't start .*/no/such"):
            engine.create(LOCAL, checked)


def test_local_says_which_signal_ended_it(engine: Engine) -> None:
    checked, _ = engine.check(LOCAL, {"create": "kill -9 $$"})
    with pytest.raises(Failed, match="signal: SIGKILL"):
        engine.create(LOCAL, checked)


def test_local_gathers_files(engine: Engine, tmp_path: Path) -> None:
    resource_id, checked, outputs = engine.make(
        LOCAL, create="echo hi > made.txt", dir=str(tmp_path), assetPaths=["*.txt"]
    )
    asset = outputs["assets"]["made.txt"]
    assert asset.path == str(tmp_path / "made.txt")
    assert len(asset.hash) == 64
    elided = {**outputs, "assets": {"made.txt": Asset(asset.hash)}}
    assert engine.read(LOCAL, resource_id, checked, elided)[2]["assets"]["made.txt"] == asset


def test_file_patterns(tmp_path: Path) -> None:
    for name in ("a/logos/l.svg", "src/i.js", "src/secret.js", "src/deep/d.js", "[x]y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = matching_files(tmp_path, ["a/**", "src/**.js", "!**secret.*"])
    assert sorted(found) == ["a/logos/l.svg", "src/deep/d.js", "src/i.js"]
    assert sorted(matching_files(tmp_path, ["src/*.{js,ts}"])) == ["src/i.js", "src/secret.js"]
    assert sorted(matching_files(tmp_path, ["src/[!s]?js"])) == ["src/i.js"]


# -- remote.Command: the connection ------------------------------------------------------------


def test_the_connection_has_defaults_and_is_a_secret(engine: Engine) -> None:
    checked, failures = engine.check(REMOTE, {"connection": {"host": "h"}})
    assert failures == []
    assert checked["connection"] == Secret(
        {"host": "h", "dialErrorLimit": 10, "perDialTimeout": 15, "port": 22, "user": "root"}
    )
    checked, failures = engine.check(REMOTE, {"connection": {"host": UNKNOWN}})
    assert failures == [] and checked["connection"].value["host"] is UNKNOWN


def test_a_wrong_connection_is_refused_by_path(engine: Engine) -> None:
    _, failures = engine.check(REMOTE, {"connection": {"hots": "h", "proxy": {"user": "u"}}})
    assert [name for name, _ in failures] == [
        "connection.hots",
        "connection.host",
        "connection.proxy.host",
    ]
    assert engine.check(REMOTE, {})[1][0][0] == "connection"


def test_connections_are_shared_and_dialled_anew_when_lost(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that was used just now is not asked whether it lives, and it hears of its end a bit later.
    monkeypatch.setattr(connection, "_FRESH", 0)
    with ssh_server() as server:
        for _ in range(3):
            engine.make(REMOTE, connection=server.connection(), create="true")
        assert server.connections == 1
        server.drop_connections()
        until(lambda: not server.live)
        _, _, outputs = engine.make(REMOTE, connection=server.connection(), create="echo again")
        assert (outputs["stdout"], server.connections) == ("again", 2)


def test_many_commands_at_once_do_not_crowd_one_connection(engine: Engine) -> None:
    with ssh_server() as server:
        threads = [
            threading.Thread(
                target=engine.make,
                args=(REMOTE,),
                kwargs={"connection": server.connection(), "create": "sleep 0.5"},
            )
            for _ in range(20)
        ]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - started < 6  # one after the other they would take ten
        assert server.connections >= 3  # sshd takes ten sessions on each


def test_a_dead_host_is_given_up_after_the_limit(engine: Engine) -> None:
    wrong = {"host": "127.0.0.1", "port": a_free_port(), "user": "u", "dialErrorLimit": 2}
    checked, _ = engine.check(REMOTE, {"connection": wrong, "create": "true"})
    with pytest.raises(Failed, match=r"can't connect to u@127.0.0.1:\d+ after 3 attempts.*refused"):
        engine.create(REMOTE, checked)
    assert [line.split(";")[-1] for line, _ in engine.log.lines] == [" retrying", " retrying"]


def test_without_a_limit_it_dials_until_the_host_is_there(engine: Engine, server: Server) -> None:
    port = a_free_port()
    checked, _ = engine.check(
        REMOTE,
        {"connection": server.connection(port=port, dialErrorLimit=-1), "create": "echo late"},
    )
    results: list[Any] = []
    running = threading.Thread(target=lambda: results.append(engine.create(REMOTE, checked)))
    running.start()
    until(lambda: any("Dial 5/inf" in line for line, _ in engine.log.lines))
    relay = socket.create_server(("127.0.0.1", port))
    client, _ = relay.accept()
    target = socket.create_connection(("127.0.0.1", server.port))
    for source, sink in ((client, target), (target, client)):
        threading.Thread(target=_pump, args=(source, sink), daemon=True).start()
    running.join(timeout=10)
    assert results[0][1]["stdout"] == "late"
    relay.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side may be gone first
        while data := source.recv(65536):
            sink.sendall(data)


def test_cancel_ends_dialling(engine: Engine) -> None:
    wrong = {"host": "127.0.0.1", "port": a_free_port(), "dialErrorLimit": -1}
    checked, _ = engine.check(REMOTE, {"connection": wrong, "create": "true"})
    errors: list[Failed] = []

    def run() -> None:
        try:
            engine.create(REMOTE, checked)
        except Failed as error:
            errors.append(error)

    running = threading.Thread(target=run)
    running.start()
    assert engine.log.arrived.wait(timeout=10)
    engine.cancel()
    running.join(timeout=5)
    assert "cancelled" in str(errors[0])


def test_a_silent_host_does_not_hold_a_dial_for_ever(engine: Engine) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    wrong = {
        "host": "127.0.0.1",
        "port": silent.getsockname()[1],
        "dialErrorLimit": 0,
        "perDialTimeout": 1,
    }
    checked, _ = engine.check(REMOTE, {"connection": wrong, "create": "true"})
    with pytest.raises(Failed, match="after 1 attempts in 1 s: no answer in time"):
        engine.create(REMOTE, checked)
    silent.close()


def test_the_host_key_is_checked_where_it_is_given(engine: Engine, server: Server) -> None:
    right = server.connection(hostKey=server.host_key)
    assert engine.make(REMOTE, connection=right, create="echo in")[2]["stdout"] == "in"
    with ssh_server() as other:
        wrong = server.connection(hostKey=other.host_key, dialErrorLimit=0)
        checked, _ = engine.check(REMOTE, {"connection": wrong, "create": "true"})
        with pytest.raises(Failed, match="Host key is not trusted"):
            engine.create(REMOTE, checked)


def test_a_password_does_where_there_is_no_key(engine: Engine, server: Server) -> None:
    right = {**server.connection(password="open sesame"), "privateKey": None}
    assert engine.make(REMOTE, connection=right, create="echo in")[2]["stdout"] == "in"
    wrong = server.connection(password="wrong", privateKey=None, dialErrorLimit=0)
    checked, _ = engine.check(REMOTE, {"connection": wrong, "create": "true"})
    with pytest.raises(Failed, match="Permission denied"):
        engine.create(REMOTE, checked)


def test_a_key_that_is_none_is_said_at_once(engine: Engine, server: Server) -> None:
    broken = server.connection(privateKey="nonsense", dialErrorLimit=-1)
    checked, _ = engine.check(REMOTE, {"connection": broken, "create": "true"})
    with pytest.raises(Failed, match="can't read the connection's privateKey"):
        engine.create(REMOTE, checked)


def test_a_proxy_leads_to_the_host(engine: Engine, server: Server) -> None:
    with ssh_server() as proxy:
        through = server.connection(proxy=proxy.connection())
        _, _, outputs = engine.make(REMOTE, connection=through, create="echo through")
        assert (outputs["stdout"], proxy.connections) == ("through", 1)
        engine.make(REMOTE, connection=through, create="true")
        assert proxy.connections == 1  # it is kept with the connection that it leads to


def test_a_proxy_has_defaults_of_its_own_and_is_as_secret(engine: Engine) -> None:
    checked, failures = engine.check(
        REMOTE, {"connection": {"host": "h", "proxy": {"host": UNKNOWN, "privateKey": "k"}}}
    )
    assert failures == []
    assert isinstance(checked["connection"], Secret)
    assert checked["connection"].value["proxy"] == {
        **{"host": UNKNOWN, "privateKey": "k", "port": 22, "user": "root"},
        **{"dialErrorLimit": 10, "perDialTimeout": 15},
    }


def test_a_proxy_and_the_way_from_it_are_tried_as_often_as_each_says(engine: Engine) -> None:
    with ssh_server() as server, ssh_server() as proxy:
        nobody = {"host": "127.0.0.1", "port": a_free_port()}
        no_proxy = server.connection(dialErrorLimit=-1, proxy={**nobody, "dialErrorLimit": 2})
        checked, _ = engine.check(REMOTE, {"connection": no_proxy, "create": "true"})
        with pytest.raises(Failed, match=f"root@127.0.0.1:{nobody['port']} after 3 attempts"):
            engine.create(REMOTE, checked)
        no_host = {**nobody, "dialErrorLimit": 2, "proxy": proxy.connection(dialErrorLimit=-1)}
        checked, _ = engine.check(REMOTE, {"connection": no_host, "create": "true"})
        with pytest.raises(Failed, match=f"root@127.0.0.1:{nobody['port']} after 3 attempts"):
            engine.create(REMOTE, checked)
        assert (server.connections, proxy.connections) == (0, 1)
        until(lambda: not proxy.live)  # and nothing of it stays


def test_a_login_that_fails_behind_a_proxy_is_not_tried_again(engine: Engine) -> None:
    """The official plugin tries it on the connection that has failed, so it can't come right."""
    with ssh_server() as server, ssh_server() as proxy:
        wrong = server.connection(dialErrorLimit=-1, proxy=proxy.connection())
        wrong["privateKey"] = proxy.private_key
        checked, _ = engine.check(REMOTE, {"connection": wrong, "create": "true"})
        with pytest.raises(Failed, match="after 1 attempts .*Permission denied"):
            engine.create(REMOTE, checked)


def test_a_connection_that_is_done_with_takes_its_tunnel_along(engine: Engine) -> None:
    with ssh_server() as server, ssh_server() as proxy:
        through = server.connection(proxy=proxy.connection())
        engine.make(REMOTE, connection=through, create="true")
        assert len(proxy.live) == 1
        server.drop_connections()
        until(lambda: not proxy.live)


def test_a_host_that_comes_up_later_is_reached_through_the_proxy(engine: Engine) -> None:
    with ssh_server() as proxy, ssh_server() as server:
        later, opened = a_free_port(), threading.Event()
        through = {**server.connection(dialErrorLimit=-1), "port": later}
        through["proxy"] = proxy.connection()
        checked, _ = engine.check(REMOTE, {"connection": through, "create": "echo up"})

        def open_the_way() -> None:
            time.sleep(0.5)
            opened.set()
            with socket.create_server(("127.0.0.1", later)) as listener:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", server.port))
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=pass_on, args=(source, target), daemon=True).start()

        threading.Thread(target=open_the_way, daemon=True).start()
        assert engine.create(REMOTE, checked)[1]["stdout"] == "up"
        assert opened.is_set()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


def test_environment_needs_a_server_that_takes_it(engine: Engine, server: Server) -> None:
    server.accepted = {"WORD"}
    inputs = {
        "connection": server.connection(),
        "create": "echo $WORD",
        "environment": {"WORD": "w"},
    }
    assert engine.make(REMOTE, **inputs)[2]["stdout"] == "w"
    server.accepted = set()
    checked, _ = engine.check(REMOTE, inputs)
    with pytest.raises(Failed, match=r"could not set environment variable 'WORD'.*AcceptEnv"):
        engine.create(REMOTE, checked)


def test_a_connection_that_is_lost_fails_the_command(engine: Engine, tmp_path: Path) -> None:
    with ssh_server() as server:
        started = tmp_path / "started"
        checked, _ = engine.check(
            REMOTE,
            {"connection": server.connection(), "create": f"touch {started}; sleep 5"},
        )
        errors: list[Failed] = []

        def run() -> None:
            try:
                engine.create(REMOTE, checked)
            except Failed as error:
                errors.append(error)

        running = threading.Thread(target=run)
        running.start()
        until(started.exists)
        server.drop_connections()
        running.join(timeout=10)
        assert "the connection was lost while the command ran" in str(errors[0])


# -- remote.CopyToRemote -----------------------------------------------------------------------


def copy(engine: Engine, server: Server, source: Any, target: Path | str) -> Any:
    return engine.make(COPY, connection=server.connection(), source=source, remotePath=str(target))


def test_copy_a_file_a_text_and_into_a_folder(
    engine: Engine, server: Server, tmp_path: Path
) -> None:
    source, there = tmp_path / "f.txt", tmp_path / "there"
    source.write_bytes(b"x" * 9_000_000)
    there.mkdir()
    copy(engine, server, Asset("h1", path=str(source)), there / "as.txt")
    assert (there / "as.txt").read_bytes() == source.read_bytes()
    copy(engine, server, Asset("h1", path=str(source)), there)
    assert (there / "f.txt").read_bytes() == source.read_bytes()
    copy(engine, server, Asset("h2", text="wörter\n"), there / "as.txt")
    assert (there / "as.txt").read_text("utf-8") == "wörter\n"


def test_copy_a_folder_as_cp_does(engine: Engine, server: Server, tmp_path: Path) -> None:
    source = tmp_path / "folder"
    (source / "sub").mkdir(parents=True)
    (source / "a").write_text("a")
    (source / "sub" / "b").write_text("b")
    copy(engine, server, Archive("h", path=str(source)), tmp_path / "one")
    assert (tmp_path / "one" / "folder" / "sub" / "b").read_text() == "b"
    copy(engine, server, Archive("h", path=f"{source}/"), tmp_path / "two")
    assert (tmp_path / "two" / "sub" / "b").read_text() == "b"
    assert (tmp_path / "two" / "a").read_text() == "a"


def test_copy_again_only_for_another_content_or_path(
    engine: Engine, server: Server, tmp_path: Path
) -> None:
    source, target = tmp_path / "f", tmp_path / "t"
    source.write_text("one")
    resource_id, old, state = copy(engine, server, Asset("h1", path=str(source)), target)
    target.unlink()
    state = {**state, "source": Asset("h1")}  # the engine leaves old assets' content out
    elsewhere = {**old, "connection": Secret(server.connection(user="other"))}
    engine.update(COPY, resource_id, old, state, elsewhere)
    assert not target.exists()
    engine.update(COPY, resource_id, old, state, {**old, "source": Asset("h2", path=str(source))})
    assert target.read_text() == "one"
    engine.update(COPY, resource_id, old, state, {**old, "remotePath": f"{target}2"})
    assert Path(f"{target}2").read_text() == "one"
    engine.delete(COPY, resource_id, old, state)
    assert target.exists()


def test_copy_says_what_is_wrong(engine: Engine, server: Server, tmp_path: Path) -> None:
    for source, target, text in [
        (Asset("h", path="/no/such"), tmp_path / "t", "No such file or directory: '/no/such'"),
        (Asset("h", text="x"), tmp_path, "is a directory"),
        (Asset("h", text="x"), tmp_path / "no" / "such", "can't copy to 127.0.0.1:.*No such file"),
    ]:
        with pytest.raises(Failed, match=text):
            copy(engine, server, source, target)


def test_copy_checks_its_source(engine: Engine, server: Server) -> None:
    def failures(source: Any) -> list[tuple[str, str]]:
        inputs = {"connection": server.connection(), "source": source, "remotePath": "/t"}
        return engine.check(COPY, inputs)[1]

    assert failures(Asset("h", uri="https://x"))[0][0] == "source"
    assert failures(Archive("h", assets={}))[0][1].startswith("archive must be a path")
    assert failures("text")[0][1] == "must be an asset or an archive"
    assert failures(UNKNOWN) == []


def test_copy_is_replaced_by_triggers_alone(engine: Engine, server: Server) -> None:
    inputs = {"connection": server.connection(), "source": Asset("h", text="x"), "remotePath": "/t"}
    old, _ = engine.check(COPY, {**inputs, "triggers": ["i-1"]})
    found = engine.diff(COPY, old, {**old, "source": Asset("i", text="y"), "remotePath": "/u"})
    assert found.paths == {"source": "UPDATE", "remotePath": "UPDATE"}
    assert engine.diff(COPY, old, {**old, "triggers": ["i-2"]}).replaces == ["triggers"]
    _, outputs = engine.create(COPY, old, preview=True)
    assert outputs["remotePath"] == "/t"
