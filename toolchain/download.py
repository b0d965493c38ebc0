"""Official downloads: one short attempt to reach them, checked against the published checksums.

A host that could not be reached is remembered in the cache for some hours, so that a machine
without internet access waits once and not at each call.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import platform
import re
import shutil
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from toolchain import paths
from toolchain.errors import ToolchainError
from toolchain.locks import lock
from toolchain.progress import ticking

#: Seconds that all hosts together have to answer.
REACH_WITHIN = 3.0
#: Seconds for which a failed attempt is remembered.
REMEMBER = 6 * 3600.0
#: Seconds without any data after which a download has failed.
STALLED = 20.0
#: What urllib raises where a host is out of reach or answers nonsense.
FAILURES = (OSError, ValueError, http.client.HTTPException)


def machine() -> dict[str, str]:
    """This machine in the words that download addresses use: os, go_arch, node_arch."""
    arch = {"x86_64": ("amd64", "x64"), "aarch64": ("arm64", "arm64")}.get(platform.machine())
    if platform.system() != "Linux" or arch is None:
        raise ToolchainError(
            f"this is {platform.system()} on {platform.machine()}; the toolchain is for Linux "
            "on x86_64 or aarch64"
        )
    return {"os": "linux", "go_arch": arch[0], "node_arch": arch[1]}


def reachable(urls: list[str], now: float | None = None) -> dict[str, bool]:
    """Whether each address answers a HEAD request with success (or asks for a login, as registries
    do), decided within REACH_WITHIN seconds for all of them together. Hosts that lately did not are
    not asked again."""
    now = time.time() if now is None else now
    memory = _memory()
    answers = dict.fromkeys(urls, False)
    asked = [url for url in urls if now - memory.get(_host(url), 0.0) > REMEMBER]

    def ask(url: str) -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=REACH_WITHIN):
                answers[url] = True
        except urllib.error.HTTPError as error:
            answers[url] = error.code == 401  # a registry, which hands out what opens it itself
        except FAILURES:
            pass  # stays False

    # Daemon threads: a name server that never answers must hold up neither this nor the exit.
    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in asked]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + REACH_WITHIN
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    result = dict(answers)  # a late answer must not change what was decided
    for url in asked:
        if result[url]:
            memory.pop(_host(url), None)
        else:
            memory[_host(url)] = now
    if asked:
        _remember(memory)
    return result


def fetch(name: str, version: str, url: str, checksums: str, member: str) -> Path:
    """Download a command into the cache, and return the path of its executable.

    `url` is the executable or a .tar.gz, `member` the executable's path in that: the files beside
    it are kept too (Pulumi's language hosts lie there). Raises ToolchainError where the download
    fails or does not match the published SHA-256.
    """
    target = location(name, version, url, member)
    with lock(f"download-{name}", f"the download of {name}"):
        if target.exists():
            return target
        base = target.parent.parent
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=base) as folder:
            archive = Path(folder) / Path(urllib.parse.urlparse(url).path).name
            try:
                with ticking(lambda: f"downloading {name} {version}"):
                    transfer(url, archive)
                with urllib.request.urlopen(checksums, timeout=STALLED) as answer:
                    listed = answer.read().decode()
            except FAILURES as error:
                raise ToolchainError(f"downloading {name} {version} failed: {error}") from error
            verify(archive, published(listed, archive.name))
            fresh = Path(folder) / "fresh"
            fresh.mkdir()
            if member:
                _extract(archive, str(Path(member).parent), fresh)
            else:
                archive.rename(fresh / name)
                (fresh / name).chmod(0o755)
            if not (fresh / target.name).exists():
                raise ToolchainError(f"{url} holds no {member}")
            fresh.rename(target.parent)
    return target


def location(name: str, version: str, url: str, member: str) -> Path:
    """Where a download lies once it is there."""
    executable = Path(member).name if member else name
    return paths.build_dir(name, f"{version}-official", paths.digest_of(url)) / executable


def published(listed: str, file: str) -> str:
    """The SHA-256 for `file` in a checksum file: lines `<sum>  <file>`, or just the sum.

    Raises ToolchainError where it is not listed.
    """
    sums = re.findall(r"^([0-9a-fA-F]{64})(?:\s+\*?(\S+))?\s*$", listed, re.MULTILINE)
    for value, name in sums:
        if Path(name).name == file or (not name and len(sums) == 1):
            return value.lower()
    raise ToolchainError(f"the published checksums do not list {file}")


def verify(file: Path, expected: str) -> None:
    """Raises ToolchainError unless the file has that SHA-256."""
    with open(file, "rb") as stream:
        actual = hashlib.file_digest(stream, "sha256").hexdigest()
    if actual != expected:
        raise ToolchainError(f"{file.name} has SHA-256 {actual}, published is {expected}")


def transfer(url: str, to: Path) -> None:
    """Download a file. Raises one of FAILURES."""
    with urllib.request.urlopen(url, timeout=STALLED) as answer, open(to, "wb") as file:
        shutil.copyfileobj(answer, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())


def _extract(archive: Path, folder: str, into: Path) -> None:
    """Unpack the regular files that lie directly in `folder` of the archive; nothing else of it
    (no links, no paths of its own choice) reaches the disk."""
    with tarfile.open(archive) as tar:
        for entry in tar:
            path = Path(entry.name)
            content = tar.extractfile(entry) if entry.isfile() else None
            if content is None or str(path.parent) != folder:
                continue
            with open(into / path.name, "wb") as file:
                shutil.copyfileobj(content, file)
            (into / path.name).chmod(0o755 if entry.mode & 0o100 else 0o644)


def forget() -> None:
    """Forget which hosts could not be reached, so that they are asked again."""
    _memory_file().unlink(missing_ok=True)


def _host(url: str) -> str:
    return urllib.parse.urlparse(url).netloc


def _memory_file() -> Path:
    return paths.cache_dir() / "unreachable.json"


def _memory() -> dict[str, float]:
    """Hosts that did not answer, and when (seconds since the epoch)."""
    try:
        return json.loads(_memory_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _remember(memory: dict[str, float]) -> None:
    file = _memory_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    paths.replace(file, json.dumps(memory))
