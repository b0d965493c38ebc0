"""`make settings`: the stack's settings, and where each comes from; secrets are not shown."""

from __future__ import annotations

import argparse

from components.settings.effective import Setting, effective
from console.stack import ConsoleError, Stack, groups, project_groups, read_settings
from console.tables import table
from console.verb import Verb


def run(options: argparse.Namespace) -> None:
    """Prints a line for each key. Raises ConsoleError if a value is wrong in itself."""
    stack = Stack(options.stack)
    own = stack.config_file if stack.config_file.exists() else stack.shipped_file
    if not own.exists():
        raise ConsoleError(f"there is no {own.name}; see Pulumi.dev.yaml")
    config = groups(read_settings(own)["config"])
    rows = effective([(own.name, config), ("Pulumi.yaml", project_groups())])
    print(effective_table(rows))
    if wrong := [row.key for row in rows if row.wrong]:
        raise ConsoleError(f"{', '.join(wrong)}: not right, see above")


def effective_table(rows: list[Setting]) -> str:
    """Key, value and source in columns; what is wrong behind them."""
    cells = ((row.key, row.value, row.source, row.wrong) for row in rows)
    return table(["key", "value", "from", ""], cells)


VERB = Verb(
    what="The stack's settings, and where each comes from; secrets are not shown.",
    examples=("", "--stack dev"),
    run=run,
    shows=True,
)
