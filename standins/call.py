"""One request of the engine to a stand-in: what it asks, and how to log, wait and be cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from standins.values import plain

T = TypeVar("T")

# The first wait between two looks at something, in seconds.
_FIRST_INTERVAL = 0.1


class StandinError(Exception):
    """What went wrong, in words for the person who runs Pulumi; becomes the resource's error."""


class Cancelled(StandinError):
    """The engine asked to stop (a person pressed Ctrl-C)."""

    def __init__(self) -> None:
        super().__init__("cancelled before it was done")


class InitFailed(StandinError):
    """The resource exists but is not as it should be: the engine keeps it, marked as failed.

    `outputs` is the state to keep. The next `pulumi up` calls update (or replaces it).
    """

    def __init__(self, reason: str, resource_id: str, outputs: dict[str, Any]) -> None:
        super().__init__(reason)
        self.resource_id = resource_id
        self.outputs = outputs


@dataclass
class Call:
    """A request about one resource (or one function, or the provider itself).

    `inputs`, `old_inputs` and `state` (the old outputs) are plain values; the same with their
    Secret marks are in `marked_inputs`, `marked_old_inputs` and `marked_state`.
    `timeout` is what the program's custom_timeouts say, in seconds, or None.
    """

    urn: str = ""
    id: str = ""
    marked_inputs: dict[str, Any] = field(default_factory=dict)
    marked_old_inputs: dict[str, Any] = field(default_factory=dict)
    marked_state: dict[str, Any] = field(default_factory=dict)
    preview: bool = False
    timeout: float | None = None
    random_seed: bytes = b""
    # The engine's autonaming setting: "propose", "enforce" or "disable", and the name it proposes.
    autonaming: tuple[str, str] | None = None
    # (severity "debug" | "info" | "warning" | "error", message, ephemeral) -> None
    send_log: Callable[[str, str, bool], None] = lambda *_: None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.inputs: dict[str, Any] = plain(self.marked_inputs)
        self.old_inputs: dict[str, Any] = plain(self.marked_old_inputs)
        self.state: dict[str, Any] = plain(self.marked_state)

    @property
    def name(self) -> str:
        """The resource's logical name, as the program gave it."""
        return self.urn.rsplit("::", 1)[-1]

    @property
    def type(self) -> str:
        """The resource's type token, such as `aws:ec2/vpc:Vpc`."""
        parts = self.urn.split("::")
        return parts[-2].rsplit("$", 1)[-1] if len(parts) > 1 else ""

    def log(self, message: str, severity: str = "info") -> None:
        """Write `message` to the engine's log, under this resource."""
        self.send_log(severity, message, False)

    def status(self, message: str) -> None:
        """Show `message` beside the resource while it is worked on; it is not kept."""
        self.send_log("info", message, True)

    def check_cancelled(self) -> None:
        """Raise Cancelled if the engine asked to stop."""
        if self.cancelled.is_set():
            raise Cancelled

    def pause(self, seconds: float) -> None:
        """Wait between two looks at something; raises Cancelled at once when asked to stop."""
        if self.cancelled.wait(seconds):
            raise Cancelled

    def wait_for(
        self, what: str, look: Callable[[], T | None], default_timeout: float, every: float = 1.0
    ) -> T:
        """The first result of `look` that is not None; it looks often at first, then every `every`.

        `default_timeout` (seconds) holds where the program's custom_timeouts say nothing.
        Raises StandinError naming `what` when the time is over, Cancelled when asked to stop.
        """
        limit = self.timeout or default_timeout
        deadline = time.monotonic() + limit
        interval = min(every, _FIRST_INTERVAL)
        while True:
            self.check_cancelled()
            result = look()
            if result is not None:
                return result
            if time.monotonic() >= deadline:
                raise StandinError(f"waited {limit:g} s for {what}, in vain")
            self.pause(min(interval, max(0.0, deadline - time.monotonic())))
            interval = min(every, interval * 1.5)
