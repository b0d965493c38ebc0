"""Signed apt repositories as static files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path

from localcloud.host.shell import run

#: The key's name, as apt and gpg show it.
SIGNER = "Tinderbox mirror"
#: What a Release file of ours says, and none of upstream's.
ORIGIN = "Tinderbox"


class Signer:
    """Signs with a key that is made once and kept in `folder` (private: mode 0700)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ensure(self) -> None:
        """Make the key where there is none yet."""
        if self._file.exists():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._home() as home:
            _gpg(home, "--passphrase", "", "--quick-gen-key", SIGNER, "ed25519", "sign", "never")
            secret = self._file.with_suffix(".new")
            secret.touch(mode=0o600)
            _gpg(home, "--yes", "--armor", "--output", str(secret), "--export-secret-keys", SIGNER)
        os.replace(secret, self._file)

    def sign(self, release: Path) -> None:
        """Write InRelease (signed in line) and Release.gpg (apart) beside a Release file."""
        with self._home() as home:
            _gpg(home, "--import", str(self._file))
            inline, apart = release.with_name("InRelease"), release.with_name("Release.gpg")
            _gpg(home, "--yes", "--output", str(inline), "--clear-sign", str(release))
            _gpg(home, "--yes", "--armor", "--output", str(apart), "--detach-sign", str(release))

    def export(self, path: Path) -> None:
        """Write the public key, armoured, as repositories publish it."""
        with self._home() as home:
            _gpg(home, "--import", str(self._file))
            _gpg(home, "--yes", "--armor", "--output", str(path), "--export", SIGNER)

    @property
    def _file(self) -> Path:
        return self.folder / "signing-key.asc"

    @contextlib.contextmanager
    def _home(self) -> Generator[Path]:
        """A GnuPG home that is gone afterwards."""
        # In /tmp, since the socket of gpg's agent must have a short path.
        with tempfile.TemporaryDirectory(prefix="tinderbox-gpg-") as home:
            yield Path(home)


def flat(folder: Path, signer: Signer, label: str) -> None:
    """Index and sign a folder of packages: `deb URL /` in sources.list. Adds Release.key."""
    (folder / "Packages").write_text(_packages(folder, "."))
    _release(folder, signer, {"Label": label})
    signer.export(folder / "Release.key")


def suite(root: Path, signer: Signer, name: str, component: str, label: str) -> None:
    """Index and sign dists/<name>/pool/<component>/amd64 under `root`: `deb URL NAME COMPONENT`.

    Adds the public key as `gpg`, where Docker's repository has it.
    """
    dist = root / "dists" / name
    index = dist / component / "binary-amd64" / "Packages"
    index.parent.mkdir(parents=True)
    index.write_text(_packages(root, f"dists/{name}/pool/{component}/amd64"))
    named = {"Suite": name, "Codename": name, "Components": component}
    _release(dist, signer, {**named, "Label": label})
    signer.export(root / "gpg")


def _packages(root: Path, pool: str) -> str:
    """apt's Packages index of the packages in the folder `pool`, with paths relative to `root`."""
    weak = [f"-oAPT::FTPArchive::{name}=false" for name in ("MD5", "SHA1", "SHA512")]
    return run(["env", "-C", str(root), "apt-ftparchive", *weak, "packages", pool])


def _release(folder: Path, signer: Signer, fields: Mapping[str, str]) -> None:
    every = {"Origin": ORIGIN, "Architectures": "amd64", **fields}
    options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in every.items()]
    # Outside the folder while apt-ftparchive reads it, or the index would list itself half-written.
    text = run(["env", "-C", str(folder), "apt-ftparchive", *options, "release", "."])
    release = folder / "Release"
    release.write_text(text)
    signer.sign(release)


def _gpg(home: Path, *arguments: str) -> None:
    """Run gpg. The agent that it starts in the background ends with the process namespace."""
    alone = ["unshare", "--pid", "--fork", "--kill-child"]
    run([*alone, "gpg", "--batch", "--quiet", "--no-tty", "--homedir", str(home), *arguments])
