"""python -m localcloud up | status | down | mirror | interrupt | {release,containerd,spark}."""

from __future__ import annotations

import argparse
import json
import os
import sys

from localcloud.errors import CloudError
from toolchain import terminal
from toolchain.env import enter
from toolchain.errors import ToolchainError


def main(arguments: list[str]) -> int:
    """Run one command; the exit code is 1, with one line on stderr, if it could not."""
    parser = argparse.ArgumentParser(
        prog="python -m localcloud",
        description="An AWS API on this host whose instances are real machines.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start it, or what is missing of it")
    status = commands.add_parser("status", help="what runs")
    status.add_argument("--json", action="store_true", help="for programs")
    down = commands.add_parser("down", help="take all of it away")
    down.add_argument("--force", action="store_true", help="also that of another checkout")
    commands.add_parser("mirror", help="build what machines install from, and start nothing")
    notice = commands.add_parser("interrupt", help="take a spot instance away, after notice")
    notice.add_argument("instance")
    notice.add_argument("--seconds", type=int, default=120, help="the notice; else 120")
    for name, what in (("release", "Kubernetes"), ("containerd", "containerd"), ("spark", "Spark")):
        further = commands.add_parser(name, help=f"a further {what} in the running one's mirror")
        further.add_argument("version", nargs="?", help="which; without one: those that there are")
    options = parser.parse_args(arguments)
    return terminal.run(
        lambda: _run(options),
        "localcloud",
        (CloudError, ToolchainError, OSError),
        "interrupted",
        shows=options.command == "status",
    )


def _run(options: argparse.Namespace) -> None:
    # Imported here, so that a host without what they need still gets --help and clear errors.
    if options.command == "status":
        from localcloud import status

        if os.geteuid() != 0:
            raise CloudError("the state of the local cloud is root's; try: sudo")
        state = status.status()
        print(json.dumps(state, indent=1) if options.json else status.table(state))
        return
    if options.command == "interrupt":
        from localcloud.api import client

        client.interrupt(options.instance, options.seconds)
        _say(f"{options.instance} has notice, and goes in {options.seconds} s")
        return
    from localcloud import cloud, mirror, releases

    if options.command == "up":
        cloud.up(_say)
    elif options.command == "down":
        cloud.down(_say, options.force)
    elif options.command == "mirror":
        mirror.ensure(_say)
    else:
        known, offer = {
            "release": (releases.known, releases.offer),
            "containerd": (releases.known_containerds, releases.offer_containerd),
            "spark": (releases.known_sparks, releases.offer_spark),
        }[options.command]
        if options.version is None:
            print("\n".join(known()))
        else:
            offer(options.version, _say)


def _say(text: str) -> None:
    print(f"localcloud: {text}", flush=True)


if __name__ == "__main__":
    enter(local=True)
    sys.exit(main(sys.argv[1:]))
