"""The API process: its addresses, its feed of changes, and what it keeps out (no sockets here)."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The daemon's module; moto reads its list of images while it is imported."""
    images = tmp_path_factory.mktemp("api") / "amis.json"
    images.write_text("[]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("localcloud.layout.AMIS", images)
        patch.setenv("MOTO_AMIS_PATH", "")  # set at import; this takes it back afterwards
        yield importlib.import_module("localcloud.api.server")


class Moto:
    """Stands for moto's application; keeps what it was sent and how many were in it at once."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.inside = 0
        self.most = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.bodies.append(environ["wsgi.input"].read())
        time.sleep(0.01)
        self.inside -= 1
        start_response("200 OK", [])
        return [b"answer"]


def request(app, body: bytes = b"", method: str = "POST", path: str = "/", **more: str):
    answers: list[str] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **more,
    }
    content = b"".join(app(environ, lambda code, headers: answers.append(code)))
    return answers[0], content


def test_addresses_go_round_and_skip_those_in_use(api) -> None:
    used = {"b"}
    pool = api.PublicAddresses(["a", "b", "c"], lambda: used)
    assert [pool.take(), pool.take(), pool.take()] == ["a", "c", "a"]


def test_no_free_address_is_ec2s_error(api) -> None:
    pool = api.PublicAddresses(["a"], lambda: {"a"})
    with pytest.raises(Exception, match="AddressLimitExceeded|in use"):
        pool.take()


def test_internal_names_are_the_regions(api) -> None:
    assert api.internal_name("10.42.0.5") == "ip-10-42-0-5.eu-central-1.compute.internal"


def test_changes_are_counted_and_reading_is_none(api) -> None:
    changes = api.Changes("cloud")
    app = api.Api(Moto(), changes)
    request(app, b"Action=DescribeInstances&Version=1")
    request(app, method="GET", path="/2015-02-01/file-systems")
    assert changes.wait(-1)["changes"] == 0
    request(app, b"Action=RunInstances")
    request(app, b"{}", path="/2015-02-01/file-systems")
    assert changes.wait(-1) == {"cloud": "cloud", "changes": 2, "reboots": {}}


def test_the_body_reaches_moto_whole(api) -> None:
    moto = Moto()
    request(api.Api(moto, api.Changes("")), b"Action=RunInstances&UserData=%00")
    assert moto.bodies == [b"Action=RunInstances&UserData=%00"]


def test_web_pages_are_kept_out(api) -> None:
    moto = Moto()
    app = api.Api(moto, api.Changes(""))
    code, _ = request(app, b"Action=RunInstances", HTTP_ORIGIN="https://example.com")
    assert code.startswith("403")
    assert moto.bodies == []


def test_a_reader_waits_for_the_next_change_and_hears_of_reboots(api) -> None:
    changes = api.Changes("cloud")
    app = api.Api(Moto(), changes)
    heard: list[dict[str, Any]] = []

    def read() -> None:
        answer = request(app, method="GET", path="/tinderbox/changes", QUERY_STRING="after=0")
        heard.append(json.loads(answer[1]))

    reader = threading.Thread(target=read)
    reader.start()
    changes.add_reboots(["i-1"])
    assert reader.is_alive() and not heard
    changes.add()
    reader.join(5)
    assert heard == [{"cloud": "cloud", "changes": 1, "reboots": {"i-1": 1}}]


def test_moto_is_asked_one_thing_at_a_time(api) -> None:
    moto = Moto()
    app = api.Api(moto, api.Changes(""))
    threads = [threading.Thread(target=request, args=(app, b"Action=A")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(moto.bodies), moto.most) == (8, 1)


def test_without_root_one_line_says_what_to_do() -> None:
    script = (
        "import os, sys; os.geteuid = lambda: 1000\n"
        "from localcloud.__main__ import main; sys.exit(main(['up']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "localcloud: the local cloud needs root; without it, use an AWS account: pulumi up -s dev\n"
    )
