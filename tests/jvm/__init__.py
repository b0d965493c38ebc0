"""JVMs of tests: they live for seconds, and most of what they do is to load and compile classes.

So `bin/java` compiles little, and takes the classes of Spark from an archive (Java's CDS), which
`python -m tests.jvm` puts into the cache once for each Spark and Java.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import MutableMapping
from importlib.util import find_spec
from pathlib import Path

from toolchain import paths

_FOUND = find_spec("pyspark")
assert _FOUND and _FOUND.origin
# Without loading it; checkouts share it.
SPARK = Path(_FOUND.origin).resolve().parent


def use(environ: MutableMapping[str, str]) -> None:
    """Lets all that is started with this environment have that Java, where there is one."""
    home = environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    if java is not None and "TEST_JAVA" not in environ:
        file = archive(java)
        environ["TEST_JAVA"] = java
        there = f"-XX:SharedArchiveFile={file}" if file.exists() else "-Xshare:auto"
        environ["TEST_JAVA_ARCHIVE"] = there
        environ["JAVA_HOME"] = str(Path(__file__).parent)


def archive(java: str) -> Path:
    """Where the classes of this Spark lie for that Java; both are known by their files."""
    jars = sorted((SPARK / "jars").glob("*.jar"))
    what = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in jars]
    real = Path(os.path.realpath(java))
    what.append((str(real), real.stat().st_size, real.stat().st_mtime_ns))
    return paths.cache_dir() / "jvm" / f"{paths.digest_of(repr(what))[:16]}.jsa"
