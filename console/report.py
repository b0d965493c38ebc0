"""What a person sees at the end: the top words as a table."""

from __future__ import annotations

from typing import Any


def top_words(result: dict[str, Any], width: int = 30) -> str:
    """The stack's output `wordCount` as a heading and a table with bars."""
    top = [(str(row["word"]), int(row["count"])) for row in result["top"]]
    heading = (
        f"{result['words']:,} words, {result['distinct']:,} different,"
        f" in {result['input']} (Spark {result['sparkVersion']}, {result['seconds']:.1f} s)"
    )
    if not top:
        return heading
    longest = min(width, max(len(word) for word, _ in top))
    most = max(count for _, count in top)
    digits = len(f"{most:,}")
    lines = [heading, ""]
    for word, count in top:
        shown = word if len(word) <= width else word[: width - 1] + "…"
        bar = "█" * max(1, round(count / most * width))
        lines.append(f"  {shown.ljust(longest)}  {count:>{digits},}  {bar}")
    return "\n".join(lines)
