"""python3 -m toolchain: gets and shows the tools of a checkout. See `--help`."""

from __future__ import annotations

import argparse
import sys

from toolchain.errors import ToolchainError


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code. Errors are one line on stderr."""
    parser = argparse.ArgumentParser(prog="python3 -m toolchain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build Go binaries into the cache, print their paths")
    build.add_argument("names", nargs="*", help="which (default: all)")
    options = parser.parse_args(arguments)
    try:
        if options.command == "build":
            from toolchain import builds

            builds.build(options.names or None)
            for name in options.names or builds.names():
                print(builds.location(name))
    except ToolchainError as error:
        print(f"tools: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tools: interrupted; what is finished stays, the same call goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
