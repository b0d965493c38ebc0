"""python -m tests.unit.changes: writes docs/changes.md, the table of what each change does.

Each row is planned twice, before and after the change, with the program as it is; what the engine
would then do follows from the inputs that differ, from the properties that AWS can't change, and
from the program's own hooks. What is restarted follows from the scripts of the steps that run
again, and from what helm makes of a chart before and after. How long it took is what tests on the
local cloud saw (tests/seen.py). tests/unit/test_changes.py holds that the table is current.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from components.cluster import steps
from components.settings import SettingsError
from standins.aws.provider import AwsProvider
from tests import seen
from tests.unit.plan import MINIMAL, ROOT, Made, Plan, ask, plan, planned
from toolchain.env import environment

DOCUMENT = ROOT / "docs" / "changes.md"
Settings = Mapping[str, Mapping[str, Any]]

HEAD = """\
# What a change does

<!-- python -m tests.unit.changes writes this page; do not edit it. -->

`make preview` (or `pulumi preview`) tells the same of your stack. Here it is of one with a control
plane and two workers. A step that runs again finds nothing to do on a node that is right. What is
refused is refused in the preview, before anything is touched. What is not named stays as it is.
Nodes that another type stops, or that are made anew, go one after the other, drained
([how](upgrade.md#another-type)).

Restarted is, at most, what the scripts of these steps restart: one that has nothing to do restarts
nothing. Pods are replaced where their template differs, as their rollout says. All else runs on.
Seen is what an update took that did this and nothing else, on the local cloud (`make e2e`,
`make e2e-long`), with the machine's number and the day; where nothing stands, no test plays it.

| change | goes on, updated in place | is new, made anew, or goes | restarted | seen | refused |
|---|---|---|---|---|---|
"""

VERBS = """
Whole verbs, on the same machines:

| verb | seen |
|---|---|
"""

PI = {"app": "spark_jobs/pi.py"}
DAILY = {**PI, "schedule": "@daily"}
AWS = {handler.token: handler for handler in AwsProvider.handlers}


@dataclass(frozen=True)
class Kind:
    """A kind of change: settings before and after it; script: a node's script that differs."""

    title: str
    before: Settings = field(default_factory=dict)
    after: Settings = field(default_factory=dict)
    script: str = ""


def kinds(jars: tuple[str, str]) -> list[Kind]:
    """All rows, in their order; jars: two folders with different ones."""
    priced, spot = {"price": 0.05}, {"nodes": {"spot": True}}
    three = {"nodes": {"controlPlanes": 3, "count": 5}}
    opex = {"nodes": priced, "opex": {"engine": "kube-resource-report"}}
    s3 = {"region": "eu-central-1", "accessKey": "a", "secretKey": "b"}
    here = {"spark": {"jars": jars[0]}, "s3": s3}
    return [
        Kind("a node more", {}, {"nodes": {"count": 4}}),
        Kind("a node fewer", {"nodes": {"count": 4}}, {}),
        Kind("the last worker goes", {"nodes": {"count": 2}}, {"nodes": {"count": 1}}),
        Kind("a group of workers more", {}, group()),
        Kind("a group has a node more", group(), group(count=2)),
        Kind("a group's other labels and taints", group(), group(labels={"team": "b"}, taints=[])),
        Kind("a group of workers fewer", group(), {}),
        Kind("another type of nodes", {}, {"nodes": {"type": "t3.large"}}),
        Kind("another type of spot nodes", spot, {"nodes": {"spot": True, "type": "t3.large"}}),
        Kind("a newer image, not asked for", {"nodes": {"image": "ami-00000000"}}, {}),
        Kind("another image", {}, {"nodes": {"image": "ami-00000000"}}),
        Kind("bigger disks", {}, {"nodes": {"diskGiB": 40}}),
        Kind("smaller disks", {"nodes": {"diskGiB": 40}}, {}),
        Kind("spot on", {}, spot),
        Kind("spot off", spot, {}),
        Kind("three control planes for one", {}, three),
        Kind("one control plane for three", three, {}),
        Kind("another network", {}, {"network": {"cidr": "10.50.0.0/16"}}),
        Kind("another zone", {}, {"network": {"zone": "eu-central-1b"}}),
        Kind("another operator", {}, {"network": {"operatorCidr": "198.18.0.2/32"}}),
        Kind("Kubernetes: a patch", *_versions("1.36.4", "1.36.5")),
        Kind("Kubernetes: the next minor release", *_versions("1.36.4", "1.37.2")),
        Kind("Kubernetes: over a minor release", *_versions("1.35.8", "1.37.2")),
        Kind("Kubernetes: back", *_versions("1.36.4", "1.36.3")),
        Kind("another containerd", *_versions("2.4.2", "2.4.3", "containerdVersion")),
        Kind("the version is no longer set", *_versions("1.36.4", None)),
        Kind("another range of pods", {}, {"cluster": {"podCidr": "10.200.0.0/16"}}),
        Kind("another range of services", {}, {"cluster": {"serviceCidr": "10.100.0.0/16"}}),
        Kind("a mirror", {}, {"mirror": {"registry": "http://10.0.0.9:5000"}}),
        Kind("a node's script: containerd.sh", script="containerd.sh"),
        Kind("a node's script: init.sh", script="init.sh"),
        Kind("a Spark worker more", {}, {"spark": {"workers": 3}}),
        Kind("more memory for Spark's workers", {}, {"spark": {"workerMemoryMiB": 1280}}),
        Kind("another Spark", {}, {"spark": {"image": "docker.io/apache/spark:4.1.0-python3"}}),
        Kind("no history server", {}, {"spark": {"history": False}}),
        Kind("Spark Connect on", {}, {"spark": {"connect": True}}),
        Kind("other jars", here, {**here, "spark": {"jars": jars[1]}}),
        Kind("another key of the S3 store", here, {**here, "s3": {**s3, "secretKey": "c"}}),
        Kind("a namespace more", {}, {"namespaces": {"etl": {}}}),
        Kind("another quota", {"namespaces": {"etl": {}}}, {"namespaces": {"etl": {"cpu": 3}}}),
        Kind("a namespace fewer", {"namespaces": {"etl": {}}}, {}),
        Kind("another text", {}, {"wordCount": {"input": "Pulumi.yaml"}}),
        Kind("another count (lowercase)", {}, {"wordCount": {"lowercase": True}}),
        Kind("an application more", {}, _runs(PI)),
        Kind("another argument of it", _runs(PI), _runs({**PI, "args": ["9"]})),
        Kind("it gets a schedule", _runs(PI), _runs(DAILY)),
        Kind("another schedule", _runs(DAILY), _runs({**DAILY, "schedule": "@weekly"})),
        Kind("an application fewer", _runs(PI), {}),
        Kind("cost analytics on", {"nodes": priced}, opex),
        Kind("another price", opex, {**opex, "nodes": {"price": 0.06}}),
    ]


def group(**changes: Any) -> Settings:
    """A group of one node; changes: to its settings."""
    more = {"labels": {"team": "a"}, "taints": ["dedicated=team:NoSchedule"], **changes}
    return {"workers": {"more": more}}


def _runs(application: Mapping[str, Any]) -> Settings:
    return {"applications": {"pi": application}}


def _versions(was: str, wanted: str | None, key: str = "version") -> tuple[Settings, Settings]:
    after: Settings = {} if wanted is None else {"cluster": {key: wanted}}
    return {"cluster": {key: was}}, after


@dataclass(frozen=True)
class Effect:
    """What the engine would do: names of resources without the stack's prefix."""

    updated: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    refused: str = ""

    def row(self, title: str, seen: str) -> str:
        """As the table has it."""
        restarted = "; ".join(self.restarted)
        cells = (title, _listed(self.updated), _listed(self.made), restarted, seen, self.refused)
        return f"| {' | '.join(cells)} |\n"


def effect(kind: Kind) -> Effect:
    """What becomes of a stack with the settings before when it gets those after."""
    before = planned(_merged(kind.before))
    try:
        after = _after(kind)
        _ask_aws(before, after, kind)
        updated, made = _differences(before, after)
        if anew := {key for key in before.options if key[1] in made} & after.options.keys():
            # What is made anew has another id, and so others are as well.
            recorder = Plan(anew=anew)
            after = plan(_merged(kind.after), recorder=recorder)
            updated, made = _differences(before, after)
        _ask_hooks(before, after, updated)
    except (ValueError, SettingsError) as error:
        return Effect(refused=str(error).removeprefix("tinderbox:"))
    return Effect(
        _names(name for _, name in updated),
        _names(made),
        tuple(_restarted(before, after, updated, made)),
    )


def _merged(settings: Settings) -> dict[str, Any]:
    return {key: {**MINIMAL.get(key, {}), **settings.get(key, {})} for key in {*MINIMAL, *settings}}


def _after(kind: Kind) -> Plan:
    if not kind.script:
        return planned(_merged(kind.after))
    with tempfile.TemporaryDirectory() as folder:
        for script in steps._SCRIPTS.iterdir():
            text = script.read_text() + ("true\n" if script.name == kind.script else "")
            (Path(folder) / script.name).write_text(text)
        with mock.patch.object(steps, "_SCRIPTS", Path(folder)):
            return plan(_merged(kind.after))


def _ask_aws(before: Plan, after: Plan, kind: Kind) -> None:
    """The program once more, where some of what AWS has stays, whatever is asked.

    Raises SettingsError where the program refuses that.
    """
    stays = {
        key: {
            name: old.inputs[name] for name in after.options[key].ignore_changes & old.inputs.keys()
        }
        for old in before.made
        if old.type.startswith("aws:") and (key := (old.type, old.name)) in after.options
    }
    if any(
        after.outputs[key].get(name) != value
        for key, kept in stays.items()
        for name, value in kept.items()
    ):
        plan(_merged(kind.after), recorder=Plan(stays=stays))


def _differences(before: Plan, after: Plan) -> tuple[set[tuple[str, str]], set[str]]:
    """(type, name) of what is updated; names of what is new, gone or made anew."""
    old, new = ({(made.type, made.name): made for made in one.made} for one in (before, after))
    made = {name for key in old.keys() ^ new.keys() for name in [key[1]]}
    updated = set()
    for key in old.keys() & new.keys():
        differ = set(_differing(old[key].inputs, new[key].inputs))
        ignored = after.options[key].ignore_changes
        differ = {path for path in differ if path.split(".")[0] not in ignored}
        was, options = before.options[key], after.options[key]
        triggered = was.replacement_trigger != options.replacement_trigger
        if not differ and not triggered:
            continue
        if triggered or differ & options.replaced_for or _is_made_anew(new[key], differ):
            made.add(key[1])
        else:
            updated.add(key)
    return updated, made


def _differing(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Paths of what differs, such as rootBlockDevice.volumeSize; a list counts as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from _differing(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
    elif old != new:
        yield path


def _is_made_anew(made: Made, differ: Iterable[str]) -> bool:
    """Whether the provider can't change these in place."""
    if made.type in AWS:
        force = AWS[made.type].force_new
        return any(path in force or path.split(".")[0] in force for path in differ)
    if made.type.startswith("command:"):
        return any(path.split(".")[0] in ("triggers", "source", "remotePath") for path in differ)
    if made.type == "kubernetes:batch/v1:Job":
        return True  # its template can't change
    return any(path in ("metadata.name", "metadata.namespace") for path in differ)


def _ask_hooks(before: Plan, after: Plan, updated: Iterable[tuple[str, str]]) -> None:
    """Raises ValueError as the program's hooks do in the preview."""
    old, new = ({(made.type, made.name): made for made in one.made} for one in (before, after))
    for key in sorted(updated):
        for name in sorted(after.options[key].fixed_by & after.hooks.keys()):
            if not key[0].startswith("kubernetes:"):  # those look into a cluster
                outputs = before.outputs[key]
                given = (old[key].inputs, new[key].inputs, new[key].secrets, outputs)
                ask(after.hooks[name], *given, key[1])


def _restarted(
    before: Plan, after: Plan, updated: set[tuple[str, str]], made: set[str]
) -> Iterator[str]:
    """Nodes, what steps that run again restart, and pods that are not what they were."""
    old, new = ({(made.type, made.name): made for made in one.made} for one in (before, after))
    stopped = [
        key[1]
        for key in updated
        if old[key].inputs.get("instanceType") != new[key].inputs.get("instanceType")
    ]
    if stopped:
        yield f"nodes ({_listed(_names(stopped))})"
    # What has something to undo restarts at most then.
    run = [new[key] for key in sorted(updated) if "delete" not in new[key].inputs]
    run += [old[key] for key in sorted(old) if key[1] in made and "delete" in old[key].inputs]
    steps: dict[str, list[str]] = {}
    for step in run:
        if step.type == "command:remote:Command" and (what := _restarts(step.inputs["stdin"])):
            steps.setdefault(", ".join(what), []).append(step.name)
    for what, names in steps.items():
        yield f"{what} ({_listed(_names(names))})"
    for key in sorted(updated):
        if key[0] == "kubernetes:helm.sh/v3:Release":
            was, now = (_templates(made.inputs) for made in (old[key], new[key]))
            if pods := sorted(name for name in was.keys() & now.keys() if was[name] != now[name]):
                yield f"pods of {_listed(pods)}"


_CALLED = {"drain": "pods by a drain", "kubeadm upgrade": "the control plane's pods"}


def _restarts(script: str) -> list[str]:
    found = re.findall(
        r"(?:systemctl (?:try-)?restart|start_service) ([a-z]+)"
        r"|kubectl (drain)|(kubeadm upgrade) apply",
        script.rpartition("step() {")[2],  # behind the functions of lib.sh
    )
    words = {word for words in found for word in words if word}
    return sorted(_CALLED.get(word, word) for word in words)


def _templates(release: Mapping[str, Any]) -> dict[str, Any]:
    """The pod templates of a helm release's workloads, by their names."""
    return _rendered(
        *(release[name] for name in ("name", "chart", "namespace")),
        json.dumps(release["values"], sort_keys=True),
    )


@functools.cache
def _rendered(name: str, chart: str, namespace: str, values: str) -> dict[str, Any]:
    done = subprocess.run(
        ["helm", "template", name, chart, "--values", "-", "--namespace", namespace],
        input=values,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    specs = {one["metadata"]["name"]: one.get("spec") or {} for one in objects}
    return {name: spec["template"] for name, spec in specs.items() if "template" in spec}


def _names(names: Iterable[str]) -> tuple[str, ...]:
    short = {name.removeprefix("tinderbox-test-") for name in names}
    return tuple(
        sorted(re.sub(r"(worker|more|control-plane)-\d+", r"\1-N", name) for name in short)
    )


def _listed(names: Iterable[str]) -> str:
    """Steps of every node are told once: `*-packages`."""
    return ", ".join(f"`{name}`" for name in sorted(dict.fromkeys(names)))


def told(found: Mapping[str, Mapping[str, Any]], machines: list[str], change: str) -> str:
    """What was seen of a change: seconds, the machine's number, and the day."""
    if change not in found:
        return ""
    one = found[change]
    return f"{one['seconds']} s ({machines.index(one['machine']) + 1}; {one['date']})"


def page() -> str:
    """The whole document."""
    found = seen.load(seen.KEPT)
    machines = sorted({one["machine"] for one in found.values()})
    with tempfile.TemporaryDirectory(dir=ROOT / ".tinderbox") as folder:
        jars = tuple(f"{folder}/{name}" for name in ("one", "two"))
        for name in jars:
            os.mkdir(name)
            (Path(name) / f"{Path(name).name}.jar").write_text(name[-3:])
        rows = [
            effect(kind).row(kind.title, told(found, machines, kind.title))
            for kind in kinds((jars[0], jars[1]))
        ]
    verbs = [name for name in sorted(found) if name.startswith("make ")]
    return "".join(
        [
            *(HEAD, *rows, *([VERBS] if verbs else [])),
            *(f"| `{name}` | {told(found, machines, name)} |\n" for name in verbs),
            *(f"\n{number}: {machine}\n" for number, machine in enumerate(machines, 1)),
        ]
    )


if __name__ == "__main__":
    seen.save(seen.KEPT, seen.load(seen.KEPT, seen.FOUND))
    DOCUMENT.write_text(page())
