"""What runs for an instance, or is left of it, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

#: How systemd-nspawn ends when the system in it asked for a reboot.
EXIT_REBOOT = 133


@dataclass(frozen=True)
class Machine:
    """What runs for an instance, or is left of it.

    `exit_code` is how it ended by itself, None while it runs or if it was killed from outside;
    `stopped` says that we stopped it; `reboots` counts the API's reboots and stops that it has
    seen; `recent_deaths` how often it died and was started again within the last minute; one
    that is not `complete` was never made to the end.
    """

    id: str
    alive: bool
    exit_code: int | None = None
    stopped: bool = False
    reboots: int = 0
    recent_deaths: int = 0
    complete: bool = True
