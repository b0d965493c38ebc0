"""python -m console VERB: what the Makefile calls."""

from __future__ import annotations

import argparse
import json
import sys
import time

from console import opex, report, settings, status, timings, ui, usage
from console.stack import ROOT, ConsoleError, Stack, find_input
from localcloud.errors import CloudError
from toolchain.errors import ToolchainError


def say(text: str) -> None:
    """One line of progress of the local cloud."""
    print(f"local cloud: {text}", flush=True)


def up(stack: Stack, input_: str | None) -> None:
    """From nothing to the top words, and where the time went."""
    started = time.time()
    text = find_input(input_) if input_ else None
    if stack.is_local:
        from localcloud import cloud

        cloud.up(say)
    cloud_up = time.time()
    stack.prepare()
    if text:
        stack.choose_input(text)
    stack.folder.mkdir(parents=True, exist_ok=True)
    events = stack.folder / "events.jsonl"
    events.unlink(missing_ok=True)
    stack.up(events)
    result = stack.outputs()["wordCount"]
    phases = timings.phases(timings.read_events(events), origin=started)
    if stack.is_local:
        phases.insert(0, timings.Phase("local cloud", 0.0, cloud_up - started))
    total = time.time() - started
    run = {"wordCount": result, "phases": timings.as_json(phases), "seconds": round(total, 1)}
    (stack.folder / "last-run.json").write_text(json.dumps(run, indent=2) + "\n")
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


def main() -> int:
    """Runs one verb; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m console", description=__doc__)
    verbs = ["up", "destroy", "preview", "status", "ui", "outputs", "usage", "settings"]
    verbs += ["opex", "opex-forward"]
    parser.add_argument("verb", choices=verbs)
    parser.add_argument("--stack", default="local")
    parser.add_argument("--input", help="the text to count: a file or a folder")
    parser.add_argument("--run", help="an application's id; by default that of the latest one")
    options = parser.parse_args()
    try:
        stack = Stack(options.stack)
        if options.verb == "up":
            up(stack, options.input)
        elif options.verb == "destroy":
            destroy(stack)
        elif options.verb == "preview":
            stack.prepare()
            stack.preview("--diff")
        elif options.verb == "status":
            status.show(stack)
        elif options.verb == "ui":
            ui.serve(stack)
        elif options.verb == "settings":
            settings.show(stack)
        elif options.verb == "usage":
            usage.show(stack, options.run)
        elif options.verb == "opex":
            opex.show(stack)
        elif options.verb == "opex-forward":
            opex.forward(stack)
        else:
            print(json.dumps(stack.outputs(), indent=2))
    except (ConsoleError, CloudError, ToolchainError) as error:
        print(f"{options.verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{options.verb}: interrupted; the same call takes it up again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
