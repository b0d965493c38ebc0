"""An SSH server on loopback for tests: runs commands in /bin/sh, as this user, and serves SFTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncssh


@dataclass
class Server:
    """A running server, and what it saw."""

    port: int = 0
    host_key: str = ""
    private_key: str = ""
    connections: int = 0
    # Environment variables that it takes (sshd's AcceptEnv).
    accepted: set[str] = field(default_factory=set)
    live: list[Any] = field(default_factory=list)
    commands: list[asyncio.subprocess.Process] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None

    def connection(self, **more: Any) -> dict[str, Any]:
        """A `connection` property that reaches this server."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "tester",
            "privateKey": self.private_key,
            **more,
        }

    def drop_connections(self) -> None:
        """Cut all connections, as a machine does that goes away."""
        assert self._loop is not None
        for connection in list(self.live):
            self._loop.call_soon_threadsafe(connection.abort)


class _Access(asyncssh.SSHServer):
    def __init__(self, server: Server, key: asyncssh.SSHKey) -> None:
        self._server = server
        self._key = key.export_public_key("openssh")

    def connection_made(self, conn: Any) -> None:
        self._server.connections += 1
        self._server.live.append(conn)
        self._connection = conn

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.live.remove(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key.export_public_key("openssh").split()[:2] == self._key.split()[:2]

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool:
        return True  # forward: the server is a proxy too

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return password == "open sesame"


async def _run(server: Server, process: Any) -> None:
    """Run the client's command, pass its streams through, and obey its signals."""
    variables = {k: v for k, v in process.env.items() if k in server.accepted}
    child = await asyncio.create_subprocess_shell(
        process.command,
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )

    server.commands.append(child)
    # The process is the channel's session too; this is how a client's signal comes to it.
    process.signal_received = lambda name: os.killpg(child.pid, signal.Signals[f"SIG{name}"])

    async def feed() -> None:
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while data := await process.stdin.read(65536):
                child.stdin.write(data)
                await child.stdin.drain()
            child.stdin.close()

    async def pump(source: Any, target: Any) -> None:
        while data := await source.read(65536):
            target.write(data)

    feeding = asyncio.create_task(feed())
    await asyncio.gather(pump(child.stdout, process.stdout), pump(child.stderr, process.stderr))
    code = await child.wait()
    feeding.cancel()
    if code < 0:
        process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
    else:
        process.exit(code)


@contextmanager
def ssh_server() -> Generator[Server]:
    """A server on a free port of 127.0.0.1, in a thread of its own."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    server = Server(private_key=key.export_private_key().decode())
    server.host_key = host_key.export_public_key("openssh").decode().strip()
    loop = asyncio.new_event_loop()
    server._loop = loop
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> Any:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            server_factory=lambda: _Access(server, key),
            process_factory=lambda process: _run(server, process),
            sftp_factory=True,
            encoding=None,
        )

    listener = asyncio.run_coroutine_threadsafe(listen(), loop).result(timeout=10)
    server.port = listener.get_port()
    yield server

    async def close() -> None:
        listener.close()
        for connection in list(server.live):
            connection.abort()
        for command in server.commands:
            if command.returncode is None:
                os.killpg(command.pid, signal.SIGKILL)
            await command.wait()

    asyncio.run_coroutine_threadsafe(close(), loop).result(timeout=10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
