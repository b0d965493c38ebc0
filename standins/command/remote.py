"""remote.Command: a command on another machine, over SSH."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from standins.base import Call, Failure, StandinError
from standins.command.connection import EventLoop, check_connection, connected
from standins.command.output import Output, failure, logged_streams
from standins.command.resource import CommandResource

# How long a command that was told to end gets before its channel is closed, in seconds.
_PATIENCE = 2.0


class RemoteCommand(CommandResource):
    """Runs in the login shell of the connection's user."""

    token = "command:remote:Command"
    inputs = frozenset(
        {
            "addPreviousOutputInEnv",
            "connection",
            "create",
            "delete",
            "environment",
            "logging",
            "stdin",
            "triggers",
            "update",
        }
    )
    required = frozenset({"connection"})
    secret_inputs = frozenset({"connection"})

    def check(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        inputs, failures = super().check(call)
        if inputs.get("connection") is not None:
            inputs["connection"], more = check_connection(inputs["connection"])
            failures += more
        return inputs, failures

    def run(
        self, call: Call, command: str, properties: dict[str, Any], before: dict[str, Any]
    ) -> dict[str, Any]:
        output = Output(logged_streams(properties.get("logging")))
        session = _Session(call, command, properties, output)
        session.own, session.previous = self.environment(properties, before)
        running = EventLoop.submit(session.run())
        running.add_done_callback(lambda _: output.wake())

        def stop() -> None:
            with suppress(Exception):  # the command is given up in any case
                EventLoop.submit(session.end()).result(timeout=2 * _PATIENCE)
            running.cancel()

        output.follow(call, running.done, stop)
        how = running.result()
        if how:
            raise failure(call, how, command, output)
        return {"stdout": output.value("stdout"), "stderr": output.value("stderr")}


class _Session:
    """One run of a command on the other machine."""

    def __init__(
        self, call: Call, command: str, properties: dict[str, Any], output: Output
    ) -> None:
        self._call = call
        self._command = command
        self._connection = properties["connection"]
        self._stdin = (properties.get("stdin") or "").encode()
        self._output = output
        self._process: Any = None
        self.own: dict[str, str] = {}
        self.previous: dict[str, str] = {}

    async def run(self) -> str:
        """Run it to its end; how it failed, or nothing."""
        import asyncssh

        async with connected(self._call, self._connection) as connection:
            if self.own:
                await _check_accepted(connection, self.own)
            try:
                self._process = process = await connection.create_process(
                    self._command,
                    env={**self.own, **self.previous},
                    stdin=asyncssh.PIPE if self._stdin else asyncssh.DEVNULL,
                    encoding=None,
                )
            except (asyncssh.Error, OSError) as error:
                raise StandinError(f"can't start a command there: {error}") from None
            # A lost connection shows as a process without an exit status.
            with suppress(asyncssh.ConnectionLost):
                await asyncio.gather(
                    self._write(process),
                    self._read("stdout", process.stdout),
                    self._read("stderr", process.stderr),
                )
            await process.wait_closed()
        if process.exit_status == 0:
            return ""
        if process.exit_signal:
            return f"Process exited from signal {process.exit_signal[0]}"
        if process.exit_status is None:
            return "the connection was lost while the command ran"
        return f"Process exited with status {process.exit_status}"

    async def end(self) -> None:
        """Tell the command to end, and close its channel."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait_closed(), _PATIENCE)
        self._process.close()

    async def _read(self, name: str, stream: Any) -> None:
        while data := await stream.read(65536):
            self._output.feed(name, data)

    async def _write(self, process: Any) -> None:
        if not self._stdin:
            return
        # A command may end without reading all of its input.
        with suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(self._stdin)
            await process.stdin.drain()
            process.stdin.write_eof()


async def _check_accepted(connection: Any, variables: dict[str, str]) -> None:
    """Raise StandinError unless the server takes all `variables` (sshd's AcceptEnv).

    SSH lets a client ask for an answer, which asyncssh does not; so a command looks for them.
    """
    for name in variables:
        seen = await connection.run(f"printenv {name}", env=variables)
        if seen.exit_status != 0:
            raise StandinError(
                f"could not set environment variable {name!r}: the SSH server must list it in "
                "AcceptEnv. Or write it before the command ('VAR=value command'), or use stdin."
            )
