"""The pictures: CPU and memory of an application's processes over the run; costs by day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usage import rates

from console.bill import IDLE, Bill
from console.stack import ConsoleError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Samples by process, as `read_samples` gives them.
Samples = dict[str, list[dict[str, Any]]]

# Told apart also by those who see colours otherwise (Okabe and Ito); the driver is black.
_COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"]
#: With more processes than this a legend would hide the picture.
_MOST_NAMED = 16


def draw(usage: dict[str, Any], samples: Samples) -> Figure:
    """CPU and memory of driver and executors over the run. Raises ConsoleError without samples."""
    if not samples:
        raise ConsoleError(f"{usage['application']} was not sampled, so there is nothing to draw")
    # It takes half a second to import, which nothing else here should wait for.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.4), layout="constrained")
    cpu, memory = figure.subplots(2, sharex=True)
    start = min(rows[0]["at"] for rows in samples.values())
    colours = iter(_COLOURS * len(samples))
    for name in sorted(samples, key=order):
        rows = samples[name]
        style: dict[str, Any] = {"label": name, "linewidth": 1.6, "color": "black"}
        if name != "driver":
            style["color"] = next(colours)
        used = rates(rows)
        # The rate holds for the whole second before it, so steps tell it as it was measured.
        cpu.step(
            [rows[0]["at"] - start, *(at - start for at, _ in used)],
            [0.0, *(cores for _, cores in used)],
            where="pre",
            **style,
        )
        seen = [row for row in rows if row["memory"]]
        memory.plot(
            [row["at"] - start for row in seen], [row["memory"] / 2**20 for row in seen], **style
        )
    _dress(cpu, "CPU (cores)")
    _dress(memory, "Memory, resident (MiB)")
    memory.set_xlabel("Seconds since the driver's start")
    for axes in (cpu, memory):
        begin = usage["started"] - start
        axes.axvspan(begin, begin + usage["seconds"], color="#0072B2", alpha=0.06, linewidth=0)
    if len(samples) <= _MOST_NAMED:
        named = cpu.get_legend_handles_labels()
        figure.legend(*named, loc="outside lower center", ncols=6, frameon=False)
    title = f"{usage['name']}: CPU and memory over the run"
    cpu.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=24, parse_math=False)
    above: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    cpu.annotate(_subtitle(usage), (0, 1), xytext=(0, 9), fontsize=9.5, color="#444444", **above)
    return figure


def order(name: str) -> tuple[bool, int, str]:
    """The driver first, executors by number."""
    number = name.rpartition(" ")[2]
    return name != "driver", int(number) if number.isdecimal() else 0, name


def costs(found: Bill, days: Sequence[date], by: str) -> Figure:
    """USD by day, a bar a day with a part for each name; idle time on top, in grey."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    names = [row.name for row in found.rows if row.usd > 0]
    # Those that cost most have a colour of their own; the others are one part.
    kept = [name for name in names if name != IDLE][: len(_COLOURS)]
    parts = {name: [found.days.get(day, {}).get(name, 0.0) for day in days] for name in kept}
    others = [
        sum(found.days.get(day, {}).get(name, 0.0) for name in names if name not in (*kept, IDLE))
        for day in days
    ]
    if any(others):
        parts["others"] = others
    parts[IDLE] = [found.days.get(day, {}).get(IDLE, 0.0) for day in days]
    below = [0.0] * len(days)
    colours = {**dict(zip(kept, _COLOURS, strict=False)), "others": "#444444", IDLE: "#d9d9d9"}
    for name, values in parts.items():
        axes.bar(
            [day.isoformat() for day in days],
            values,
            bottom=below,
            width=0.75,
            color=colours[name],
            label=name,
        )
        below = [under + value for under, value in zip(below, values, strict=True)]
    _dress(axes, "USD a day")
    axes.set_xlim(-0.6, max(len(days), 4) - 0.4)
    axes.grid(visible=False, axis="x")
    step = max(1, len(days) // 10)
    axes.set_xticks(range(0, len(days), step), [f"{day:%d %b}" for day in days[::step]])
    # The first in the list is the topmost in the bars.
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right upper", frameon=False)
    title = f"What the nodes cost by day and {by}"
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=24, parse_math=False)
    whole = sum(row.usd for row in found.rows)
    idle = found.rows[-1].usd
    above: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    told = f"{days[0]:%d %b} to {days[-1]:%d %b %Y}: {whole:,.2f} USD, of which {idle:,.2f} idle"
    axes.annotate(told, (0, 1), xytext=(0, 9), fontsize=9.5, color="#444444", **above)
    return figure


def _subtitle(usage: dict[str, Any]) -> str:
    cost = usage["cost"]["usd"]
    price = "" if cost is None else f", {cost:.6f} USD"
    return (
        f"{usage['application']}; shaded: the Spark application, {usage['seconds']:.1f} s;"
        f" {usage['executorCpuSeconds']:.1f} s of CPU in tasks{price}"
    )


def _dress(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes `stem`.png and `stem`.svg, whichever was there."""
    files = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg")]
    for file in files:
        figure.savefig(file, dpi=150)
    return files
