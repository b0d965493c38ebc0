"""The Debian packages that the local cloud needs on this host: found, or installed and named."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.host.shell import run
from localcloud.layout import INSTEAD
from toolchain.locks import lock

#: Packages whose Debian default is a running daemon; the local cloud starts its own instead.
SERVICES = {"docker-registry": "docker-registry.service"}

Progress = Callable[[str], None]


def has_systemd() -> bool:
    """Whether systemd is this host's first process (sd_booted's test)."""
    return Path("/run/systemd/system").is_dir()


def kernel_config(release: str, base: Path = Path("/")) -> bytes | None:
    """The running kernel's configuration, wherever a distribution keeps it; None if nowhere."""
    for place in (f"boot/config-{release}", f"lib/modules/{release}/config"):
        if (base / place).is_file():
            return (base / place).read_bytes()
    packed = base / "proc/config.gz"
    return gzip.decompress(packed.read_bytes()) if packed.is_file() else None


def load_modules(modules: Mapping[str, Callable[[], bool]], progress: Progress = print) -> None:
    """Load kernel modules that are not there; each comes with the test of whether it is.

    Raises CloudError naming the first that can't be had.
    """
    if all(is_there() for is_there in modules.values()):
        return
    ensure_packages(["kmod"], "to load kernel modules", progress)
    for name, is_there in modules.items():
        if is_there():
            continue
        done = subprocess.run(["modprobe", name], capture_output=True, text=True, check=False)
        if not is_there():
            words = done.stderr.strip().splitlines() or ["modprobe did nothing"]
            raise CloudError(f"this kernel lacks the module {name} ({words[-1]}); {INSTEAD}")


def missing_packages(packages: Sequence[str]) -> list[str]:
    """Those of `packages` that dpkg does not hold as installed, in order.

    Raises CloudError where this is no Debian.
    """
    try:
        found = subprocess.run(
            ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n", *packages],
            capture_output=True,
            text=True,
            check=False,  # 1 only says that it does not know one of them
        )
    except FileNotFoundError:
        raise CloudError(
            f"the local cloud needs Debian with the packages {' '.join(packages)}; "
            "without it, use an AWS account: pulumi up -s dev"
        ) from None
    installed = {line[3:].strip() for line in found.stdout.splitlines() if line[1:2] == "i"}
    return [name for name in packages if name not in installed]


def ensure_packages(packages: Sequence[str], why: str, progress: Progress = print) -> None:
    """Install what is missing of `packages` with apt-get, named by `progress` with the reason.

    Services that come with them are neither started nor enabled. Raises CloudError with one line
    where this is no Debian, the user is not root, or apt-get fails.
    """
    if not missing_packages(packages):
        return
    with lock("apt", "the installation of Debian packages"):
        missing = missing_packages(packages)
        if not missing:
            return
        names = " ".join(missing)
        if os.geteuid() != 0:
            raise CloudError(f"missing Debian packages ({why}); as root: apt-get install {names}")
        progress(f"Debian packages: installing {names} ({why})")
        _apt_get("update")
        _apt_get("install", "-y", "--no-install-recommends", *missing)
        if has_systemd():
            for service in (SERVICES[name] for name in missing if name in SERVICES):
                # Debian's package enables it; at the next boot it would take our port.
                subprocess.run(["systemctl", "--quiet", "disable", service], check=True)


def _apt_get(*arguments: str) -> None:
    """Run apt-get with maintainer scripts that cannot start services; CloudError if it fails."""
    with tempfile.TemporaryDirectory(prefix="tinderbox-apt-") as shims:
        for name in ("invoke-rc.d", "deb-systemd-invoke"):
            shim = Path(shims) / name
            shim.write_text("#!/bin/sh\nexit 0\n")
            shim.chmod(0o755)
        # Shims on dpkg's PATH rather than a policy-rc.d: nothing stays behind if we are killed.
        done = subprocess.run(
            [
                "apt-get",
                "-qq",
                "-o",
                "DPkg::Lock::Timeout=300",
                "-o",
                "Acquire::Retries=3",
                "-o",
                f"DPkg::Path={shims}:/usr/sbin:/usr/bin:/sbin:/bin",
                *arguments,
            ],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise CloudError(f"apt-get {' '.join(arguments)} failed: {last}")


def debian_mirrors() -> dict[str, str]:
    """Where this host gets Debian from: {"Debian": url, "Debian-Security": url} as far as set.

    Taken from apt's own configuration, whatever its format. Raises CloudError if there is none.
    """
    query = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    lines = run(query).splitlines()
    if not lines:
        # No lists yet (a fresh container image): the labels are only known after an update.
        _apt_get("update")
        lines = run(query).splitlines()
    mirrors: dict[str, str] = {}
    for line in lines:
        label, _, uri = line.partition(" ")
        if label in ("Debian", "Debian-Security"):
            mirrors.setdefault(label, uri.rstrip("/"))
    if "Debian" not in mirrors:
        raise CloudError("apt knows no Debian archive on this machine; add one to its sources")
    return mirrors


def apt_proxies() -> dict[str, str]:
    """The proxies of apt's configuration: {"Acquire::http::Proxy": url, ...}."""
    wanted = re.compile(r'^(Acquire::https?::Proxy) "(.+)";$', re.MULTILINE | re.IGNORECASE)
    return dict(wanted.findall(run(["apt-config", "dump"])))


def debian_sources(suite: str) -> str:
    """apt's one-line sources for `suite` and its security updates, from this host's mirrors."""
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    mirrors = debian_mirrors()
    lines = [f"deb [signed-by={keyring}] {mirrors['Debian']} {suite} main"]
    if security := mirrors.get("Debian-Security"):
        lines.append(f"deb [signed-by={keyring}] {security} {suite}-security main")
    return "\n".join(lines) + "\n"


def require_root(what: str) -> None:
    """Raise CloudError unless this is root; `what` names who needs it."""
    if os.geteuid() != 0:
        raise CloudError(f"{what} needs root; without it, use an AWS account: pulumi up -s dev")
