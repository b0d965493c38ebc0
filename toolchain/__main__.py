"""python3 -m toolchain: gets and shows the tools of a checkout. See `--help`."""

from __future__ import annotations

import argparse
import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 (the user may call any Python)
    sys.exit(f"tools: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")

from toolchain import env, terminal  # noqa: E402 (after the check that they can be read)
from toolchain.errors import ToolchainError  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code. Errors are one line on stderr."""
    options = _parser().parse_args(arguments)
    return terminal.run(
        lambda: _run(options),
        "tools",
        (ToolchainError,),
        "interrupted; what is finished stays, the same call goes on",
        shows=options.command == "env",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m toolchain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build Go binaries into the cache, print their paths")
    build.add_argument("names", nargs="*", help="which (default: all)")
    tools = commands.add_parser("tools", help="get pulumi, helm, kubectl, plugins and the rest")
    tools.add_argument("--local", action="store_true", help="also build what the local cloud runs")
    tools.add_argument("--fresh", action="store_true", help="choose anew, ask all hosts again")
    jars = commands.add_parser("jars", help="fetch Java packages; prints the folder")
    jars.add_argument("name", help="a set of versions.toml, or any name for --packages")
    jars.add_argument("--packages", default="", help="GROUP:ARTIFACT:VERSION, with commas between")
    commands.add_parser("venv", help="make the Python environment that `.venv` leads to")
    commands.add_parser("env", help="print the environment's `export` lines")
    return parser


def _run(options: argparse.Namespace) -> None:
    if options.command == "build":
        from toolchain import builds

        builds.build(options.names or None)
        for name in options.names or builds.names():
            print(builds.location(name))
    elif options.command == "tools":
        from toolchain import tools as all_tools

        all_tools.run(local=options.local, fresh=options.fresh)
    elif options.command == "venv":
        from toolchain import venv

        venv.make()
    elif options.command == "jars":
        from toolchain import jars as java

        packages = tuple(options.packages.split(",")) if options.packages else ()
        wanted = java.Jars(options.name, packages) if packages else java.pinned(options.name)
        print(java.link(wanted).relative_to(java.paths.CHECKOUT))
    else:
        print(env.shell())


if __name__ == "__main__":
    env.enter()
    os.umask(0o022)  # the local cloud's machines and pods get some of it
    sys.exit(main())
