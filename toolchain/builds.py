"""Commands that no registry ships as a binary, built from their Go modules into the cache.

    binary("kubelet")        the built command's path; builds it if it is not there
    build(["etcd", "helm"])  builds several, with progress
    module_dir("flannel")    the module's source folder (flannel's and metrics-server's hold charts)

The names are those of versions.toml. Modules are pinned by toolchain/go/<name>/go.mod and their
checksums by go.sum: with -mod=readonly Go refuses what does not match. What was compiled before an
interrupted build stays in Go's own cache, so the next one goes on from there.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from toolchain import debian, paths
from toolchain.errors import ToolchainError
from toolchain.locks import lock
from toolchain.progress import ticking
from toolchain.versions import GoModule, builder_of, go_modules

GO_FLAGS = "-mod=readonly -trimpath -buildvcs=false"


def names() -> list[str]:
    """All binaries that can be built, in the order of versions.toml."""
    return [command for module in go_modules().values() for command in module.commands]


def binary(name: str) -> Path:
    """The path of a built command; builds it first where the cache does not have it.

    Raises ToolchainError where the name is unknown or the build fails.
    """
    path = location(name)
    if not path.exists():
        build([name])
    return path


def location(name: str) -> Path:
    """Where a command lies once it is built: CACHE/build/<name>-<release>-<digest8>/<name>."""
    module = module_of(name)
    return paths.build_dir(name, module.release, _digest(module, name)) / name


def module_of(name: str) -> GoModule:
    """The module whose build makes the binary `name`."""
    if (module := builder_of(name)) is None:
        raise ToolchainError(f"no binary is called {name}; there are: {', '.join(names())}")
    return module


@cache
def module_dir(name: str) -> Path:
    """The source folder, in Go's module cache, of the upstream module of toolchain/go/<name>.

    Downloads it where it is missing, checked against go.sum. Read-only for all who use it.
    """
    module = go_modules().get(name)
    if module is None or not module.module:
        raise ToolchainError(f"toolchain/go has no upstream module called {name}")
    done = subprocess.run(
        [go(), "mod", "download", "-json", f"{module.module}@{module.version}"],
        cwd=source(module),
        env=_environment(module),
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout or "{}")
    if done.returncode != 0 or "Dir" not in answer:
        raise ToolchainError(
            f"could not download module {module.module}: "
            f"{answer.get('Error') or done.stderr.strip() or 'no message'}"
        )
    return Path(answer["Dir"])


def build(wanted: Iterable[str] | None = None, progress: bool = True) -> None:
    """Build what the cache lacks of `wanted` (all of them by default), module by module.

    Binaries of one module are made by one `go build`, so that shared packages are compiled once.
    Raises ToolchainError, naming the module and the compiler's last words.
    """
    chosen = list(dict.fromkeys(names() if wanted is None else wanted))
    missing = [name for name in chosen if not location(name).exists()]
    done = 0
    modules = {(m.name, m.version): m for m in map(module_of, missing)}
    for module in modules.values():
        ours = [name for name in missing if name in module.commands]
        with lock(f"go-{module.name}", f"the build of {module.name}"):
            # Another process may have built it while this one waited.
            still = [name for name in ours if not location(name).exists()]
            if still:
                _build_module(module, still, done, len(missing), progress)
        done += len(ours)


def go() -> str:
    """The go command: on PATH, or where Go's own installation puts it."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        raise ToolchainError(
            "missing: Go 1.26.6 or newer, to build what cannot be downloaded; see https://go.dev/dl"
        )
    return found


def source(module: GoModule) -> Path:
    """The folder with the module's go.mod."""
    return paths.CHECKOUT / "toolchain" / "go" / module.name


def command_line(module: GoModule, commands: list[str], into: Path) -> list[str]:
    """The `go build` that writes the module's `commands` into the folder `into`."""
    linker = ["-s", "-w"]
    if module.cgo:
        linker += ["-linkmode", "external", "-extldflags", "-static"]
    linker += [f"-X {variable}={value}" for variable, value in module.stamps.items()]
    options = ["-v", "-tags", ",".join(module.tags), "-ldflags", " ".join(linker)]
    if module.patches:
        options += ["-modfile", str(_patched(module, into))]
    elif module.pinned != "go":
        options += ["-modfile", f"{module.pinned}.mod"]
    packages = [module.commands[command] for command in commands]
    return [go(), "build", *options, "-o", f"{into}/", *packages]


def _patched(module: GoModule, into: Path) -> Path:
    """A go.mod in `into` by which upstream's module is taken from a copy with files of ours in it.

    (Go's own overlay takes nothing in place of a module's files, and `go:embed` nothing of theirs.)
    """
    ours, copy = source(module), into / "upstream"
    shutil.copytree(module_dir(module.name), copy, copy_function=shutil.copyfile)
    for folder in (copy, *copy.rglob("*/")):
        folder.chmod(0o755)  # of Go's module cache they are read-only
    for file, own in module.patches.items():
        shutil.copyfile(ours / own if (ours / own).exists() else copy / own, copy / file)
    (into / "go.mod").write_text(
        (ours / "go.mod").read_text("utf-8") + f"\nreplace {module.module} => {copy}\n", "utf-8"
    )
    shutil.copyfile(ours / "go.sum", into / "go.sum")
    return into / "go.mod"


def output_name(module: GoModule, command: str) -> str:
    """The file that `go build -o folder/` makes: named after the package, not after our command."""
    package = re.sub(r"/v[0-9]+$", "", module.commands[command])  # go leaves a major version out
    return module.name if package == "." else package.rsplit("/", 1)[-1]


@cache
def _source_digest(name: str, pinned: str) -> str:
    """Of the files of toolchain/go/NAME; its go.mod and go.sum are those called PINNED there."""
    folder = paths.CHECKOUT / "toolchain" / "go" / name
    files = {file.name: file for file in folder.iterdir() if file.suffix in {".go", ".txt"}}
    files |= {f"go.{kind}": folder / f"{pinned}.{kind}" for kind in ("mod", "sum")}
    return paths.digest_of(*(part for item in sorted(files.items()) for part in item))


def _digest(module: GoModule, name: str) -> str:
    """The key of one binary: the sources and checksums, and how it is built."""
    how: list[object] = [module.commands[name], module.tags, module.cgo, module.stamps, GO_FLAGS]
    how += module.patches.items()
    source_digest = _source_digest(module.name, module.pinned)
    return paths.digest_of(source_digest, json.dumps(how), platform.machine())


def _environment(module: GoModule) -> dict[str, str]:
    # The user's own GOFLAGS or workspace must not change what is built.
    ours = {"GOFLAGS": GO_FLAGS, "GOWORK": "off", "CGO_ENABLED": str(int(module.cgo))}
    return {**os.environ, **ours}


def _build_module(
    module: GoModule, commands: list[str], before: int, total: int, progress: bool
) -> None:
    """Run one `go build` and put each command into its place in the cache. The module's lock is
    held, so that leftovers of earlier builds of it belong to nobody."""
    if module.cgo and shutil.which("gcc") is None:
        debian.install(["gcc", "libc6-dev"], f"to build {module.name}")
    base = paths.cache_dir() / "build"
    base.mkdir(parents=True, exist_ok=True)
    for leftover in base.glob(f".{module.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{module.name}.", dir=base) as folder:
        work = Path(folder)
        compiled: list[str] = []

        def label() -> str:
            left = [c for c in commands if not (work / output_name(module, c)).exists()]
            number = before + min(len(commands) - len(left) + 1, len(commands))
            what = " ".join(left or commands)
            return f"[{number}/{total}] {what} {module.release}, {len(compiled)} packages,"

        if progress:
            with ticking(label):
                _compile(module, commands, work, compiled)
        else:
            _compile(module, commands, work, compiled)
        for command in commands:
            _place(work / output_name(module, command), location(command))


def _compile(module: GoModule, commands: list[str], work: Path, compiled: list[str]) -> None:
    """Run `go build`, noting each package that it compiles (it names them as it goes)."""
    line_of = command_line(module, commands, work)
    said: list[str] = []
    with subprocess.Popen(
        line_of, cwd=source(module), env=_environment(module), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line.rstrip())
            if " " not in line.strip():
                compiled.append(line.strip())
    if process.returncode != 0:
        last = "\n".join(f"  {line}" for line in said[-10:])
        raise ToolchainError(f"the build of {module.name} {module.release} failed:\n{last}")


def _place(made: Path, target: Path) -> None:
    """Move a finished file to `target` so that its folder is there complete or not at all."""
    # Without this, a machine that dies soon after may keep the rename but not the contents.
    with open(made, "rb") as file:
        os.fsync(file.fileno())
    fresh = made.parent / f"{target.name}.place"
    fresh.mkdir()
    made.rename(fresh / target.name)
    if target.parent.exists():
        shutil.rmtree(target.parent)
    fresh.rename(target.parent)
