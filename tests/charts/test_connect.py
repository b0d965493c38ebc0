"""The chart's Spark Connect server, run for real, and pyspark's own client in front of it.

The client is in the environment that `make notebook` makes. The server's port leads here by a
listener of this test's in place of kubectl's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError, URLError

import pyspark
import pytest

from console.verbs import notebook
from tests.charts.conftest import Objects
from tests.charts.standalone import (
    CHECKOUT,
    CONNECT,
    CONNECTS,
    Standalone,
    command_line,
    descendants,
    fetch,
    standalone,
    wait_for,
)
from tests.processes import bound

CLIENT = Path(__file__).with_name("client.py")
# What Jupyter prints: its address, and its token.
URL = r"(http://127\.0\.0\.1:\d+/)lab\?token=(\w+)"
# Seconds, in place of minutes.
IDLE = {
    "spark.dynamicAllocation.executorIdleTimeout": "10s",
    "spark.connect.session.manager.defaultSessionTimeout": "40s",  # on a busy machine, too
    "spark.connect.session.manager.maintenanceInterval": "1s",
}


@contextmanager
def forwarded(address: str) -> Generator[int]:
    """A port of 127.0.0.1 that leads to that address, whose own clients would need TLS."""

    def hand_on(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            there = socket.create_connection((address, 15002))
            for way in ((here, there), (there, here)):
                threading.Thread(target=hand_on, args=way, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def spark(
    render: Callable[..., Objects], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standalone]:
    values = f'connect={{"enabled":true,"conf":{json.dumps(IDLE)}}}'
    with standalone(render, tmp_path_factory.mktemp("shared"), values) as running:
        server = running.start(CONNECTS, CONNECT)
        *shell, probe = running.container(CONNECTS)["startupProbe"]["exec"]["command"]
        probe = [*shell, running.here(probe, CONNECT)]

        def answers() -> bool:
            assert server.poll() is None, log(running)
            return subprocess.run(probe, stderr=subprocess.DEVNULL).returncode == 0

        wait_for("the server", answers)
        yield running


@pytest.fixture(scope="module")
def address(spark: Standalone) -> Iterator[str]:
    with forwarded(CONNECT) as port:
        yield f"sc://localhost:{port}/;token="


@pytest.fixture(scope="module")
def python() -> Path:
    return notebook.environment(pyspark.__version__) / "bin" / "python"


def log(spark: Standalone) -> str:
    return (spark.folder / f"{CONNECT}.log").read_text()


def ask(python: Path, url: str, *what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        bound([python, CLIENT, url, *what]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.defpath, "HOME": os.environ["HOME"]},
    )


def online() -> int:
    """How many sessions the server's page counts."""
    found = re.search(r"(\d+)\s+session\(s\) are online", fetch(f"http://{CONNECT}:4040/connect/"))
    assert found
    return int(found[1])


def told(process: subprocess.Popen[str]) -> dict[str, object]:
    printed, _ = process.communicate(timeout=180)
    assert process.returncode == 0
    return json.loads(printed)


@pytest.fixture
def module(tmp_path: Path) -> str:
    """A file of three lines."""
    file = tmp_path / "module.py"
    file.write_text("# a file\n# from here\nANSWER = 42\n")
    return str(file)


def test_two_sessions_use_it(spark: Standalone, address: str, python: Path, module: str) -> None:
    assert told(ask(python, address + spark.secret_of("spark-connect"), "use", module)) == {
        "spark": pyspark.__version__,
        "counted": {"cat": 1, "dog": 1, "the": 2},
        "lines": 3,
        "own": [3, 5],
    }


def test_functions_from_here_run_there(
    spark: Standalone, address: str, python: Path, module: str
) -> None:
    url = address + spark.secret_of("spark-connect")
    assert told(ask(python, url, "call", module)) == {"answers": [42, 43]}


def test_the_example_counts_and_draws(
    spark: Standalone, address: str, python: Path, tmp_path: Path
) -> None:
    folder = tmp_path / ".tinderbox" / "notebooks"
    folder.mkdir(parents=True)
    shutil.copy(CHECKOUT / "README.md", tmp_path)
    shutil.copy(notebook.EXAMPLES / "wordcount.ipynb", folder)
    url = address + spark.secret_of("spark-connect")
    done = subprocess.run(
        bound(
            [
                python,
                "-m",
                "nbconvert",
                "--execute",
                "--stdout",
                "--to",
                "notebook",
                "wordcount.ipynb",
            ]
        ),
        cwd=folder,
        env=notebook.surroundings({**os.environ, "HOME": str(tmp_path)}, url),
        stdout=subprocess.PIPE,
        check=True,
    )
    cells = [cell for cell in json.loads(done.stdout)["cells"] if cell["cell_type"] == "code"]
    (version,), (top,), (picture,), _ = (cell["outputs"] for cell in cells)
    assert version["data"]["text/plain"] == [f"'{pyspark.__version__}'"]
    assert picture["data"]["image/png"]
    (word, count), *_ = Counter((tmp_path / "README.md").read_text().split()).most_common(1)
    table = "".join(top["data"]["text/plain"])
    assert re.search(rf"^0 +{re.escape(word)} +{count}$", table, re.M)


def test_jupyter_listens_on_loopback_with_a_token(python: Path, tmp_path: Path) -> None:
    env = notebook.surroundings({**os.environ, "HOME": str(tmp_path)}, "sc://localhost:1/;token=x")
    server = subprocess.Popen(
        bound(notebook.jupyter(python.parents[1], tmp_path)),
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr
        url = next(filter(None, (re.search(URL, line) for line in server.stderr)))
        threading.Thread(target=server.stderr.read, daemon=True).start()

        def kernels() -> str:
            with suppress(URLError):  # it tells its address before it listens
                return fetch(f"{url[1]}api/kernels?token={url[2]}")
            return ""

        assert wait_for("its answer", kernels) == "[]"
        with pytest.raises(HTTPError, match="403"):
            fetch(f"{url[1]}api/kernels")
        addresses = {
            line.split()[1] for file in ("tcp", "tcp6") for line in listening(server.pid, file)
        }
        assert {address.partition(":")[0] for address in addresses} == {"0100007F"}
    finally:
        server.terminate()
        server.wait(timeout=30)


def listening(pid: int, file: str) -> Iterator[str]:
    """The lines of /proc/net of a process's own sockets that listen."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed since
            own.add(os.readlink(link).removeprefix("socket:[").rstrip("]"))
    for line in Path(f"/proc/{pid}/net/{file}").read_text().splitlines()[1:]:
        if line.split()[3] == "0A" and line.split()[9] in own:
            yield line


@pytest.mark.parametrize("token", ["another", "x" * 48])
def test_a_wrong_token_is_refused(address: str, python: Path, token: str) -> None:
    error = told(ask(python, address + token, "refused"))["error"]
    assert "UNAUTHENTICATED" in str(error)


def test_an_idle_session_ends(spark: Standalone, address: str, python: Path) -> None:
    client = ask(python, address + spark.secret_of("spark-connect"), "idle")
    try:
        assert client.stdin and client.stdout
        assert json.loads(client.stdout.readline()) == {"counted": 7}
        assert online() > 0
        wait_for("its end", lambda: online() == 0, seconds=120)
        client.stdin.write("\n")
        assert "SESSION" in str(told(client)["error"])
    finally:
        client.kill()


def test_executors_go_when_nobody_needs_them(spark: Standalone) -> None:
    def cores() -> int:
        (server,) = spark.state()["activeapps"]
        return server["cores"]

    wait_for("free cores", lambda: cores() == 0)


def test_only_loopback_leads_to_it(spark: Standalone) -> None:
    """In its pod; here another address stands for that one."""
    below = descendants(spark.processes[CONNECT].pid)
    lines = b"\n".join(map(command_line, below)).split(b"\0")
    assert f"spark.connect.grpc.binding.address={CONNECT}".encode() in lines
    assert json.loads(fetch(f"http://{CONNECT}:4040/api/v1/version")) == {
        "spark": pyspark.__version__
    }


def test_what_it_used_is_told_and_its_token_nowhere(spark: Standalone) -> None:
    token = spark.secret_of("spark-connect").encode()
    server = spark.processes[CONNECT]
    for process in descendants(server.pid):
        assert token not in command_line(process)
    server.terminate()
    server.wait(timeout=60)
    (file,) = spark.folder.glob("spark/usage/*/usage.json")
    usage = json.loads(file.read_text())
    assert (usage["name"], usage["run"]) == ("connect", "connect-1")
    assert usage["tasks"] > 0 and usage["executors"]
    assert "driver" in usage["sampled"]
    for file in spark.folder.rglob("*"):
        if file.is_file():
            assert token not in file.read_bytes(), file
