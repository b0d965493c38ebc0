"""Where things lie: the checkout, its scratch folder, and the cache that all checkouts share.

Standard library only, and nothing heavy: every entry point imports this.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

#: The checkout that this file belongs to.
CHECKOUT = Path(__file__).resolve().parent.parent

#: Scratch of this checkout (ignored by git); `bin/` in it comes first on PATH.
SCRATCH = CHECKOUT / ".tinderbox"
BIN = SCRATCH / "bin"
#: What Python compiles, of packages as well, when it is first imported.
COMPILED = SCRATCH / "compiled"

#: A link to the Python environment in the cache.
VENV = CHECKOUT / ".venv"


def cache_dir() -> Path:
    """The cache outside the checkout: $TINDERBOX_CACHE, else tinderbox in the user's XDG cache."""
    if own := os.environ.get("TINDERBOX_CACHE"):
        return Path(own).absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    base = Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache"
    return base / "tinderbox"


def build_dir(name: str, version: str, digest: str) -> Path:
    """The cache folder of what was built: CACHE/build/<name>-<version>-<first 8 of digest>."""
    return cache_dir() / "build" / f"{name}-{version}-{digest[:8]}"


def digest_of(*parts: str | bytes | Path) -> str:
    """SHA-256 (hex) over strings, bytes and the contents of files, in order.

    Each part's length goes in first, so that moving text from one part to the next changes it.
    """
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part
        data = data.encode() if isinstance(data, str) else data
        total.update(b"%d:" % len(data))
        total.update(data)
    return total.hexdigest()


def digest_of_files(base: Path, files: Iterable[Path]) -> str:
    """SHA-256 (hex) over the files' paths relative to `base` and their contents, in path order."""
    parts: list[str | Path] = []
    for file in sorted(files):
        parts += [str(file.relative_to(base)), file]
    return digest_of(*parts)


def replace(file: Path, text: str) -> None:
    """Writes a file whole or not at all: what is cut off leaves the one that was there."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_text(text, "utf-8")
    fresh.replace(file)
