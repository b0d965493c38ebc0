"""A real Kubernetes API server on loopback for tests: etcd, kube-apiserver, controller manager.

No kubelet and no scheduler: Pods stay Pending, and a test sets their status by the API.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.processes import bound
from toolchain.builds import binary

TOKEN = "test-token-4f1c9a7e"
_START_SECONDS = 60.0


@dataclass(frozen=True)
class KubeApi:
    """A running API server: its address, and a kubeconfig (text) of a cluster administrator.

    authority: the server's certificate (PEM); nothing else vouches for it.
    client_certificate, client_key: PEM files that prove the same administrator.
    """

    server: str
    kubeconfig: str
    authority: str
    client_certificate: str
    client_key: str


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def running() -> Generator[KubeApi]:
    """Start the three in a folder of their own; end them and remove it when the block ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tbx-kube-")))
        etcd, peer, port = free_port(), free_port(), free_port()
        clients = f"http://127.0.0.1:{etcd}"
        stack.enter_context(
            _process(
                folder,
                "etcd",
                f"--data-dir={folder}/etcd",
                "--unsafe-no-fsync",
                f"--listen-client-urls={clients}",
                f"--advertise-client-urls={clients}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-cluster=default=http://127.0.0.1:{peer}",
            )
        )
        key = folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        _client_certificates(folder)
        (folder / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')
        stack.enter_context(
            _process(
                folder,
                "kube-apiserver",
                f"--etcd-servers={clients}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--cert-dir={folder}/certs",
                f"--token-auth-file={folder}/tokens.csv",
                f"--client-ca-file={folder}/clients-ca.crt",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
            )
        )
        server = f"https://127.0.0.1:{port}"
        _wait_ready(f"{server}/readyz", folder)
        authority = folder / "certs" / "apiserver.crt"
        kubeconfig = _kubeconfig(server, authority.read_bytes())
        (folder / "kubeconfig").write_text(kubeconfig)
        stack.enter_context(
            _process(
                folder,
                "kube-controller-manager",
                f"--kubeconfig={folder}/kubeconfig",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={free_port()}",
                f"--cert-dir={folder}/manager-certs",
                f"--service-account-private-key-file={key}",
                "--use-service-account-credentials=false",
            )
        )
        files = (authority, folder / "client.crt", folder / "client.key")
        yield KubeApi(server, kubeconfig, *map(str, files))


def _client_certificates(folder: Path) -> None:
    """An authority for clients, and an administrator's certificate that it signed."""
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2"]
    signed = ["-CA", "clients-ca.crt", "-CAkey", "clients-ca.key"]
    for name, subject, by in (
        ("clients-ca", "/CN=clients", []),
        ("client", "/O=system:masters/CN=certified", signed),
    ):
        files = ["-keyout", f"{name}.key", "-out", f"{name}.crt"]
        command = [*make, "-subj", subject, *files, *by]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


@contextmanager
def _process(folder: Path, name: str, *arguments: str) -> Generator[None]:
    """Run a built binary; it dies with this process, however that ends."""
    command = bound([str(binary(name)), *arguments])
    with open(folder / f"{name}.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        # Nothing of it is worth a graceful end.
        process.kill()
        process.wait()


def _wait_ready(url: str, folder: Path) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5, context=context):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                log = (folder / "kube-apiserver.log").read_text()[-3000:]
                raise RuntimeError(f"the API server is not ready: {error}\n{log}") from None
        time.sleep(0.1)


def _kubeconfig(server: str, authority: bytes) -> str:
    cluster = {
        "server": server,
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test-admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test-admin"}}],
        },
        indent=1,
    )


if __name__ == "__main__":
    # One for a run of tests (tests/processes.py); by hand it ends at Enter.
    with running() as api:
        print(json.dumps(asdict(api)), flush=True)
        sys.stdin.readline()
