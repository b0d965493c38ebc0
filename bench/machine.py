"""The machine that something was measured on."""

from __future__ import annotations

import os
import re
from pathlib import Path


def machine() -> str:
    """This one: processors and memory."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = int(re.findall(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[0])
    return f"{os.cpu_count()} × {model[1] if model else 'CPU'}, {memory / 2**20:.0f} GiB"


def busy() -> float:
    """CPU seconds that all processes of this machine have used since it started."""
    user, nice, system, _idle, _waits, *others = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    # Those of guests are in the first two.
    return (user + nice + system + sum(others[:3])) / os.sysconf("SC_CLK_TCK")
