"""The picture of docs/performance.md."""

from __future__ import annotations

from pathlib import Path
from statistics import median

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
