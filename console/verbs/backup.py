"""`make backup`: a snapshot of the control plane, now."""

from __future__ import annotations

import argparse

from console.backup import on_control_plane
from console.stack import Stack
from console.verb import Verb


def run(options: argparse.Namespace) -> None:
    """Makes a snapshot, and prints its name."""
    stack = Stack(options.stack)
    stack.require_own()
    on_control_plane(stack, "tinderbox-snapshot", "make backup")


VERB = Verb(
    what="Writes a snapshot of the control plane to the shared volume, besides those by the clock.",
    examples=("", "--stack dev"),
    run=run,
)
