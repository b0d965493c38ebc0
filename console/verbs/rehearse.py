"""`make rehearse`: the change of a stack's settings, played on the local cloud first.

From the settings of the stack's last update to those of now, with a count before and after. The
stack itself is only read; what is played is taken away again, whatever becomes of it.
"""

from __future__ import annotations

import argparse
import functools
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.settings import Settings, SettingsError
from console.rehearsal import (
    KEPT,
    Report,
    Setting,
    configured,
    operations,
    refusal,
    translate,
    values,
)
from console.stack import LOCAL, PROJECT, ROOT, ConsoleError, Stack, groups, require_stack
from console.timings import read_events
from console.verb import Verb
from toolchain import paths
from toolchain.env import enter
from toolchain.versions import go_modules

NAME = "rehearsal"
_JOB = "kubernetes:batch/v1:Job::wordcount"


def run(options: argparse.Namespace) -> None:
    """Plays it; prints the report. Raises ConsoleError where it can't be played, or fails."""
    stack = Stack(options.stack)
    if stack.is_local:
        raise ConsoleError("the local stack is on the local cloud already: make preview, make up")
    settings = change(stack)
    differ = [one for one in settings if one.was != one.wanted]
    if not differ:
        print(f"stack {stack.name} has the settings of its last update: nothing to rehearse")
        return
    if all(one.before == one.after for one in settings):
        keys = ", ".join(one.key for one in differ)
        raise ConsoleError(f"what differs can't be played on the local cloud: {keys}")
    enter(local=True)
    play(Report(stack.name, settings))


def change(stack: Stack) -> list[Setting]:
    """The stack's settings, of its last update and of now. Raises ConsoleError without a state."""
    now = stack.settings()
    require_stack(stack)
    resources = stack.state()["deployment"].get("resources")
    # One of a few resources (make start) has not brought all settings about.
    updates = (
        groups(one["config"])
        for one in stack.history()
        if (one["kind"], one["result"]) == ("update", "succeeded")
        and "pulumi.flag.target" not in one.get("environment", {})
    )
    last = next(updates, None) if resources else None
    if last is None:
        raise ConsoleError(f"nothing was made yet: make up STACK={stack.name}")
    # Of a group with a secret in it those of now are all that is known.
    was = {
        group: now.get(group, {})
        if entry["secret"]
        else entry.get("objectValue", entry.get("value"))
        for group, entry in last.items()
    }
    if any("kubeconfig" in (one.get("cluster") or {}) for one in (was, now)):
        raise ConsoleError(f"stack {stack.name} has no cluster of its own: nothing to rehearse")
    return translate({**values(was), **_releases(resources)}, values(now), _is_here)


def _releases(resources: list[dict[str, Any]]) -> dict[str, str]:
    """What the control plane last said that it has: the default may have been an older one."""
    for one in resources:
        printed = (one.get("outputs") or {}).get("stdout")
        if one["urn"].endswith("-control-plane-upgrade") and isinstance(printed, str):
            return dict(zip(KEPT, printed.split(), strict=False))
    return {}


def _is_here(name: str) -> bool:
    from localcloud import releases
    from localcloud.mirror import images

    of_mirror = [*images.catalogue(), *releases.further_sparks().values()]
    return (ROOT / name).exists() or images.mirror_path(name) in {one.mirrored for one in of_mirror}


def play(report: Report) -> None:
    """Plays the change on a local cloud of its own, which must be the only one here."""
    from localcloud import checks, cloud
    from localcloud.status import status

    local = Stack(LOCAL).settings()
    before, after = (
        configured({one.key: getattr(one, when) for one in report.settings}, local)
        for when in ("before", "after")
    )
    try:
        Settings.parse(groups(after["config"]))
    except SettingsError as error:
        raise ConsoleError(str(error)) from None
    lacking = _lacking(report.settings)
    checks.require_host(_say)
    cloud.refuse_foreign()
    if status()["running"]:
        raise ConsoleError("a local cloud runs on this host, and there can be one: make destroy")
    try:
        with _taken_away():
            _play(report, before, after, lacking)
        report.end = "All of it went well."
    except Exception as error:
        report.end = f"Failed: {error}"
        raise
    finally:
        file = ROOT / ".tinderbox" / "rehearse" / f"{report.stack.rpartition('/')[2]}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        paths.replace(file, str(report))
        print(f"\n{report}\nThe same as a file: {file.relative_to(ROOT)}", flush=True)


def _lacking(settings: Sequence[Setting]) -> dict[str, Callable[..., None]]:
    """What the local mirror has yet to get, and what brings it. Raises ConsoleError if it can't."""
    from localcloud import releases
    from localcloud.mirror import images

    has = go_modules()["kubernetes"].version.removeprefix("v")
    sparks = {image.mirrored: version for version, image in releases.further_sparks().items()}
    found: dict[str, Callable[..., None]] = {}
    for key, value in ((one.key, value) for one in settings for value in (one.before, one.after)):
        if key == KEPT[0] and value not in (has, *releases.known()):
            can = ", ".join((has, *releases.known()))
            raise ConsoleError(f"{key} is {value}; the local cloud can have {can}")
        if key == KEPT[0] and value != has:
            found[f"Kubernetes {value}"] = functools.partial(releases.offer, value)
        if key == "spark.image" and value and images.mirror_path(value) in sparks:
            version = sparks[images.mirror_path(value)]
            found[f"Spark {version}"] = functools.partial(releases.offer_spark, version)
    return found


def _play(
    report: Report,
    before: dict[str, Any],
    after: dict[str, Any],
    lacking: Mapping[str, Callable[..., None]],
) -> None:
    from localcloud import cloud

    stack = Stack(NAME, of_cloud=True)

    def look(events: Path) -> None:
        stack.preview("--event-log", str(events))

    stack.folder.mkdir(parents=True, exist_ok=True)
    with report.step("local cloud"):
        cloud.up(_say)
    for what, offer in lacking.items():
        with report.step(f"{what} for its mirror"):
            offer(_say)
    stack.configure(before)
    with report.step("up with the settings of the last update, and a count"):
        _told(stack, stack.up)
    report.counts.append(stack.outputs()["wordCount"])
    stack.configure(after)
    with report.step("preview of the change"):
        report.planned = _told(stack, look)
    with report.step("up with the settings of now"):
        _told(stack, stack.up)
    if "wordcount" not in report.planned:
        urns = (one["urn"] for one in stack.state()["deployment"]["resources"])
        with report.step("another count"):
            again = [f"--replace={urn}" for urn in urns if urn.endswith(_JOB)]
            _told(stack, lambda events: stack.up(events, *again))
    report.counts.append(stack.outputs()["wordCount"])
    with report.step("preview, which is to be quiet"):
        left = _told(stack, look)
    with report.step("destroy"):
        stack.destroy()
    report.require_same_count()
    if left:
        raise ConsoleError(f"an update would change something still: {', '.join(left)}")


def _told(stack: Stack, call: Callable[[Path], None]) -> dict[str, str]:
    """What an update does or would do. Raises ConsoleError, in a line, where it fails.

    call: is given the file where the engine tells it.
    """
    events = stack.folder / "events.jsonl"
    events.unlink(missing_ok=True)
    try:
        call(events)
    except ConsoleError as error:
        said = refusal(read_events(events)) if events.exists() else None
        raise ConsoleError(said or str(error)) from None
    return operations(read_events(events), f"{PROJECT}-{NAME}-")


@contextmanager
def _taken_away() -> Generator[None]:
    """In the end there is no local cloud, and this checkout has what it had."""
    from localcloud import cloud

    inventory = ROOT / "inventory.json"  # that of another stack
    had = inventory.read_bytes() if inventory.exists() else None
    try:
        yield
    finally:
        try:
            cloud.down(_say)
        finally:
            shutil.rmtree(Stack(NAME, of_cloud=True).folder, ignore_errors=True)
            inventory.unlink(missing_ok=True)
            if had is not None:
                inventory.write_bytes(had)


def _say(line: str) -> None:
    print(f"local cloud: {line}", flush=True)


VERB = Verb(
    what="Plays the change of a stack's settings on the local cloud, counting before and after.",
    examples=("--stack dev",),
    run=run,
    interrupted="interrupted; what was made is taken away (else `make destroy` does it)",
)
