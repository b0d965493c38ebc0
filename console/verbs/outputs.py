"""`make outputs`: the stack's outputs as JSON."""

from __future__ import annotations

import argparse
import json

from console.stack import Stack
from console.verb import Verb


def run(options: argparse.Namespace) -> None:
    """Prints them; secrets are not shown."""
    print(json.dumps(Stack(options.stack).outputs(), indent=2))


VERB = Verb(
    what="The stack's outputs as JSON; secrets are not shown.",
    examples=("", "--stack dev | jq .wordCount.top"),
    run=run,
    shows=True,
)
