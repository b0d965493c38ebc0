"""remote.CopyToRemote: a file, a text or a folder to another machine, over SFTP."""

from __future__ import annotations

import os
import posixpath
import stat
import time
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import Any

from standins.base import (
    UNKNOWN,
    Archive,
    Asset,
    Call,
    Cancelled,
    Failure,
    ResourceHandler,
    StandinError,
)
from standins.command.connection import EventLoop, check_connection, connected
from standins.command.resource import new_id

_CHUNK = 4 * 1024 * 1024


class CopyToRemote(ResourceHandler):
    """Copies when made, and when the source's hash or the path changed. A delete leaves the copy.

    A change of the connection alone copies nothing: use `triggers` for a host that was replaced.
    """

    token = "command:remote:CopyToRemote"
    inputs = frozenset({"connection", "remotePath", "source", "triggers"})
    required = frozenset({"connection", "remotePath", "source"})
    secret_inputs = frozenset({"connection"})
    force_new = frozenset({"triggers"})

    def check(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        inputs, failures = super().check(call)
        if inputs.get("connection") is not None:
            inputs["connection"], more = check_connection(inputs["connection"])
            failures += more
        source = inputs.get("source")
        if source is None or source is UNKNOWN:
            return inputs, failures
        if isinstance(source, Asset):
            if source.path is None and source.text is None:
                reason = "asset must be a path-based file asset or a text asset"
                failures.append(Failure("source", reason))
        elif not isinstance(source, Archive):
            failures.append(Failure("source", "must be an asset or an archive"))
        elif source.path is None:
            failures.append(Failure("source", "archive must be a path to a file or directory"))
        return inputs, failures

    def create(self, call: Call) -> tuple[str, dict[str, Any]]:
        copy(call, call.inputs)
        return new_id(call), call.inputs

    def update(self, call: Call) -> dict[str, Any]:
        before, now = call.state, call.inputs
        same_source = getattr(before.get("source"), "hash", None) == now["source"].hash
        if not same_source or before.get("remotePath") != now["remotePath"]:
            copy(call, now)
        return now

    def delete(self, call: Call) -> None:
        """Nothing: as with the official plugin, what was copied stays there."""


def copy(call: Call, inputs: dict[str, Any]) -> None:
    """Copy `inputs["source"]` to `inputs["remotePath"]`; raises StandinError where it can't."""
    deadline = time.monotonic() + call.timeout if call.timeout else None
    running = EventLoop.submit(_copy(call, inputs))
    while True:
        try:
            return running.result(timeout=0.1)
        except NotYet:
            if running.done():
                raise
        if call.cancelled.is_set():
            running.cancel()
            raise Cancelled
        if deadline and time.monotonic() > deadline:
            running.cancel()
            raise StandinError(f"not copied within its timeout of {call.timeout:g} s")


async def _copy(call: Call, inputs: dict[str, Any]) -> None:
    import asyncssh

    source, target = inputs["source"], inputs["remotePath"]
    where = f"{inputs['connection']['host']}:{target}"
    try:
        async with (
            connected(call, inputs["connection"]) as connection,
            connection.start_sftp_client() as sftp,
        ):
            if isinstance(source, Asset) and source.text is not None:
                await _copy_text(sftp, source.text, target)
            else:
                await _copy_path(sftp, source.path, target)
    except (asyncssh.Error, OSError) as error:
        raise StandinError(f"can't copy to {where}: {error}") from None


async def _copy_text(sftp: Any, text: str, target: str) -> None:
    if await _is_folder(sftp, target):
        raise StandinError(f"{target} is a directory; for a text, remotePath must be a file's path")
    async with sftp.open(target, "wb") as remote:
        await remote.write(text.encode())


async def _copy_path(sftp: Any, source: str, target: str) -> None:
    """Copy a file or a folder. What lies at `target` counts as it does for `cp -r`:

    a folder goes to target/folder; `folder/` lays its content into target;
    a file goes to target, or into target if that is a folder.
    """
    there = await _is_folder(sftp, target)
    name = os.path.basename(source.rstrip("/"))
    if not os.path.isdir(source):
        await _copy_file(sftp, Path(source), posixpath.join(target, name) if there else target)
        return
    await _make_folder(sftp, target)
    if not source.endswith("/"):
        target = posixpath.join(target, name)
        await _make_folder(sftp, target)
    for folder, folders, files in os.walk(source):
        inside = posixpath.join(target, Path(folder).relative_to(source).as_posix())
        await _make_folder(sftp, posixpath.normpath(inside))
        for link in (item for item in sorted(folders) if os.path.islink(f"{folder}/{item}")):
            raise StandinError(f"{folder}/{link} is a link to a directory, which can't be copied")
        folders.sort()
        for file in sorted(files):
            await _copy_file(sftp, Path(folder, file), posixpath.join(inside, file))


async def _copy_file(sftp: Any, source: Path, target: str) -> None:
    with source.open("rb") as local:
        async with sftp.open(posixpath.normpath(target), "wb") as remote:
            while data := local.read(_CHUNK):
                await remote.write(data)


async def _is_folder(sftp: Any, path: str) -> bool:
    import asyncssh

    try:
        found = await sftp.stat(path)
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        return False
    return stat.S_ISDIR(found.permissions or 0)


async def _make_folder(sftp: Any, path: str) -> None:
    """Make the folder `path` unless it is there; its parent must be."""
    import asyncssh

    if await _is_folder(sftp, path):
        return
    try:
        await sftp.mkdir(path)
    except asyncssh.SFTPError as error:
        raise StandinError(f"can't make the directory {path}: {error}") from None
