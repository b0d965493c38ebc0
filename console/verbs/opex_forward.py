"""`make opex-forward`: a port of this machine to the cost analytics' own page."""

from __future__ import annotations

import argparse
import re
import subprocess

from console.cluster import connect, port_forward
from console.costs import analytics_of
from console.stack import ConsoleError, Stack
from console.verb import Verb


def run(options: argparse.Namespace) -> None:
    """Forwards until it is interrupted. Raises ConsoleError where the forwarding ends before."""
    stack = Stack(options.stack)
    opex = analytics_of(stack)
    target = f"service/{opex['service']}"
    with connect(stack).kubeconfig() as config:
        process = port_forward(
            config, opex["namespace"], target, ":80", stack.env, stdout=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.match(r"Forwarding from (127\.0\.0\.1:\d+) ", line):
                    print(f"{opex['engine']}: http://{found[1]}/ (Ctrl-C ends it)", flush=True)
        except KeyboardInterrupt:
            return
        finally:
            process.terminate()
            process.wait()
    raise ConsoleError("the forwarding has ended; its own words are above")


VERB = Verb(
    what="Forwards a port of this machine's loopback to the cost analytics' own page.",
    examples=("", "--stack dev"),
    run=run,
    shows=True,
)
