"""What a person sees at the end: the top words as a table, and what the count used."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len, set_cell_size

from toolchain.terminal import columns, shown

#: The widest that a word and its bar are shown.
_WIDEST = 30


def fitted(text: str, width: int) -> str:
    """A text that anybody may have written, in a line and at most so many columns of a terminal."""
    text = shown(text)
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def counted(result: dict[str, Any]) -> str:
    """The stack's output `wordCount` in a line."""
    return (
        f"{result['words']:,} words, {result['distinct']:,} different,"
        f" in {shown(result['input'])} (Spark {result['sparkVersion']}, {result['seconds']:.1f} s)"
    )


def top_words(result: dict[str, Any], width: int | None = None) -> str:
    """The stack's output `wordCount` as a heading and a table with bars, and what else to know.

    width: of words and of bars; by default what the terminal has room for.
    """
    top = [(str(row["word"]), int(row["count"])) for row in result["top"]]
    heading = counted(result)
    if not top:
        return "\n".join([heading, *_notes(result)])
    most = max(count for _, count in top)
    digits = len(f"{most:,}")
    if width is None:
        width = min(_WIDEST, max(2, (columns() - digits - 6) // 2))
    words = [fitted(word, width) for word, _ in top]
    longest = max(map(cell_len, words))
    lines = [heading, ""]
    for word, (_, count) in zip(words, top, strict=True):
        bar = "█" * max(1, round(count / most * width))
        lines.append(f"  {set_cell_size(word, longest)}  {count:>{digits},}  {bar}")
    return "\n".join([*lines, *_notes(result)])


def _notes(result: dict[str, Any]) -> list[str]:
    """What the count had to say of the text; nothing, if all of it was counted as it is."""
    notes: list[str] = []
    if replaced := result.get("replacedBytes"):
        notes += [f"{replaced:,} bytes are not in the text's encoding; U+FFFD stands for them."]
    if left_out := result.get("leftOut"):
        names, count = left_out["names"], left_out["count"]
        more = f" (the first {len(names)})" if count > len(names) else ""
        notes += [f"Left out: {count:,} {'name' if count == 1 else 'names'}{more}"]
        notes += [f"  {shown(name)}: {shown(why)}" for name, why in names.items()]
    return ["", *notes] if notes else []


def used(usage: dict[str, Any] | None) -> str:
    """What an application used, in two lines; one where it is not known."""
    if usage is None:
        return "What it used is not known: see the log of the job's pod."
    executors = usage["executors"]
    peaks = [e["peakMemoryMiB"] for e in executors if e["peakMemoryMiB"] is not None]
    memory = f", up to {max(peaks):.0f} MiB of memory each" if peaks else ""
    cost = usage["cost"]
    price = "no nodes.price is set" if cost["usd"] is None else f"{cost['usd']:.6f} USD"
    return (
        f"Used by {len(executors)} executors: {usage['executorCpuSeconds']:.1f} s of CPU in"
        f" {usage['executorRunSeconds']:.1f} s of tasks{memory};"
        f" {_bytes(usage['bytesRead'])} read, {_bytes(usage['shuffleBytesWritten'])} shuffled.\n"
        f"Reserved with the driver: {cost['nodeHours']:.5f} node-hours ({price})."
    )


def _bytes(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
