"""Load balancers: what the API says of them, done by a small TCP proxy each.

A balancer is a thread in a network namespace of its own, at its address on the bridge, behind its
security groups as a machine is. It looks at its targets as often as the API says, leads each
connection to one that is well, and cuts those to one that is not; if none is, it tries them all, as
AWS's does. Targets see the balancer's own address.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import ssl
import threading
from collections.abc import Callable, Iterable

from localcloud.api.wanted import Balancer, Check, Listener, Target
from localcloud.host import network, rules

_NEW_NETWORK = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
#: Bytes that are passed on at once.
_CHUNK = 1 << 16
#: How long a target may take to take a connection, in seconds.
_TO_CONNECT = 5.0


class Balancers:
    """All that run; `apply` makes them those that are wanted. log: takes a line."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._running: dict[str, _Proxy] = {}
        self._rules: dict[str, str] = {}

    def apply(self, wanted: Iterable[Balancer]) -> None:
        """Starts, changes and ends them; those that an earlier process left are made anew."""
        by_id = {one.id: one for one in wanted}
        for id in network.plugged_in("lb-") - by_id.keys():
            if id in self._running:
                self._running.pop(id).end()
            self._rules.pop(id, None)
            network.unplug(id)
            self._log(f"{id}: gone")
        for id, one in by_id.items():
            text = rules.machine_rules(one)
            if id not in self._running:
                network.plug_in(one, text)
                self._running[id] = _Proxy(one, self._log)
                self._log(f"{id}: balances at {one.address}")
            elif self._rules[id] != text:
                network.apply_machine_rules(id, text)
            self._rules[id] = text
            self._running[id].change(one)


class _Proxy:
    """One balancer's thread."""

    def __init__(self, balancer: Balancer, log: Callable[[str], None]) -> None:
        self._id, self._address = balancer.id, balancer.address
        self._log = log
        self._listeners: tuple[Listener, ...] = ()
        self._ports: dict[int, _Port] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def change(self, balancer: Balancer) -> None:
        """What it listens to and leads to from now on."""
        if balancer.listeners != self._listeners:
            self._listeners = balancer.listeners
            asyncio.run_coroutine_threadsafe(self._apply(balancer.listeners), self._loop)

    def end(self) -> None:
        """Closes all."""
        asyncio.run_coroutine_threadsafe(self._apply(()), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        # Of this thread only; the loop and all that it opens live there.
        place = os.open(network.namespace_path(self._id), os.O_RDONLY)
        entered = _LIBC.setns(place, _NEW_NETWORK)
        os.close(place)
        if entered:
            self._log(f"{self._id}: {os.strerror(ctypes.get_errno())}")
            return
        self._loop.run_forever()

    async def _apply(self, listeners: tuple[Listener, ...]) -> None:
        by_port = {one.port: one for one in listeners}
        for number in self._ports.keys() - by_port.keys():
            await self._ports.pop(number).close()
        for number, listener in by_port.items():
            if number not in self._ports:
                self._ports[number] = _Port(self._id, self._log)
                await self._ports[number].open(self._address, number)
            self._ports[number].lead_to(listener)


class _Port:
    """A listener: its targets, how they are, and the connections to each."""

    def __init__(self, name: str, log: Callable[[str], None]) -> None:
        self._name, self._log = name, log
        self._check: Check | None = None
        self._looks: dict[Target, asyncio.Task[None]] = {}
        self._well: set[Target] = set()
        self._connections: dict[Target, set[asyncio.StreamWriter]] = {}
        self._turns = itertools.count()

    async def open(self, address: str, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, address, port)

    async def close(self) -> None:
        self._server.close()
        for target in list(self._looks):
            self._leave(target)

    def lead_to(self, listener: Listener) -> None:
        """These targets from now on, looked at like that."""
        if listener.check != self._check:
            for target in list(self._looks):
                self._leave(target)
            self._check = listener.check
        for target in self._looks.keys() - set(listener.targets):
            self._leave(target)
        for target in listener.targets:
            if target not in self._looks:
                self._looks[target] = asyncio.ensure_future(self._watch(target, listener.check))

    def _leave(self, target: Target) -> None:
        self._looks.pop(target).cancel()
        self._well.discard(target)
        self._cut(target)

    def _cut(self, target: Target) -> None:
        for writer in self._connections.pop(target, set()):
            writer.transport.abort()

    async def _watch(self, target: Target, check: Check) -> None:
        streak, was = 0, None
        while True:
            now = await is_well(target, check)
            streak = streak + 1 if now == was else 1
            was = now
            if now and target not in self._well and streak >= check.healthy:
                self._well.add(target)
                self._log(f"{self._name}: {target.address} is well")
            elif not now and target in self._well and streak >= check.unhealthy:
                self._well.discard(target)
                self._cut(target)
                self._log(f"{self._name}: {target.address} is not well")
            await asyncio.sleep(check.interval)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        targets = sorted(self._well or self._looks)
        if not targets:
            writer.transport.abort()
            return
        target = targets[next(self._turns) % len(targets)]
        try:
            connecting = asyncio.open_connection(target.address, target.port)
            answers, asks = await asyncio.wait_for(connecting, _TO_CONNECT)
        except (OSError, TimeoutError):
            writer.transport.abort()
            return
        mine = self._connections.setdefault(target, set())
        mine |= {writer, asks}
        try:
            await asyncio.gather(_pass_on(reader, asks), _pass_on(answers, writer))
        finally:
            mine -= {writer, asks}
            writer.transport.abort()
            asks.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that comes, and its end."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def is_well(target: Target, check: Check) -> bool:
    """Whether it takes a connection, and where a path is asked for says that all is well."""
    try:
        return await asyncio.wait_for(_look(target, check), check.timeout)
    except (OSError, TimeoutError):
        return False


async def _look(target: Target, check: Check) -> bool:
    secure = None
    if check.protocol == "HTTPS":  # whoever answers: AWS's does not ask for a certificate either
        secure = ssl.create_default_context()
        secure.check_hostname, secure.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(target.address, target.port, ssl=secure)
    try:
        if check.protocol == "TCP":
            return True
        asked = f"GET {check.path} HTTP/1.0\r\nHost: {target.address}\r\n\r\n"
        writer.write(asked.encode())
        return (await reader.readline()).split()[1:2] == [b"200"]
    finally:
        writer.transport.abort()
