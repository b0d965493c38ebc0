"""The pictures of docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.nodes import PARTS, Planned
from bench.words import Measured


def draw(measured: Measured, path: Path) -> None:
    """Bars of the median seconds, the fastest first, with each round as a dot."""
    from matplotlib.figure import Figure  # half a second, and the page alone needs it

    names = sorted(measured.seconds, key=lambda name: median(measured.seconds[name]))
    figure = Figure(figsize=(8, 0.5 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    colours = ["#0072B2" if name == "Tinderbox" else "#BBBBBB" for name in names]
    axes.barh(names, [median(measured.seconds[name]) for name in names], color=colours)
    for name in names:
        seconds = measured.seconds[name]
        axes.plot(seconds, [name] * len(seconds), ".", color="black", markersize=4)
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    title = f"Words of {measured.megabytes} MB counted, warm; dots: each round"
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def draw_parts(planned: Sequence[Planned], path: Path) -> None:
    """Seconds of CPU by the number of nodes, the parts one above the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    parts = [[one.cpu[part] for one in planned] for part in PARTS]
    colours = ["#0072B2", "#E69F00", "#BBBBBB"]
    axes.stackplot([one.nodes for one in planned], parts, labels=list(PARTS), colors=colours)
    axes.legend(loc="upper left", frameon=False, reverse=True)
    axes.set_xlabel("nodes")
    axes.set_ylabel("seconds of CPU")
    axes.margins(x=0)
    axes.set_title("The first preview", loc="left", fontsize=11, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def draw_spans(title: str, spans: Sequence[tuple[str, float, float]], path: Path) -> None:
    """When each (name, start, end) runs, in seconds, the first at the top."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.22 * len(spans) + 1), layout="constrained")
    axes = figure.subplots()
    rows = range(len(spans))
    axes.barh(rows, [end - start for _, start, end in spans], left=[one[1] for one in spans])
    axes.set_yticks(rows, [name for name, _, _ in spans], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
