"""`make settings`: the stack's settings, and where each comes from; secrets are not shown."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from components.settings.effective import Setting, effective
from components.settings.errors import PROJECT
from console.stack import ROOT, ConsoleError, Stack, read_settings
from console.tables import table
from console.verb import Verb


def run(options: argparse.Namespace) -> None:
    """Prints a line for each key. Raises ConsoleError if a value is wrong in itself."""
    stack = Stack(options.stack)
    own = stack.config_file if stack.config_file.exists() else stack.shipped_file
    if not own.exists():
        raise ConsoleError(f"there is no {own.name}; see Pulumi.dev.yaml")
    rows = effective([(own.name, _config(own)), ("Pulumi.yaml", _project())])
    print(effective_table(rows))
    if wrong := [row.key for row in rows if row.wrong]:
        raise ConsoleError(f"{', '.join(wrong)}: not right, see above")


def effective_table(rows: list[Setting]) -> str:
    """Key, value and source in columns; what is wrong behind them."""
    cells = ((row.key, row.value, row.source, row.wrong) for row in rows)
    return table(["key", "value", "from", ""], cells)


def _config(file: Path) -> dict[str, Any]:
    config = read_settings(file)["config"]
    prefix = f"{PROJECT}:"
    return {
        key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)
    }


def _project() -> dict[str, Any]:
    """What Pulumi.yaml sets for all stacks; its own keys have no prefix."""
    config = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    values = {key: entry.get("value", entry.get("default")) for key, entry in config.items()}
    return {key: value for key, value in values.items() if value}


VERB = Verb(
    what="The stack's settings, and where each comes from; secrets are not shown.",
    examples=("", "--stack dev"),
    run=run,
    shows=True,
)
