"""bench/data.py: what is put into the store, and the row of a count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import data


class Client:
    """A store that keeps what it gets."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self.kept[Key] = Body


def test_a_text_is_put_whole_so_many_times_in_whole_lines(tmp_path: Path):
    lines = b"".join(b"line %d\n" % number for number in range(1000))
    (tmp_path / "text").write_bytes(lines)
    client = Client()
    assert data.put(client, tmp_path / "text", 2) == 2 * len(lines)
    assert len(client.kept) == 2 * data.OBJECTS
    assert b"".join(body for _, body in sorted(client.kept.items())) == 2 * lines
    assert {body[-1:] for body in client.kept.values()} == {b"\n"}


def test_a_row_is_for_each_gigabyte_of_the_machines_cores():
    used: dict[str, Any] = {"seconds": 100.0, "executorCpuSeconds": 120.0, "gcSeconds": 1.0}
    used |= {"shuffleBytesWritten": 2 * 10**6, "bytesSpilled": 0, "cost": {"usd": 0.01}}
    used |= {"executors": [{"peakMemoryMiB": 700.4}, {"peakMemoryMiB": None}]}
    row = data.table([data.Counted(2 * 10**9, 1, used, 300.0)], cores=2).splitlines()[-1]
    assert row == "| 2 | 100 | 10.0 | 60.0 | 150.0 | 2.0 | 0.0 | 1.0 | 700 | 0.00500 |"
