"""Files of the user's, as the program sees them: which they are, and a digest of their content.

Which files of a text are counted is the count's own rule (spark_jobs/texts.py): a text means the
same here as by hand.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.settings import SettingsError, WordCountSettings
from spark_jobs import texts


@dataclass(frozen=True)
class LocalFiles:
    """Files of this machine that go to the cluster, under one name: a file's, or a folder's.

    files: each by its place in the folder; one that is not in a folder, by "". digest: changes with
    names and content, nothing else. left_out: {name: why}.
    """

    name: str
    files: Mapping[str, Path]
    digest: str
    size: int  # bytes
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        """True for a folder, false for one file."""
        return "" not in self.files


def read_text(settings: WordCountSettings) -> LocalFiles | None:
    """The text that the settings name; None for one that need not be brought.

    Raises SettingsError if any of it can't be counted.
    """
    if settings.is_input_there:
        return None
    key, path = "wordCount.input", settings.input
    try:
        found = texts.find(path, texts.encoding_name(settings.encoding or "utf-8"))
    except texts.TextError as error:
        raise SettingsError(key, path, f"text that can be counted; {error}") from None
    return _read(key, path, [(text.inner, text.path) for text in found.texts], found.left_out)


def read_jars(path: str) -> LocalFiles:
    """The jars in the folder of the setting `spark.jars`. Raises SettingsError."""
    try:
        names = [name for name in sorted(os.listdir(path)) if name.endswith(".jar")]
    except OSError as error:
        raise _unreadable("spark.jars", path, error) from None
    jars = [(name, os.path.join(path, name)) for name in names if not texts.is_hidden(name)]
    return _read("spark.jars", path, jars)


def _read(
    key: str, path: str, found: list[tuple[str, str]], left_out: Mapping[str, str] | None = None
) -> LocalFiles:
    name = os.path.basename(os.path.abspath(path))
    try:
        digest = digest_of((os.path.join(name, place).rstrip("/"), file) for place, file in found)
        size = sum(os.path.getsize(file) for _, file in found)
    except OSError as error:
        raise _unreadable(key, path, error) from None
    files: dict[str, Path] = {}
    for place, file in found:
        if files.setdefault(_portable(place), Path(file)) != Path(file):
            wanted = f"without another name that is much like {texts.shown(place)}"
            raise SettingsError(key, path, wanted)
    # What was named "." may be a folder with a hidden name.
    return LocalFiles(_portable(name).lstrip("._") or "text", files, digest, size, left_out or {})


def _unreadable(key: str, path: str, error: OSError) -> SettingsError:
    return SettingsError(key, path, f"readable; {texts.shown(error.filename)}: {error.strerror}")


def _portable(place: str) -> str:
    """A name that Pulumi, SFTP and Java can all write: not in other bytes than UTF-8's."""
    return texts.shown(place).replace("\\", "=")


def digest_of(files: Iterable[tuple[str, str | Path]]) -> str:
    """A digest of files' names, each with where it lies, and of their contents.

    Raises OSError with the file's name.
    """
    digest = hashlib.sha256()
    for name, file in files:
        try:
            with texts.open_text(os.fspath(file)) as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            error.filename = os.fspath(file)  # which one that fails in the middle lacks
            raise
        digest.update(os.fsencode(name) + f"\0{content}\n".encode())
    return digest.hexdigest()[:16]
