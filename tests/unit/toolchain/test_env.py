"""What of the caller's environment reaches our programs and what they start."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import rest
from websocket._url import _is_no_proxy_host

from localcloud.daemons import processes
from localcloud.host import cgroups
from tests.unit.plan import ROOT
from toolchain import paths
from toolchain.env import daemon, ours

CLUSTER = "https://10.43.0.12:6443"


@pytest.mark.parametrize(
    "name",
    [
        *("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONIOENCODING", "VIRTUAL_ENV"),
        *("PIP_TARGET", "PERL5LIB", "SSH_AUTH_SOCK"),
        *("BASH_ENV", "BASHOPTS", "ENV", "CDPATH", "GREP_OPTIONS", "POSIXLY_CORRECT", "MAKEFLAGS"),
        *("GOOS", "GOARCH", "GO111MODULE", "CGO_CFLAGS"),
        *("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HELM_NAMESPACE", "HELM_DRIVER"),
        *("HELM_KUBECONTEXT", "SPARK_HOME", "SPARK_CONF_DIR", "PYSPARK_PYTHON", "HADOOP_CONF_DIR"),
    ],
)
def test_what_changes_our_tools_stays_out_of_every_stack(name: str) -> None:
    assert name not in ours({name: "/elsewhere"}, local=True)
    assert name not in ours({name: "/elsewhere"})


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_PROFILE", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"),
        *("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_BACKEND_URL"),
        *("PULUMI_STACK", "PULUMI_ACCESS_TOKEN", "PULUMI_SKIP_CONFIRMATIONS", "PULUMI_PREFER_YARN"),
        *("HELM_REGISTRY_CONFIG", "REGISTRY_AUTH_FILE", "CONTAINERS_CONF"),
    ],
)
def test_another_projects_account_is_none_of_the_local_clouds(name: str) -> None:
    assert name not in ours({name: "other"}, local=True)
    # Of a stack on AWS it may well be the account.
    assert ours({name: "other"})[name] == "other"


def test_the_local_cloud_asks_no_file_for_an_account() -> None:
    found = ours({"AWS_CONFIG_FILE": "/home/me/.aws/config"}, local=True)
    assert found["AWS_CONFIG_FILE"] == found["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert "AWS_SHARED_CREDENTIALS_FILE" not in ours({})


def test_what_is_the_users_stays() -> None:
    base = {
        "PATH": "/usr/bin",
        "HOME": "/home/me",
        "LC_ALL": "de_DE.UTF-8",
        "TERM": "xterm",
        "SSL_CERT_FILE": "/etc/ssl/own.pem",
        "GOPROXY": "https://go.test",
        "PIP_INDEX_URL": "https://pip.test",
        "PULUMI_HOME": "/opt/pulumi",
        "TINDERBOX_CACHE": "/cache",
    }
    assert base.items() <= ours(base, local=True).items()


def test_a_folder_that_is_not_there_is_not_asked_for(tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.touch(0o755)
    here, gone = str(tmp_path), str(tmp_path / "gone")
    found = ours({"TMPDIR": here, "JAVA_HOME": here})
    assert (found["TMPDIR"], found["JAVA_HOME"]) == (here, here)
    assert not {"TMPDIR", "JAVA_HOME"} & ours({"TMPDIR": gone, "JAVA_HOME": gone}).keys()
    # Go wants to know where its cache is.
    assert ours({})["HOME"] == os.path.expanduser("~")


def test_a_second_time_changes_nothing() -> None:
    once = ours(
        {"AWS_PROFILE": "x", "https_proxy": "http://proxy.test", "no_proxy": "a"}, local=True
    )
    assert ours(once, local=True) == once


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxies_are_for_what_is_downloaded(name: str) -> None:
    found = ours({name: "http://proxy.test:3128", "NO_PROXY": "a.test, b.test"}, local=True)
    assert found[name] == "http://proxy.test:3128"
    assert found["NO_PROXY"] == found["no_proxy"]
    assert found["NO_PROXY"].startswith("a.test,b.test,localhost,127.0.0.1,")
    # On AWS the machine's own forwards are local, too.
    assert ours({name: "http://proxy.test"})["no_proxy"] == "localhost,127.0.0.1,::1"


def test_pythons_clients_ask_the_local_cloud_directly() -> None:
    no_proxy = ours({}, local=True)["no_proxy"]
    for url in (CLUSTER, "http://127.0.0.1:4599", "http://10.43.0.1:5000"):
        assert rest.should_bypass_proxies(url, no_proxy)
    assert _is_no_proxy_host("10.43.0.12", no_proxy.split(","))
    assert not rest.should_bypass_proxies("https://charts.test", no_proxy)


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy's URL, and what it was asked for."""
    asked: list[str] = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            asked.append(self.path)
            self.send_error(502)

        def log_message(self, format: str, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_gos_clients_ask_the_local_cloud_directly(proxy: tuple[str, list[str]]) -> None:
    url, asked = proxy
    # Nothing is at port 1: it is about who is asked.
    target = "http://10.43.0.1:1"
    command = [paths.BIN / "kubectl", "--server", target, "--request-timeout", "1s"]
    for bypass in (False, True):
        environment = {"PATH": os.defpath, "HOME": "/nonexistent", "HTTP_PROXY": url}
        environment = ours(environment, local=True) if bypass else environment
        subprocess.run([*command, "get", "--raw", "/x"], env=environment, capture_output=True)
        assert [path.startswith(target) for path in asked] == [True]


def test_a_process_becomes_one_of_ours() -> None:
    """In one of its own: the umask hides what machines and pods must read."""
    code = "import os; from toolchain.env import enter; enter(local=True)\n"
    code += "print(os.umask(0), 'AWS_PROFILE' in os.environ, os.environ['PYTHONUTF8'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "AWS_PROFILE": "other"},
        umask=0o077,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["18", "False", "1"], done.stderr


def test_a_daemon_has_nothing_of_the_shell_that_started_it(tmp_path, monkeypatch) -> None:
    started: dict[str, Any] = {}

    class Child:
        pid = os.getpid()

        def __init__(self, _: list[str], **how: Any) -> None:
            started.update(how)

    monkeypatch.setattr(processes.subprocess, "Popen", Child)
    monkeypatch.setattr(cgroups, "create", lambda name: [])
    for name in ("HTTP_PROXY", "AWS_PROFILE", "MOTO_PORT", "TMPDIR", "LC_ALL", "UNKNOWN"):
        monkeypatch.setenv(name, "other")
    processes.start(["x"], tmp_path / "log", {"PYTHONPATH": "here"})
    assert started["env"] == {**daemon(), "PYTHONPATH": "here"}
    assert "other" not in started["env"].values()
    assert started["env"]["PATH"] == os.environ["PATH"]
    assert daemon({"TINDERBOX_PATIENCE": "9"})["TINDERBOX_PATIENCE"] == "9"
    assert started["umask"] == 0o022
