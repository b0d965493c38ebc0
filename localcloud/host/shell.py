"""Running the host's tools (ip, nft, ...) and waiting for conditions."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence

from localcloud.errors import CloudError
from patience import factor


def run(command: Sequence[str], stdin: str | None = None) -> str:
    """Run a tool and return what it printed; CloudError with its own words if it fails."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CloudError(f"{command[0]} is not on PATH") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        raise CloudError(f"{' '.join(command)} failed: {words[0]}")
    return done.stdout


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """Whether `condition` became true within `seconds`; asked every `pause` seconds."""
    limit = time.monotonic() + seconds * factor()
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(pause)
    return True
