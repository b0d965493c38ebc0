"""Where the time of an update went, from the engine's own event log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from console.report import fitted
from toolchain.terminal import columns

# The component of a resource says which phase it belongs to; the type of its URN names it.
_PHASES = {
    "NetworkStack": "network",
    "SharedFileSystem": "shared file system",
    "KubeNodes": "instances",
    "KubeadmBootstrap": "Kubernetes (kubeadm)",
    "ClusterAddons": "addons (flannel, metrics-server)",
    "SparkRelease": "Spark",
    "OpexRelease": "cost analytics",
    "WordCountJob": "word count",
}


@dataclass(frozen=True)
class Phase:
    """A phase in seconds since the start; phases overlap, as the engine works side by side."""

    name: str
    start: float
    end: float


def phases(events: Iterable[dict], origin: float | None = None) -> list[Phase]:
    """Phases in the order in which they began, from engine events (see `read_events`).

    origin: Unix seconds that count as 0; by default the first event.
    """
    events = list(events)
    if origin is None:
        origin = float(events[0]["timestamp"]) if events else 0.0
    spans: dict[str, tuple[float, float]] = {}
    open_: dict[str, float] = {}
    for at, begins, metadata in worked_on(events):
        name = _phase_of(metadata["urn"])
        if name is None:
            continue
        if begins:
            open_[metadata["urn"]] = at
        begin = open_.get(metadata["urn"], at)
        first, last = spans.get(name, (begin, at))
        spans[name] = (min(first, begin), max(last, at))
    found = [Phase(name, b - origin, e - origin) for name, (b, e) in spans.items()]
    return sorted(found, key=lambda phase: (phase.start, phase.end))


def worked_on(events: Iterable[dict]) -> Iterator[tuple[float, bool, dict]]:
    """When work on a resource began or ended (seconds since the epoch, whether it began, which)."""
    for event in events:
        for kind in ("resourcePreEvent", "resOutputsEvent", "resOpFailedEvent"):
            metadata = (event.get(kind) or {}).get("metadata")
            if metadata and metadata["op"] not in ("same", "read"):
                yield float(event["timestamp"]), kind == "resourcePreEvent", metadata


def read_events(file: Path) -> list[dict]:
    """The engine's events; a last line that was cut off is left out."""
    events = []
    for line in file.read_text().splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return events


def chart(found: list[Phase], width: int = 40) -> str:
    """One line a phase: when it ran, as a bar on a common scale, and its length.

    width: the bars' at most; what the terminal has no room for is cut.
    """
    if not found:
        return ""
    total = max(phase.end for phase in found) or 1.0
    room = max(columns() - len("      1234.5 s"), 3)
    label = min(max(len(phase.name) for phase in found), max(room - width, room * 2 // 3))
    width = min(width, room - label)
    lines = []
    for phase in found:
        begin = min(round(phase.start / total * width), width - 1)
        length = max(1, round((phase.end - phase.start) / total * width))
        bar = (" " * begin + "█" * length)[:width].ljust(width)
        lines.append(
            f"  {fitted(phase.name, label).ljust(label)}  {bar}  {phase.end - phase.start:6.1f} s"
        )
    return "\n".join(lines)


def as_json(found: list[Phase]) -> list[dict]:
    """The phases as they are written for programs."""
    return [asdict(phase) for phase in found]


def _phase_of(urn: str) -> str | None:
    types = urn.split("::")[2].split("$")
    for type_ in types:
        name = type_.rsplit(":", 1)[-1]
        if type_.startswith("tinderbox:") and name in _PHASES:
            return _PHASES[name]
    return None
