"""cloud.json: whose the local cloud on this host is, and the daemons that make it up."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from localcloud.daemons.processes import Process
from localcloud.layout import RECORD


@dataclass(frozen=True)
class Setting:
    """A kernel setting (a file below /proc/sys) that we raised."""

    path: str
    former: str
    raised: str


@dataclass(frozen=True)
class Record:
    """What is known of the local cloud; `id` is new each time one starts from nothing."""

    id: str
    checkout: str
    started: float  # seconds since the epoch
    boot: str
    settings: list[Setting] = field(default_factory=list)
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def alive(self) -> dict[str, Process]:
        """The daemons that still run, by name."""
        if self.boot != boot_id():
            return {}
        return {name: process for name, process in self.processes.items() if process.alive}


def boot_id() -> str:
    """The kernel's name for the time since it was started."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def load() -> Record | None:
    """The record; None if there is none that can be read as one."""
    try:
        fields = json.loads(RECORD.read_text())
        fields["settings"] = [Setting(**one) for one in fields["settings"]]
        fields["processes"] = {name: Process(**one) for name, one in fields["processes"].items()}
        return Record(**fields)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def save(record: Record) -> None:
    """Write the record, whole or not at all."""
    scratch = RECORD.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(record), indent=1) + "\n")
    scratch.rename(RECORD)
