"""A container's log as a kubelet tells of it, without a kubelet."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

SECOND = 10**9
START = int(datetime(2026, 11, 26, 1, 0, tzinfo=UTC).timestamp()) * SECOND


def stamp(at: int, zone: str = "Z") -> bytes:
    """A time in ns since START, as kubelets write it."""
    moment = datetime.fromtimestamp((START + at) // SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{(START + at) % SECOND:09d}{zone}".encode()


@dataclass
class Kubelet:
    """entries: (time, bytes), in the file's order; a long line is several, all but the last without
    its end."""

    entries: list[tuple[int, bytes]] = field(default_factory=list)

    def read(self, since: str | None) -> bytes:
        """What GET log?timestamps=true&sinceTime=... answers."""
        first = 0
        if since is not None:
            first = round(datetime.fromisoformat(since).timestamp()) * SECOND - START
        answer, starts = b"", True
        for at, text in self.entries:
            if at >= first:
                answer += stamp(at) + b" " + text if starts else text
                starts = text.endswith(b"\n")
        return answer

    @property
    def text(self) -> bytes:
        """What the container wrote."""
        return b"".join(text for _, text in self.entries)
