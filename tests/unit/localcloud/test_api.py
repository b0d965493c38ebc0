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

from localcloud.api.metadata import Metadata, Notices
from localcloud.host.shell import wait_until

CHECKOUT = Path(__file__).resolve().parents[3]
NOTICES = Notices(lambda _: None)


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
    app = api.Api(Moto(), changes, NOTICES)
    request(app, b"Action=DescribeInstances&Version=1")
    request(app, method="GET", path="/2015-02-01/file-systems")
    assert changes.wait(-1)["changes"] == 0
    request(app, b"Action=RunInstances")
    request(app, b"{}", path="/2015-02-01/file-systems")
    assert changes.wait(-1) == {"cloud": "cloud", "changes": 2, "reboots": {}}


def test_the_body_reaches_moto_whole(api) -> None:
    moto = Moto()
    request(api.Api(moto, api.Changes(""), NOTICES), b"Action=RunInstances&UserData=%00")
    assert moto.bodies == [b"Action=RunInstances&UserData=%00"]


def test_web_pages_are_kept_out(api) -> None:
    moto = Moto()
    app = api.Api(moto, api.Changes(""), NOTICES)
    code, _ = request(app, b"Action=RunInstances", HTTP_ORIGIN="https://example.com")
    assert code.startswith("403")
    assert moto.bodies == []


def test_a_reader_waits_for_the_next_change_and_hears_of_reboots(api) -> None:
    changes = api.Changes("cloud")
    app = api.Api(Moto(), changes, NOTICES)
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
    app = api.Api(moto, api.Changes(""), NOTICES)
    threads = [threading.Thread(target=request, args=(app, b"Action=A")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(moto.bodies), moto.most) == (8, 1)


# The instance metadata service

LASTS = {"HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS": "60"}


def test_a_machine_asks_with_a_token_of_its_own_and_hears_of_its_notice() -> None:
    notices = Notices(lambda _: None)
    app = Metadata({"10.42.0.7": "i-7", "10.42.0.8": "i-8"}.get, notices)

    def ask(what: str, method: str = "GET", address: str = "10.42.0.7", **more: Any):
        return request(app, method=method, path=f"/latest/{what}", REMOTE_ADDR=address, **more)

    def token(address: str) -> dict[str, str]:
        code, found = ask("api/token", "PUT", address, **LASTS)
        assert code == "200 OK"
        return {"HTTP_X_AWS_EC2_METADATA_TOKEN": found.decode()}

    assert ask("api/token", "PUT")[0] == "400 Bad Request"
    assert ask("api/token", **LASTS)[0] == "400 Bad Request"
    assert ask("meta-data/instance-id")[0] == "401 Unauthorized"
    assert ask("meta-data/instance-id", **token("10.42.0.8"))[0] == "401 Unauthorized"
    assert ask("api/token", "PUT", "10.42.0.9", **LASTS)[0] == "403 Forbidden"
    own = token("10.42.0.7")
    assert ask("meta-data/instance-id", **own) == ("200 OK", b"i-7")
    assert ask("meta-data/spot/instance-action", **own) == ("404 Not Found", b"")
    notices.give("i-7", 3600)
    code, told = ask("meta-data/spot/instance-action", **own)
    assert code == "200 OK" and json.loads(told)["action"] == "terminate"
    other = token("10.42.0.8")
    code, _ = ask("meta-data/spot/instance-action", address="10.42.0.8", **other)
    assert code == "404 Not Found"


def test_an_instance_goes_when_its_notice_is_over() -> None:
    gone: list[str] = []
    Notices(gone.append).give("i-7", 0.01)
    assert wait_until(lambda: gone == ["i-7"], 5)


def test_no_notice_for_what_is_no_spot_instance(api) -> None:
    app = api.Api(Moto(), api.Changes(""), NOTICES)
    code, said = request(app, path="/tinderbox/interrupt", QUERY_STRING="instance=i-1&seconds=5")
    assert (code, said) == ("400 Bad Request", b"i-1 is no spot instance that runs\n")


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
