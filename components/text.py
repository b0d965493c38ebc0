"""A text of the user's, as the program sees it: where it is, and a digest of what is in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from components.settings import SettingsError, WordCountSettings


@dataclass(frozen=True)
class LocalText:
    """A file or a folder on this machine. `digest` changes with names and content, nothing else."""

    path: Path
    digest: str
    size: int  # bytes

    @property
    def is_folder(self) -> bool:
        """True for a folder, false for one file."""
        return self.path.is_dir()


def read_text(settings: WordCountSettings) -> LocalText | None:
    """The text that the settings name; None for one that is on the volume already.

    Resolves symbolic links once and reads all of it. Raises SettingsError if it can't be read.
    """
    if settings.on_volume:
        return None
    resolved = Path(settings.input).resolve()
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
            raise SettingsError(
                "wordCount.input", str(file), f"readable ({error.strerror})"
            ) from None
        digest.update(f"{file.relative_to(resolved.parent)}\0{content}\n".encode())
    return LocalText(resolved, digest.hexdigest()[:16], size)
