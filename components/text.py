"""Files of the user's, as the program sees them: where they are, and a digest of their content."""

from __future__ import annotations

import hashlib
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
    digest, size = hashlib.sha256(), 0
    for file in files:
        try:
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            size += file.stat().st_size
        except OSError as error:
            raise SettingsError(key, str(file), f"readable ({error.strerror})") from None
        digest.update(f"{file.relative_to(resolved.parent)}\0{content}\n".encode())
    return LocalFiles(resolved, digest.hexdigest()[:16], size)
