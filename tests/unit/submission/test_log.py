"""A log is put together from replies that overlap: every byte once, in its order."""

from __future__ import annotations

import io
from collections.abc import Iterator

import cluster_driver
import pytest
from cluster_driver import Log, LogError, _seconds, follow_log

from tests.unit.kubelet import SECOND, Kubelet, stamp

LONG = bytes(range(0, 256, 5)).replace(b"\n", b"")
ENTRIES = [
    (0, b"one\n"),
    (1, b"\n"),
    (1, b"at the same moment\n"),
    (SECOND // 2, LONG),  # a long line comes in parts
    (SECOND * 3, LONG),
    (SECOND * 3 + 1, b"its end \xff\xfe\r\n"),
    (SECOND * 3 + 9, b"of stdout\n"),
    (SECOND * 3 + 7, b"of stderr, a moment before\n"),
    (SECOND * 3 + 9, b"of stdout\n"),
    (SECOND * 3 + 10, b"2026-11-26T01:00:00.000000000Z a line like ours\n"),
    (SECOND * 9, "é\u2028x\x0b\x85\n".encode()),
    (SECOND * 9 + 1, b"..."),
]


class Shown:
    """What a Log shows and tells."""

    def __init__(self) -> None:
        self.out, self.told = io.BytesIO(), []
        self.log = Log(self.out.write, self.told.append)


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[start : start + size] for start in range(0, len(text), size))


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_wherever_a_reply_ends_the_next_goes_on(size):
    kubelet = Kubelet(ENTRIES)
    for cut in range(len(kubelet.read(None)) + 1):
        shown = Shown()
        shown.log.join(pieces(kubelet.read(None)[:cut], size))
        # The second one breaks, too, while it tells what is known.
        shown.log.join(pieces(kubelet.read(shown.log.since)[: cut % 90], size))
        shown.log.join(pieces(kubelet.read(shown.log.since), size))
        assert (shown.out.getvalue(), shown.told) == (kubelet.text, []), cut


def test_what_comes_between_two_replies_is_in_the_second():
    shown, kubelet = Shown(), Kubelet()
    for entry in ENTRIES:
        kubelet.entries.append(entry)
        shown.log.join([kubelet.read(shown.log.since)])
    assert shown.out.getvalue() == kubelet.text


def test_a_file_that_was_turned_over_between_two_replies_is_said():
    shown = Shown()
    shown.log.join([Kubelet([(0, b"one\n")]).read(None)])
    shown.log.join([Kubelet([(SECOND * 5, b"two\n"), (SECOND * 5 + 1, b"three\n")]).read(None)])
    assert shown.out.getvalue() == b"one\ntwo\nthree\n"
    assert shown.told == ["the log was turned over meanwhile; lines may be missing"]


def test_only_what_is_needed_is_kept_and_asked_for():
    shown = Shown()
    lines = [(index * SECOND // 100, b"x\n") for index in range(1000)]
    shown.log.join([Kubelet(lines).read(None)])
    assert shown.log.since == "2026-11-26T01:00:08Z"
    assert len(shown.log.shown) <= 200


def test_what_the_kubelet_says_is_not_the_containers():
    shown = Shown()
    with pytest.raises(LogError, match="^failed to watch the file$"):
        shown.log.join([stamp(0) + b" one\n", b"failed to watch the file\n", stamp(1) + b" two\n"])
    with pytest.raises(LogError, match="^unable to retrieve container logs for x$"):
        shown.log.join([b"unable to retrieve container logs for x"])
    assert shown.out.getvalue() == b"one\ntwo\n"


def test_a_nodes_own_time_zone_and_python_3_10():
    assert _seconds(b"2026-11-26T03:00:00", b"+02:00") == _seconds(b"2026-11-26T01:00:00", b"Z")


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(cluster_driver, "LOOK_EVERY", 0.0)


def test_the_end_is_shown_however_its_replies_break(at_once):
    """Each reply brings 60 bytes more, then breaks, or ends as if it were the whole log."""
    shown, kubelet = Shown(), Kubelet(ENTRIES)
    left = list(range(len(kubelet.read(None)) - 60, 0, -60))
    replies = len(left)

    def read(since: str | None) -> Iterator[bytes]:
        whole = kubelet.read(since)
        yield whole[: len(whole) - (left.pop(0) if left else 0)]
        if len(left) % 3 == 1:
            raise LogError("broken")

    assert follow_log(shown.log, read, lambda: 3) == 3
    assert shown.out.getvalue() == kubelet.text
    assert replies > 5 and not left and shown.told == ["broken"]


def test_a_log_that_can_no_longer_be_read_does_not_hold_up_the_end(at_once):
    shown, ends = Shown(), iter([None, None, 7])

    def read(since: str | None) -> Iterator[bytes]:
        raise LogError("no kubelet")
        yield b""

    assert follow_log(shown.log, read, lambda: next(ends)) == 7
    assert shown.told == ["no kubelet"]


def test_what_the_output_refuses_is_not_taken_for_a_broken_log(at_once):
    def full(piece: bytes) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        read = Kubelet(ENTRIES).read
        follow_log(Log(full, print), lambda since: [read(since)], lambda: None)
