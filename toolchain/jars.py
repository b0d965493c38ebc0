"""Java packages from Maven Central, with what they need: a folder of jars in the cache.

Apache Ivy fetches them, which comes with Spark and is what spark-submit's --packages uses. Wanted
are the tables [jars.*] of versions.toml, or any package as GROUP:ARTIFACT:VERSION.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from toolchain import paths, versions
from toolchain.errors import ToolchainError
from toolchain.locks import lock
from toolchain.progress import ticking


@dataclass(frozen=True)
class Jars:
    """A set of jars. `leave_out` names what is not wanted, as GROUP:ARTIFACT or GROUP:*.

    digest: SHA-256 over the jars' names and contents, as `paths.digest_of_files` has it; "" for a
    set that nobody pinned.
    """

    name: str
    packages: tuple[str, ...]
    leave_out: tuple[str, ...] = ()
    digest: str = ""

    @property
    def folder(self) -> Path:
        """Where the jars lie once they are there. Its name is the set's."""
        digest = paths.digest_of(*self.packages, "", *self.leave_out)
        return paths.cache_dir() / "jars" / digest[:12] / self.name


def pinned(name: str) -> Jars:
    """The table [jars.NAME] of versions.toml. Raises ToolchainError where there is none."""
    table = versions.pins()["jars"].get(name)
    if table is None:
        known = ", ".join(versions.pins()["jars"])
        raise ToolchainError(f"there are no jars named {name}; known: {known}; or say PACKAGES=")
    return Jars(name, tuple(table["packages"]), tuple(table["leave_out"]), table["digest"])


def fetch(jars: Jars) -> Path:
    """The folder of jars, fetched if need be: complete or not at all.

    Raises ToolchainError where a package is not to be had or the jars are not the pinned ones.
    """
    with lock(f"jars-{jars.name}", f"the jars {jars.name}"):
        if not jars.folder.is_dir():
            base = jars.folder.parent
            base.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=base) as scratch:
                fresh = Path(scratch) / jars.name
                with ticking(lambda: f"fetching the jars {jars.name}"):
                    _retrieve(jars, Path(scratch), fresh)
                found = paths.digest_of_files(fresh, fresh.iterdir())
                if jars.digest not in ("", found):
                    raise ToolchainError(
                        f"the jars {jars.name} have the digest {found}, pinned is {jars.digest}"
                    )
                fresh.rename(jars.folder)
    return jars.folder


def link(jars: Jars) -> Path:
    """A link in the checkout's scratch folder to the fetched jars: .tinderbox/jars/NAME."""
    target = fetch(jars)
    place = paths.SCRATCH / "jars" / jars.name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(target)
    return place


def _retrieve(jars: Jars, scratch: Path, target: Path) -> None:
    java = shutil.which("java")
    spark = next(iter((paths.VENV / "lib").glob("python3*/site-packages/pyspark/jars")), None)
    if java is None or spark is None:
        missing = "java" if java is None else "pyspark (make tools)"
        raise ToolchainError(f"fetching jars needs {missing}, which is not here")
    wanted = scratch / "ivy.xml"
    wanted.write_text(_ivy(jars.packages, jars.leave_out))
    cache = paths.cache_dir() / "ivy"
    pattern = f"{target}/[artifact]-[revision].[ext]"
    command = [java, "-cp", f"{spark}/*", "org.apache.ivy.Main", "-ivy", str(wanted)]
    command += ["-cache", str(cache), "-types", "jar", "bundle", "-retrieve", pattern]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not target.is_dir():
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        reasons = [line for line in said if "not found" in line or "FAILED" in line] or said[-1:]
        raise ToolchainError(f"the jars {jars.name} can't be had: {reasons[0].strip(': ')}")


def _ivy(packages: Sequence[str], leave_out: Sequence[str]) -> str:
    """Ivy's description of a module that needs the packages."""
    lines = []
    for package in packages:
        parts = package.split(":")
        if len(parts) != 3 or not all(parts):
            raise ToolchainError(f"{package!r} is no package: write GROUP:ARTIFACT:VERSION")
        group, artifact, version = map(quoteattr, parts)
        lines.append(f"<dependency org={group} name={artifact} rev={version}/>")
    for package in leave_out:
        group, _, artifact = package.partition(":")
        lines.append(
            f'<exclude org={quoteattr(group)} module={quoteattr(artifact)} matcher="glob"/>'
        )
    dependencies = "\n    ".join(lines)
    return f"""\
<ivy-module version="2.0">
  <info organisation="tinderbox" module="jars"/>
  <dependencies defaultconf="default->default">
    {dependencies}
  </dependencies>
</ivy-module>
"""
