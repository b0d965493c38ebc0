"""The one Python environment, made in the cache from requirements*.txt; `.venv` links to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from toolchain import debian, paths
from toolchain.errors import ToolchainError
from toolchain.locks import lock
from toolchain.progress import ticking

REQUIREMENTS = ("requirements.txt", "requirements-dev.txt", "toolchain/constraints.txt")


def digest() -> str:
    """The environment's key: what is asked for, and which Python it is made with."""
    asked = [paths.CHECKOUT / name for name in REQUIREMENTS]
    return paths.digest_of(sys.version, os.path.realpath(sys.executable), *asked)


def folder() -> Path:
    """CACHE/venv/<digest12>, whether it is there yet or not."""
    return paths.cache_dir() / "venv" / digest()[:12]


def ready(place: Path) -> bool:
    """Whether the environment in `place` was finished and its Python still starts there."""
    return (place / ".complete").exists() and (place / "bin" / "python").exists()


def link(place: Path) -> None:
    """Point the checkout's `.venv` at `place`, at once (a rename), replacing an older link.

    Raises ToolchainError where `.venv` is a folder of the user's own.
    """
    if paths.VENV.is_symlink() and paths.VENV.readlink() == place:
        return
    if paths.VENV.exists() and not paths.VENV.is_symlink():
        raise ToolchainError(
            f"{paths.VENV} is a folder of its own; move it away, a link belongs there"
        )
    fresh = paths.VENV.with_name(f".venv.{os.getpid()}")
    fresh.symlink_to(place)
    fresh.replace(paths.VENV)


def base_python() -> str:
    """The interpreter to make environments with: never one that lives in an environment itself."""
    return getattr(sys, "_base_executable", None) or sys.executable


def python_of(version: str) -> str | None:
    """An interpreter of that minor version (3.13) that can make environments; None without one."""
    for python in filter(None, (base_python(), shutil.which(f"python{version}"))):
        # pyenv's names lead to nothing where the version is not chosen.
        told = subprocess.run(
            [python, "-c", "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
        )
        if told.stdout.strip() == version:
            return python
    return None


def make() -> Path:
    """Make the environment if it is not there, link `.venv` to it, and return its folder."""
    place = folder()
    ensure(place, paths.CHECKOUT / "requirements-dev.txt")
    link(place)
    return place


@contextmanager
def making() -> Generator[Callable[[], Path]]:
    """Makes it in a process beside what the block does; yields what waits for it, like `make`.

    pip keeps one core busy for minutes, and most of what else is got does not need Python.
    """
    if ready(folder()):
        yield make
        return
    command = [sys.executable, "-m", "toolchain", "venv"]
    with subprocess.Popen(command, cwd=paths.CHECKOUT) as beside:

        def wait() -> Path:
            if beside.wait():
                raise ToolchainError("no Python environment (why is above)")
            return make()

        try:
            yield wait
        except BaseException:
            beside.terminate()
            raise


def ensure(place: Path, requirements: Path, *more: str, python: str | None = None) -> None:
    """Make an environment in `place` of a file of requirements, unless it is there.

    more: further requirements. python: the interpreter, else the one that we run with.
    """
    if not ready(place):
        with lock(f"venv-{place.name}", "the Python environment"):
            if not ready(place):
                _install(place, requirements, more, python or base_python())


def _install(place: Path, requirements: Path, more: Sequence[str], python: str) -> None:
    """Fill `place` by pip. An environment knows its own path, so it is made where it will stay:
    the file .complete, written last, tells a finished one from one that was cut short."""
    if not _can_make_venvs():
        debian.install(["python3-venv"], "to make the Python environment")
    if place.exists():
        shutil.rmtree(place)
    with ticking(lambda: f"Python environment: {requirements.name},"):
        _run([python, "-m", "venv", str(place)], "make a Python environment")
        inside = [str(place / "bin" / "python"), "-m"]
        # Half of pip's time was to compile all of the packages; Python does what it imports.
        pip = ["pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
        _run([*inside, *pip, "-r", str(requirements), *more], f"install {requirements.name}")
    (place / ".complete").touch()


def _can_make_venvs() -> bool:
    # Debian splits ensurepip off into python3-venv; venv fails without it.
    test = subprocess.run(
        [base_python(), "-c", "import venv, ensurepip"], capture_output=True, check=False
    )
    return test.returncode == 0


def _run(command: list[str], what: str) -> None:
    if subprocess.run(command, check=False).returncode != 0:
        raise ToolchainError(f"could not {what} (its message is above)")
