"""A verb of the console: what it does, its options, and its help."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from console.stack import LOCAL, ConsoleError
from toolchain import terminal

#: Exit codes of all verbs, as `terminal.run` gives them.
EXITS = {
    "0": "done",
    "1": "not done; stderr says why",
    "2": "a wrong command line",
    "129, 130, 143": "ended by a terminal that closed, Ctrl-C or SIGTERM",
}
_WORKS = {"141": "ended, as nobody reads any more what it prints"}


def _no_options(_: argparse.ArgumentParser) -> None:
    pass


def _is_of_local_stack(options: argparse.Namespace) -> bool:
    return options.stack == LOCAL


@dataclass(frozen=True)
class Verb:
    """One thing that the console does; each file of console/verbs has one as VERB.

    what: its help. examples: command lines without their beginning. run: does it; the exit code,
    where that is not 0. options: puts its own on the command line. is_local: whether it is about
    the local cloud. of_stack: whether it is about a stack. shows: it is to show something, so it is
    done once nobody wants to see more. exits: its own exit codes. interrupted: what to say when it
    was.
    """

    what: str
    run: Callable[[argparse.Namespace], int | None]
    examples: tuple[str, ...]
    options: Callable[[argparse.ArgumentParser], None] = _no_options
    is_local: Callable[[argparse.Namespace], bool] = _is_of_local_stack
    of_stack: bool = True
    shows: bool = False
    exits: Mapping[str, str] = field(default_factory=dict)
    interrupted: str = "interrupted; the same call takes it up again"

    def parser(self, name: str) -> argparse.ArgumentParser:
        """Its command line, behind `python -m console NAME`."""
        prog = f"python -m console {name}"
        exits = {**EXITS, **({} if self.shows else _WORKS), **self.exits}
        codes = (f"  {code:<14} {meaning}" for code, meaning in exits.items())
        examples = (f"  .venv/bin/{prog} {example}".rstrip() for example in self.examples)
        made = Parser(
            prog=prog,
            description=self.what,
            epilog="\n".join(["examples:", *examples, "", "exit codes:", *codes]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if self.of_stack:
            made.add_argument("--stack", default=LOCAL, help=f"its name; else `{LOCAL}`")
        self.options(made)
        return made


def agree(question: str, call: str) -> None:
    """Asks a person. Raises ConsoleError where the answer is not yes, or nobody is here.

    call: what agrees without being asked.
    """
    if not sys.stdin.isatty():
        raise ConsoleError(f"nobody is here to be asked: {call}")
    if input(f"{question} (yes/no) ").strip().lower() != "yes":
        raise ConsoleError("nothing was changed")


class Parser(argparse.ArgumentParser):
    """What is wrong is one line, as all else that is."""

    def error(self, message: str) -> NoReturn:
        """Says it and ends."""
        terminal.complain(terminal.shown(f"{self.prog}: {message}"))
        raise SystemExit(2)


def words(variable: str, text: str) -> list[str]:
    """What a variable of make's holds, told apart as a shell does, with nothing of it run."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConsoleError(f"{variable}={text}: {str(error).lower()}") from None
