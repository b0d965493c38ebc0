"""Debian packages: what is missing is installed with apt-get, and named."""

from __future__ import annotations

import os
import shutil
import subprocess

from toolchain.errors import ToolchainError


def install(packages: list[str], why: str) -> None:
    """Install Debian packages, saying which and why.

    Raises ToolchainError with one line that names the packages where this machine is not Debian,
    the user is not root, or apt-get fails.
    """
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise ToolchainError(f"missing: {names} ({why}); install it, there is no apt-get here")
    if os.geteuid() != 0:
        raise ToolchainError(f"missing: {names} ({why}); as root: apt-get install {names}")
    print(f"tools: Debian packages: installing {names} ({why})", flush=True)
    # Another apt at work (unattended-upgrades) is waited for rather than failed on.
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            [*apt, *step], env=settings, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise ToolchainError(f"apt-get {step[0]} for {names} failed: {last}")
