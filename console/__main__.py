"""python -m console VERB: what the Makefile calls."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from console.stack import ConsoleError
from console.verb import Parser, Verb
from localcloud.errors import CloudError
from submission.errors import ApplicationError
from toolchain import terminal
from toolchain.env import enter
from toolchain.errors import ToolchainError

#: Each is a file of console/verbs, of which only the one that is asked for is loaded.
VERBS = {
    "up": "from nothing to the top words",
    "preview": "what an update would change",
    "rehearse": "the change of a stack's settings, played on the local cloud first",
    "destroy": "takes the stack away, and with the local one its cloud",
    "sweep": "takes away what a killed update left at AWS, after asking",
    "stop": "stops the stack's nodes, and says what an hour costs then",
    "start": "starts them again, until the cluster and Spark are well",
    "backup": "a snapshot of the control plane, now",
    "restore": "brings the cluster back to a snapshot",
    "status": "machines, nodes, pods, Spark, the last result",
    "ui": "forwards the web pages to this machine",
    "connect": "forwards Spark Connect, and says how Python gets there",
    "notebook": "JupyterLab on this machine, with the stack's Spark behind it",
    "opex": "CPU, memory and cost by namespace",
    "opex-forward": "a port of this machine to the cost analytics' own page",
    "outputs": "the stack's outputs as JSON",
    "settings": "the stack's settings, and where each comes from",
    "usage": "what an application on Spark used",
    "bill": "what applications cost in some days, and what was idle",
    "prices": "asks AWS for the prices that bills are made with",
    "why": "why an application failed",
    "logs": "an application's log, also when its pods are gone",
    "apps": "the stack's applications: state, last and next run, result",
    "run": "runs one of them now",
    "submit": "runs one application in the stack's cluster",
    "image": "an image of your own, where the cluster can pull it",
}
_ERRORS = (ApplicationError, ConsoleError, CloudError, ToolchainError)


def verb_of(name: str) -> Verb:
    """A verb by its name."""
    return importlib.import_module(f"console.verbs.{name.replace('-', '_')}").VERB


def _overview() -> Parser:
    lines = (f"  {name:<13} {what}" for name, what in VERBS.items())
    made = Parser(
        prog="python -m console",
        usage="%(prog)s VERB [--help] ...",
        epilog="\n".join(["verbs:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("verb", choices=VERBS, metavar="VERB", help="its --help tells more")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    name = _overview().parse_args(given[:1]).verb
    verb = verb_of(name)
    options = verb.parser(name).parse_args(given[1:])
    enter(local=verb.is_local(options))
    return terminal.run(
        lambda: verb.run(options), name, _ERRORS, verb.interrupted, shows=verb.shows
    )


if __name__ == "__main__":
    sys.exit(main())
