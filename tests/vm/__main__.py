"""python -m tests.vm [SUITE]: the quick start on Debian as people have it, in a virtual machine.

    tree    Debian by mmdebstrap, with its own kernel     kept in CACHE/vm/SUITE-KEY, made once
    disk    tree + this checkout + Go + the cache         made for each run, and removed after it
    qemu    boots it by emulation, so nothing of this host's kernel is needed or used
    inside  inside.sh in it by SSH, a step after the other

Each step's output is shown and kept in .tinderbox/vm/SUITE. Emulation is 20 to 50 times slower than
the host, so TINDERBOX_PATIENCE stretches in it the limits that only slowness reaches.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.host import debian
from localcloud.host.shell import run, wait_until
from localcloud.machines import rootfs
from toolchain import paths, terminal
from toolchain.locks import lock

HERE = Path(__file__).parent
HOST_PACKAGES = (*rootfs.HOST_PACKAGES, "e2fsprogs", "openssh-client", "qemu-system-x86")
#: What a person's Debian has, and what `make tools` would install by apt at emulation's pace.
PACKAGES = (
    *("ca-certificates", "curl", "dbus", "default-jre-headless", "git", "initramfs-tools"),
    *("iproute2", "kmod", "linux-image-amd64", "make", "nfs-common", "nfs-kernel-server"),
    *("openssh-client", "openssh-server", "procps", "python3", "python3-venv", "sudo", "systemd"),
    *("systemd-resolved", "systemd-sysv", "udev", "zstd"),
)
#: Disk in GiB (sparse), memory in MiB; a boot's limit in seconds.
DISK, MEMORY, BOOT = 28, 8192, 1200
STEPS = ("host", "up", "look", "preview", "destroy", "storage", "reboot", "after")
#: How much longer than on a machine things may take there.
PATIENCE = 20


def main() -> int:
    """Run the steps on one release; the exit code is 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("suite", nargs="?", default=rootfs.SUITE, help="trixie, bookworm")
    parser.add_argument("steps", nargs="*", default=STEPS, help=f"of {' '.join(STEPS)}")
    options = parser.parse_args()
    terminal.as_ctrl_c()  # whatever ends this, the machine and its disk go
    logs = paths.SCRATCH / "vm" / options.suite
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    try:
        debian.require_root("a virtual machine's disk")
        debian.ensure_packages(HOST_PACKAGES, "to run a virtual machine", say)
        with lock("vm", "another `make vm`"), tempfile.TemporaryDirectory(dir="/var/tmp") as work:
            boot = make_disk(options.suite, Path(work), logs)
            with running(Path(work), boot, logs) as machine:
                for step in options.steps:
                    machine.do(step)
    except CloudError as problem:
        print(f"vm: {problem}", file=sys.stderr)
        return 1
    say(f"all seen; the logs are in {logs.relative_to(paths.CHECKOUT)}")
    return 0


def say(text: str) -> None:
    """One line of progress."""
    print(f"vm: {time.strftime('%H:%M:%S')} {text}", flush=True)


def make_tree(suite: str) -> Path:
    """Debian with its kernel and this host's certificates; made once for each release."""
    hook = HERE / "customize.sh"
    key = paths.digest_of(suite, *PACKAGES, *rootfs.EXCLUDES, hook)[:12]
    tree = paths.cache_dir() / "vm" / f"{suite}-{key}" / "tree"
    if not tree.is_dir():
        say(f"Debian {suite} by mmdebstrap ...")
        # Java's package wants a folder of the documentation that is never unpacked.
        hooks = ['--essential-hook=mkdir -p "$1/usr/share/man/man1"', f"--customize-hook={hook}"]
        rootfs.debootstrap(tree, "minbase", PACKAGES, hooks, suite)
    return tree


def certificates() -> dict[str, str]:
    """The variables by which this host's clients find its certificates."""
    return {name: value for name, value in os.environ.items() if value.endswith(".crt")}


def make_disk(suite: str, work: Path, logs: Path) -> Path:
    """Make disk.img in `work` with all that the quick start finds on a machine that ran it before.

    The result is the folder of its kernel.
    """
    tree = make_tree(suite)
    say(f"disk: checkout, Go and cache on Debian {suite} ...")
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(work / "key")])
    (work / "environment").write_text("".join(f"{n}={v}\n" for n, v in certificates().items()))
    with (logs / "disk.log").open("wb") as log:
        # In namespaces that die with this process, with all their mounts.
        made = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork"]
            + ["--kill-child", HERE / "disk.sh", tree, paths.CHECKOUT, paths.cache_dir()]
            + [work, str(DISK)],
            stdout=log,
            stderr=log,
            check=False,
        )
    if made.returncode != 0:
        raise CloudError(f"the disk can't be made; see {log.name}")
    return tree / "boot"


class Machine:
    """The running virtual machine."""

    def __init__(self, key: Path, port: int, logs: Path) -> None:
        self._ssh = ["ssh", "-i", str(key), "-p", str(port), "-o", "StrictHostKeyChecking=no"]
        self._ssh += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        self._ssh += ["-o", "ServerAliveInterval=60", "-o", "ConnectTimeout=60", "root@127.0.0.1"]
        self._logs = logs
        self._boot = ""

    def booted(self) -> bool:
        """Whether it takes SSH, in another boot than the last time."""
        asked = "cat /proc/sys/kernel/random/boot_id"
        done = subprocess.run([*self._ssh, asked], capture_output=True, text=True, check=False)
        if done.returncode != 0 or done.stdout == self._boot:
            return False
        self._boot = done.stdout
        return True

    def do(self, step: str) -> None:
        """Run one step of inside.sh, shown and kept; CloudError if it fails."""
        say(f"{step} ...")
        began = time.monotonic()
        environment = f"TINDERBOX_PATIENCE={PATIENCE}"
        with (HERE / "inside.sh").open() as script, (self._logs / f"{step}.log").open("w") as log:
            there = subprocess.Popen(
                [*self._ssh, environment, "bash", "-s", step],
                stdin=script,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert there.stdout is not None
            for line in there.stdout:
                print(f"vm: {time.strftime('%H:%M:%S')} | {line}", end="", flush=True)
                log.write(line)
            code = there.wait()
        if step == "reboot":
            code = 0 if wait_until(self.booted, BOOT, 2) else 1
        if code != 0:
            raise CloudError(f"{step} failed; see {self._logs / step}.log")
        say(f"{step}: {time.monotonic() - began:.0f} s")


@contextlib.contextmanager
def running(work: Path, boot: Path, logs: Path) -> Generator[Machine]:
    """Boot the disk in `work`; the machine ends with the block, or with this process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kernel, initrd = (max(boot.glob(f"{name}-*")) for name in ("vmlinuz", "initrd.img"))
    began = time.monotonic()
    emulator = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-M", "q35", "-cpu", "Nehalem"]
        + ["-accel", "tcg,thread=multi,tb-size=1024", "-smp", "2", "-m", str(MEMORY)]
        + ["-kernel", kernel, "-initrd", initrd]
        + ["-append", "root=/dev/vda rw console=ttyS0 mitigations=off"]
        + ["-drive", f"file={work / 'disk.img'},if=virtio,format=raw,cache=unsafe"]
        + ["-nic", f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{port}-:22"]
        + ["-device", "virtio-rng-pci", "-display", "none", "-monitor", "none"]
        + ["-serial", f"file:{logs / 'console.log'}"],
        stdin=subprocess.DEVNULL,
    )
    machine = Machine(work / "key", port, logs)
    try:
        say(f"boot (process {emulator.pid}, SSH at port {port}) ...")
        if not wait_until(lambda: machine.booted() or emulator.poll() is not None, BOOT, 2):
            raise CloudError(f"no SSH after {BOOT} s; see {logs / 'console.log'}")
        if emulator.poll() is not None:
            raise CloudError(f"qemu ended with code {emulator.returncode}")
        say(f"boot: {time.monotonic() - began:.0f} s")
        yield machine
    finally:
        emulator.kill()
        emulator.wait()


if __name__ == "__main__":
    sys.exit(main())
