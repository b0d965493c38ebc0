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


def busy(stat: Path = Path("/proc/stat")) -> float:
    """CPU seconds that all processes of this machine have used since it started."""
    times = [int(one) for one in stat.read_text().splitlines()[0].split()[1:9]]
    # Without idle and waiting; those of guests come after these, and are in the first two.
    return (sum(times) - times[3] - times[4]) / os.sysconf("SC_CLK_TCK")


def cpu(pid: int, children: bool = False) -> float:
    """CPU seconds, user and system time, that a process has used since it started.

    children: with what those used that it has waited for.
    """
    return seconds(Path(f"/proc/{pid}/stat").read_text(), children)


def seconds(stat: str, children: bool) -> float:
    """The same, by the text of its /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()[11 : 15 if children else 13]
    return sum(map(int, fields)) / os.sysconf("SC_CLK_TCK")
