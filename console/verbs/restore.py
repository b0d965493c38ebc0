"""`make restore`: the cluster goes back to a snapshot; without a name, which there are."""

from __future__ import annotations

import argparse

from console.backup import on_control_plane
from console.stack import Stack
from console.verb import Verb, agree


def options(parser: argparse.ArgumentParser) -> None:
    """Its own."""
    parser.add_argument("--snapshot", metavar="NAME", help="which; else prints their names")
    parser.add_argument("--yes", action="store_true", help="don't ask")


def run(options: argparse.Namespace) -> None:
    """Brings the older state back, after asking. Raises ConsoleError where nobody agrees."""
    stack, snapshot = Stack(options.stack), options.snapshot
    stack.require_own()
    if not snapshot:
        found = on_control_plane(stack, "tinderbox-restore", capture=True)
        print(found.strip() or "there is no snapshot yet; `make backup` makes one")
        return
    print(f"All that has changed in the cluster of stack {stack.name} since {snapshot} is lost;")
    print("a snapshot of today is made first, and the API is away for about a minute.", flush=True)
    if not options.yes:
        agree("Bring it back?", "make restore SNAPSHOT=... YES=1")
    on_control_plane(stack, "tinderbox-restore", snapshot)
    print("What Pulumi has made since is made again by: make up REFRESH=1")


VERB = Verb(
    what="Brings an older state back onto a control plane that lives.",
    examples=("", "--stack dev --snapshot 2026-11-26T05-00-00Z.snapshot"),
    options=options,
    run=run,
)
