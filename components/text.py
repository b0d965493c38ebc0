"""Files of the user's, as the program sees them: where they are, and a digest of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from components.settings import SettingsError, WordCountSettings


@dataclass(frozen=True)
class LocalFiles:
    """A file or a folder on this machine. `digest` changes with names and content, nothing else."""

    path: Path
    digest: str
    size: int  # bytes

    @property
    def is_folder(self) -> bool:
        """True for a folder, false for one file."""
        return self.path.is_dir()


def read_text(settings: WordCountSettings) -> LocalFiles | None:
    """The text that the settings name; None for one that need not be brought.

    Raises SettingsError if it can't be read.
    """
    return None if settings.is_input_there else read_local("wordCount.input", settings.input)


def read_local(key: str, path: str) -> LocalFiles:
    """The file or folder that the setting `key` names.

    Resolves symbolic links once and reads all of it. Raises SettingsError if it can't be read.
    """
    resolved = Path(path).resolve()
    files = (
        [resolved] if resolved.is_file() else sorted(p for p in resolved.rglob("*") if p.is_file())
    )
    try:
        digest = digest_of(files, resolved.parent)
        size = sum(file.stat().st_size for file in files)
    except OSError as error:
        wanted = f"readable ({error.strerror})"
        raise SettingsError(key, str(error.filename), wanted) from None
    return LocalFiles(resolved, digest, size)


def digest_of(files: Iterable[Path], base: Path) -> str:
    """A digest of the files' names below `base` and of their contents.

    Raises OSError with the file's name.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            error.filename = file  # which one that fails in the middle lacks
            raise
        digest.update(f"{file.relative_to(base)}\0{content}\n".encode())
    return digest.hexdigest()[:16]
