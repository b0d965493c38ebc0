"""`make preview`: what an update would change."""

from __future__ import annotations

import argparse

from console import nodes
from console.stack import Stack
from console.verb import Verb


def run(options: argparse.Namespace) -> None:
    """Shows it."""
    stack = Stack(options.stack)
    stack.prepare()
    nodes.require_started(stack)
    stack.preview("--diff")


VERB = Verb(
    what="What an update would change; it changes nothing.",
    examples=("", "--stack dev"),
    run=run,
)
