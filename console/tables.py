"""Tables for people: as wide as their terminal, and plain where there is none."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from toolchain.terminal import columns, shown

# Where no terminal says how wide it is, a row is a line.
_ENDLESS = 10_000


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = ()
) -> str:
    """Rows below their heads, if these say anything. right: the heads of what are numbers.

    Cells are shown as anybody may have written them: no terminal obeys them.
    """
    made = Table(
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
        show_header=any(heads),
        header_style="bold",
    )
    for head in heads:
        justify = "right" if head in right else "left"
        made.add_column(Text(shown(head)), justify=justify, overflow="fold")
    for row in rows:
        made.add_row(*(Text(shown(cell)) for cell in row))
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    drawn = io.StringIO()
    # Printed by the caller: rich would end the program where the reader is gone.
    console = Console(
        file=drawn, force_terminal=is_terminal, width=columns() if is_terminal else _ENDLESS
    )
    console.print(made, highlight=False)
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines())
