"""python -m console VERB: what the Makefile calls."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time

from console import backup, opex, report, status, timings, ui, usage
from console.stack import LOCAL, ROOT, ConsoleError, Stack, find_input
from localcloud.errors import CloudError
from toolchain import paths, terminal
from toolchain.env import enter
from toolchain.errors import ToolchainError

# These work, and are not done when nobody reads any more what they print.
_WORK = ("up", "destroy", "preview", "submit", "backup", "restore")


def say(text: str) -> None:
    """One line of progress of the local cloud."""
    print(f"local cloud: {text}", flush=True)


def _control_plane(stack: Stack) -> str | None:
    """The instance that is the control plane by the outputs; None where there is none."""
    nodes = stack.outputs().get("nodes") if stack.exists() else None
    return nodes[0]["instanceId"] if nodes else None


def up(stack: Stack, input_: str | None, refresh: bool = False) -> None:
    """From nothing to the top words, and where the time went.

    refresh: looks first what is left of what there was, and makes anew what is gone.
    """
    started = time.time()
    encoding, shared = stack.encoding, not stack.is_local
    text = find_input(input_, shared=shared, encoding=encoding) if input_ else None
    if stack.is_local:
        from localcloud import cloud

        cloud.up(say)
    cloud_up = time.time()
    stack.prepare(text)
    stack.folder.mkdir(parents=True, exist_ok=True)
    events = stack.folder / "events.jsonl"
    events.unlink(missing_ok=True)
    before = _control_plane(stack) if refresh else None
    if before:
        stack.refresh()
    stack.up(events)
    status.require_answer(stack)
    if before and before != _control_plane(stack):
        print("\nThe control plane is another one: what is newer than its snapshot comes now\n")
        stack.refresh()
        stack.up(events)
    result = stack.outputs()["wordCount"]
    phases = timings.phases(timings.read_events(events), origin=started)
    if stack.is_local:
        phases.insert(0, timings.Phase("local cloud", 0.0, cloud_up - started))
    total = time.time() - started
    run = {"wordCount": result, "phases": timings.as_json(phases), "seconds": round(total, 1)}
    paths.replace(stack.folder / "last-run.json", json.dumps(run, indent=2) + "\n")
    print(f"\n{report.top_words(result)}\n\n{report.used(result['usage'])}")
    print(f"\nWhere {total:.0f} s went (phases overlap):")
    print(timings.chart(phases))
    print(f"\nThe same as JSON: {(stack.folder / 'last-run.json').relative_to(ROOT)}")


def destroy(stack: Stack) -> None:
    """Takes the stack away, and with the local one its cloud."""
    if not stack.is_local:
        stack.destroy()
        return
    from localcloud import cloud
    from localcloud.status import status as cloud_status

    try:
        if cloud_status()["running"] and stack.exists() and stack.config_file.exists():
            stack.destroy()
    finally:
        cloud.down(say)


def words(variable: str, text: str) -> list[str]:
    """What a variable of make's holds, told apart as a shell does, with nothing of it run."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConsoleError(f"{variable}={text}: {str(error).lower()}") from None


def submit(options: argparse.Namespace) -> int:
    """Runs an application as `make submit` names it."""
    from console import submit

    given = [*words("OPTIONS", options.options), f"--stack={options.stack}"]
    return submit.main([*given, "--", options.app, *words("ARGS", options.arguments)])


def parser() -> argparse.ArgumentParser:
    """The command line. What is empty is not given: make has no other way to say so."""
    made = argparse.ArgumentParser(prog="python -m console", description=__doc__)
    verbs = ["up", "destroy", "preview", "status", "ui", "outputs", "usage"]
    verbs += ["opex", "opex-forward", "settings", "submit", "backup", "restore"]
    made.add_argument("verb", choices=verbs)
    made.add_argument("--stack", default=LOCAL)
    made.add_argument("--input", help="the text to count: a file or a folder")
    made.add_argument("--refresh", action="store_true", help="look first what is gone")
    made.add_argument("--snapshot", default="", help="its name; without it, which there are")
    made.add_argument("--yes", action="store_true", help="don't ask")
    made.add_argument("--run", help="an application's id; by default that of the latest one")
    made.add_argument("--app", default="", help="to submit")
    made.add_argument("--arguments", default="", help="of the application, as in a shell")
    made.add_argument("--options", default="", help="of console.submit, as in a shell")
    return made


def run(options: argparse.Namespace) -> int | None:
    """Runs one verb; returns the exit code, if it isn't 0."""
    if options.verb == "submit":
        return submit(options)
    stack = Stack(options.stack)
    if options.verb == "up":
        up(stack, options.input, options.refresh)
    elif options.verb == "destroy":
        destroy(stack)
    elif options.verb == "preview":
        stack.prepare()
        stack.preview("--diff")
    elif options.verb == "backup":
        backup.make(stack)
    elif options.verb == "restore":
        backup.restore(stack, options.snapshot, agreed=options.yes)
    elif options.verb == "status":
        status.show(stack)
    elif options.verb == "ui":
        ui.serve(stack)
    elif options.verb == "settings":
        from console import settings  # loads Pulumi and the models, which the others don't need

        settings.show(stack)
    elif options.verb == "usage":
        usage.show(stack, options.run)
    elif options.verb == "opex":
        opex.show(stack)
    elif options.verb == "opex-forward":
        opex.forward(stack)
    else:
        print(json.dumps(stack.outputs(), indent=2))
    return None


def main() -> int:
    """Runs the command line; returns the exit code."""
    options = parser().parse_args()
    enter(local=options.stack == LOCAL)
    return terminal.run(
        lambda: run(options),
        options.verb,
        (ConsoleError, CloudError, ToolchainError),
        "interrupted; the same call takes it up again",
        shows=options.verb not in _WORK,
    )


if __name__ == "__main__":
    sys.exit(main())
