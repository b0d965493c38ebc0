"""`make sweep`: what carries a stack's tag at AWS and is not in its state goes, after asking."""

from __future__ import annotations

import argparse

from console import leftovers, nodes
from console.stack import Stack
from console.verb import Verb


def options(parser: argparse.ArgumentParser) -> None:
    """Its own."""
    parser.add_argument("--yes", action="store_true", help="don't ask")


def run(options: argparse.Namespace) -> None:
    """Shows what is left over, asks, and takes it away. Raises ConsoleError where some stays."""
    stack = Stack(options.stack)
    stack.require_own()
    resources = nodes.resources(stack)
    account = leftovers.Account(nodes.settings(stack)["aws"], stack)
    found = leftovers.agreed(account, resources, yes=options.yes)
    if not found:
        print(f"AWS has nothing of stack {stack.name} that its state does not have.")
        return
    account.remove(found)


VERB = Verb(
    what="Takes away what a killed update left at AWS, unknown to the stack's state; asks first.",
    examples=("--stack dev", "--stack dev --yes"),
    options=options,
    run=run,
)
