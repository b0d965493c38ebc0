"""`make destroy`: takes the stack away, and with the local one its cloud."""

from __future__ import annotations

import argparse

from console import interrupted, nodes
from console.stack import Stack
from console.verb import Verb


def run(options: argparse.Namespace) -> None:
    """Takes it away."""
    stack = Stack(options.stack)
    stack.require_own()
    if said := nodes.stopped(stack):
        print(f"{said}; what is taken away need not run", flush=True)
    if not stack.is_local:
        interrupted.settle(stack)
        stack.destroy()
        return
    from localcloud import cloud
    from localcloud.status import status

    try:
        if status()["running"] and stack.exists() and stack.config_file.exists():
            interrupted.settle(stack)
            stack.destroy()
    finally:
        cloud.down(lambda line: print(f"local cloud: {line}", flush=True))


VERB = Verb(
    what="Takes the stack away, and with the local one its cloud.",
    examples=("", "--stack dev"),
    run=run,
)
