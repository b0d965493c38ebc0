"""The `connection` property: what it may hold, and SSH connections made from it.

asyncssh runs in one event loop in a thread of its own, started with the first connection. A
connection is kept and shared by the commands that go to the same host as the same user, since
a program makes many small commands; it is dialled anew when it was lost or is full.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from standins.base import Call, Failure, StandinError
from standins.values import UNKNOWN

if TYPE_CHECKING:
    import asyncssh

T = TypeVar("T")

_KEYS = frozenset(
    {
        "agentSocketPath",
        "dialErrorLimit",
        "host",
        "hostKey",
        "password",
        "perDialTimeout",
        "port",
        "privateKey",
        "privateKeyPassword",
        "user",
    }
)
_DEFAULTS = {"dialErrorLimit": 10, "perDialTimeout": 15, "port": 22, "user": "root"}
# Waits between dials, in seconds: short at first, since a machine that boots is soon there.
_FIRST_WAIT, _WAIT_GROWTH, _LONGEST_WAIT = 0.1, 1.5, 2.0
# OpenSSH's sshd takes ten sessions a connection (MaxSessions); more get a connection of their own.
_SESSIONS_PER_CONNECTION = 8
# A peer that answers nothing for this long (seconds times count) is gone.
_KEEPALIVE = (10, 6)
# A connection that was used this many seconds ago needs no proof that its peer is there.
_FRESH = 3.0
_PROBE_TIMEOUT = 5.0


def check_connection(
    connection: Any, path: str = "connection"
) -> tuple[dict[str, Any], list[Failure]]:
    """`connection` with its defaults, and what is wrong with it."""
    if connection is UNKNOWN:
        return connection, []
    if not isinstance(connection, dict):
        return {}, [Failure(path, "must be an object with at least a host")]
    allowed = _KEYS if path.endswith(".proxy") else _KEYS | {"proxy"}
    failures = [
        Failure(f"{path}.{name}", "a connection has no such property")
        for name in sorted(connection.keys() - allowed)
        if not name.startswith("__")
    ]
    if connection.get("host") is None:
        failures.append(Failure(f"{path}.host", "missing required property 'host'"))
    checked = {**_DEFAULTS, **{k: v for k, v in connection.items() if v is not None}}
    if "proxy" in checked:
        checked["proxy"], more = check_connection(checked["proxy"], f"{path}.proxy")
        failures += more
    return checked, failures


class EventLoop:
    """The asyncio loop in which all SSH connections of this process live."""

    _lock = threading.Lock()
    _loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def submit(cls, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` in the loop."""
        with cls._lock:
            if cls._loop is None:
                cls._loop = asyncio.new_event_loop()
                threading.Thread(target=cls._loop.run_forever, name="ssh", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(work, cls._loop)


@dataclass
class _Kept:
    """A connection that is kept for the next command, and how many use it now."""

    connection: asyncssh.SSHClientConnection
    users: int = 0
    last_used: float = 0.0


_kept: dict[tuple[Any, ...], list[_Kept]] = {}


@asynccontextmanager
async def connected(call: Call, settings: dict[str, Any]) -> AsyncGenerator[Any]:
    """One session's share of a connection to the host in `settings`, kept or newly dialled.

    Raises StandinError when the host can't be reached, Cancelled when the engine asks to stop.
    """
    settings = {**_DEFAULTS, **settings}
    places = _kept.setdefault(_identity(settings), [])
    kept = await _one_that_lives(places)
    if kept is None:
        kept = _Kept(await _dial(call, settings), users=1)
        places.append(kept)
    try:
        yield kept.connection
    finally:
        kept.users -= 1
        kept.last_used = time.monotonic()
        if kept.connection.is_closed() and kept in places:
            places.remove(kept)


async def _one_that_lives(places: list[_Kept]) -> _Kept | None:
    """A kept connection with room for one more session whose peer still answers."""
    for kept in list(places):
        if kept.users >= _SESSIONS_PER_CONNECTION:
            continue
        kept.users += 1
        idle = time.monotonic() - kept.last_used
        if not kept.connection.is_closed() and (idle < _FRESH or await _answers(kept.connection)):
            return kept
        # Its machine may have been replaced since: whoever still uses it will hear of it too.
        kept.users -= 1
        kept.connection.abort()
        if kept in places:
            places.remove(kept)
    return None


async def _answers(connection: asyncssh.SSHClientConnection) -> bool:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT):
            await connection.run("true")
    except Exception:  # whatever it was, a new connection is the answer
        return False
    return True


def _identity(settings: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two connections the same; how patiently they are dialled does not."""
    proxy = settings.get("proxy")
    names = sorted(_KEYS - {"dialErrorLimit", "perDialTimeout"})
    own = tuple(settings.get(name) for name in names)
    return (*own, _identity(proxy) if proxy else None)


async def _dial(call: Call, settings: dict[str, Any]) -> asyncssh.SSHClientConnection:
    """A new connection, tried until it is there or `dialErrorLimit` (-1: none) errors are past.

    A proxy is dialled once, by its own limit. From there only the way to the host is tried again:
    the official plugin repeats a login that has failed on the same, dead connection.
    """
    proxy = settings.get("proxy")
    if proxy is None:
        return await _dial_from(call, settings, None)
    tunnel = await _dial(call, {**_DEFAULTS, **proxy})
    try:
        made = await _dial_from(call, settings, tunnel)
    except BaseException:
        tunnel.abort()
        raise
    EventLoop.submit(_close_after(made, tunnel))
    return made


async def _close_after(
    connection: asyncssh.SSHClientConnection, tunnel: asyncssh.SSHClientConnection
) -> None:
    """A tunnel is of one connection, and goes with it."""
    await connection.wait_closed()
    tunnel.close()


async def _dial_from(
    call: Call, settings: dict[str, Any], tunnel: asyncssh.SSHClientConnection | None
) -> asyncssh.SSHClientConnection:
    """By way of the tunnel, if there is one."""
    import asyncssh

    host, limit = settings["host"], settings["dialErrorLimit"]
    options = _options(settings)
    wait, errors, started = _FIRST_WAIT, 0, time.monotonic()
    while True:
        call.check_cancelled()
        try:
            return await _connect(settings, options, tunnel)
        except Exception as error:
            errors += 1
            no_way = isinstance(error, (asyncssh.ChannelOpenError, TimeoutError))
            if (-1 < limit < errors) or (tunnel is not None and not no_way):
                raise StandinError(
                    f"can't connect to {settings['user']}@{host}:{settings['port']} "
                    f"after {errors} attempts in {time.monotonic() - started:.0f} s: "
                    f"{_reason(error)}"
                ) from None
            shown = "inf" if limit < 0 else limit
            text = f"Dial {errors}/{shown} to {host} failed: {_reason(error)}; retrying"
            await asyncio.get_running_loop().run_in_executor(None, call.status, text)
        await asyncio.sleep(wait)
        wait = min(wait * _WAIT_GROWTH, _LONGEST_WAIT)


async def _connect(
    settings: dict[str, Any], options: dict[str, Any], tunnel: Any
) -> asyncssh.SSHClientConnection:
    import asyncssh

    # 0 means no limit, as with the official plugin.
    async with asyncio.timeout(settings["perDialTimeout"] or None):
        return await asyncssh.connect(
            settings["host"], int(settings["port"]), tunnel=tunnel, **options
        )


def _options(settings: dict[str, Any]) -> dict[str, Any]:
    """asyncssh's options for `settings`; nothing of the user's own ~/.ssh is used.

    Raises StandinError where a key can't be read: trying again would not help.
    """
    import asyncssh

    keys = None
    if settings.get("privateKey"):
        try:
            keys = [
                asyncssh.import_private_key(
                    settings["privateKey"], settings.get("privateKeyPassword")
                )
            ]
        except asyncssh.KeyImportError as error:
            raise StandinError(f"can't read the connection's privateKey: {error}") from None
    trusted: Any = None
    if settings.get("hostKey"):
        try:
            trusted = ([asyncssh.import_public_key(settings["hostKey"])], [], [])
        except asyncssh.KeyImportError as error:
            raise StandinError(f"can't read the connection's hostKey: {error}") from None
    interval, count = _KEEPALIVE
    return {
        "username": settings["user"],
        "password": settings.get("password"),
        "client_keys": keys,
        "agent_path": settings.get("agentSocketPath") or os.environ.get("SSH_AUTH_SOCK") or None,
        "known_hosts": trusted,
        "config": None,
        "keepalive_interval": interval,
        "keepalive_count_max": count,
    }


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()  # asyncio's own text names no cause
    return str(error) or type(error).__name__
