"""make rehearse: what of a change is played, what the report says, and that nothing is left."""

from __future__ import annotations

import argparse
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from components.settings import Settings
from components.settings.groups import keys, kind_of
from console import stack as module
from console.rehearsal import (
    RULES,
    Report,
    Setting,
    configured,
    operations,
    refusal,
    translate,
    values,
)
from console.stack import ROOT, ConsoleError, Stack, groups
from console.verbs import rehearse
from localcloud import checks, cloud, releases, status
from localcloud.errors import CloudError
from tests.unit.plan import MINIMAL
from toolchain import terminal

LOCAL = Stack("local", env={"PATH": ""}).settings()
DEV = argparse.Namespace(stack="dev")


# ---- the translation


@pytest.mark.parametrize(
    ("key", "was", "wanted", "before", "after"),
    [
        ("nodes.count", 3, 4, 2, 3),
        ("nodes.count", 5, 8, 2, 3),
        ("nodes.count", 4, 1, 3, 1),
        ("nodes.count", 12, 12, 3, 3),
        ("nodes.count", None, 2, 3, 2),  # three is the default
        ("nodes.type", "m5.xlarge", "m5.2xlarge", "t3.medium", "t3.large"),
        ("nodes.type", "m5.xlarge", "m5.xlarge", "t3.medium", "t3.medium"),
        ("nodes.diskGiB", 100, 50, 40, 20),
        ("nodes.spot", False, True, False, True),
        (
            "workers.big",
            {"count": 5, "type": "m5.large", "spot": True},
            {"count": 9, "type": "m5.xlarge", "spot": True},
            {"count": 1, "type": "t3.medium", "spot": True},
            {"count": 2, "type": "t3.large", "spot": True},
        ),
        ("workers.big", None, {"count": 5}, None, {"count": 1, "type": "t3.medium"}),
        ("network.zone", "us-east-1f", "us-east-1c", "eu-central-1a", "eu-central-1b"),
        ("network.zone", None, "us-east-1f", None, "eu-central-1a"),
        ("network.operatorCidr", "198.18.0.1/32", "198.18.0.2/32", "10.43.0.1/32", "10.43.0.0/24"),
        ("spark.workers", None, 9, None, 2),
        ("spark.workerMemoryMiB", 8192, 4096, 1280, 1024),
        ("spark.image", "acme.io/spark:1", "docker.io/apache/spark:4.2.0-python3", None, "here"),
        ("wordCount.input", "README.md", "/srv/shared/book", "README.md", None),
        ("wordCount.input", "s3a://books/all", "docs", None, "docs"),
        ("wordCount.lowercase", False, True, False, True),
        ("cluster.version", "1.36.4", None, "1.36.4", "1.36.4"),  # it keeps what it has
        ("cluster.version", "1.36.4", "1.36.5", "1.36.4", "1.36.5"),
        ("cluster.containerdVersion", "2.4.1", "2.4.2", None, None),
        ("opex.engine", None, "kube-opex-analytics", None, "kube-resource-report"),
        ("s3.endpoint", None, "https://s3.acme.io", None, None),
        ("aws.region", "us-east-1", "us-east-1", None, None),
        ("namespaces.etl", {}, {"cpu": 3}, {}, {"cpu": 3}),
    ],
)
def test_a_change_is_played_as_far_as_it_can_be(key, was, wanted, before, after):
    def is_here(name: str) -> bool:
        return name in ("README.md", "docs", "docker.io/apache/spark:4.2.0-python3")

    both = ({} if one is None else {key: one} for one in (was, wanted))
    (made,) = translate(*both, is_here)
    assert made.before == before
    assert made.after == (wanted if after == "here" else after)


@pytest.mark.parametrize("key", RULES)
def test_each_rule_is_of_a_key_that_there_is_and_gives_what_it_takes(key: str) -> None:
    assert key in keys() or key in {name.partition(".")[0] for name in keys()}
    if key == "workers":  # each of its keys is a group
        sizes = [{"count": count} for count in (7, 7, 99, 7)]
        for one in itertools.chain.from_iterable(map(RULES[key], sizes, sizes[1:])):
            assert Settings.parse({**MINIMAL, "workers": {"big": one}}).workers["big"].count <= 2
        return
    for both in ((700, 700), (700, 9999), (9999, 700)):
        for value in RULES[key](*both):
            assert value is None or kind_of(keys()[key]).take(value) == value


@pytest.mark.parametrize(
    "config",
    [
        {"s3": {"secretKey": "plain"}, "aws": {"accessKey": "plain"}},
        {"nodes": {"price": {"secure": "v1:plain"}}},
        {"nodes": {"secure": "v1:plain"}},
        {"cluster": {"kubeconfig": "plain"}},
    ],
)
def test_a_secret_is_no_value(config: dict[str, Any]) -> None:
    assert values(config) == {}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"nodes": {"count": 900}},
            "^nodes.count is 900; it must be a whole number of at most 250$",
        ),
        ({"nodes.count": 4}, "^nodes.count must have keys below it"),
    ],
)
def test_what_a_key_does_not_take_is_named(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConsoleError, match=said):
        values(config)


def test_what_is_played_is_a_configuration_of_the_local_cloud() -> None:
    played = {"nodes.count": 2, "namespaces.etl": {}, "wordCount.input": None}
    made = groups(configured(played, LOCAL)["config"])
    assert Settings.parse(made).nodes.count == 2
    assert made["aws"] == LOCAL["aws"] and made["mirror"] == LOCAL["mirror"]
    assert made["namespaces"] == {"etl": {}} and "wordCount" not in made


def test_the_page_names_each_rule() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("| settings | are played |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([\w.*]+)`", table))
    ranges = {"network.cidr", "cluster.podCidr", "cluster.serviceCidr"}
    rules = {key if "." in key else f"{key}.*" for key in RULES.keys() - ranges}
    assert rules <= named | {"storage.storageClass"}  # which a cluster of its own has not


# ---- the engine's events


def event(op: str, name: str) -> dict[str, Any]:
    return {
        "resourcePreEvent": {
            "metadata": {"op": op, "urn": f"urn:pulumi:a::b::c::tinderbox-rehearsal-{name}"}
        }
    }


def test_operations_are_told_once_a_resource() -> None:
    events = [
        event("same", "a"),
        event("create", "b"),
        event("create-replacement", "c"),
        event("replace", "c"),
        event("delete-replaced", "c"),
        event("update", "d"),
        event("delete", "e"),
        {"summaryEvent": {}},
    ]
    told = {"b": "is new", "c": "is made anew", "d": "is updated in place", "e": "goes"}
    assert operations(events, "tinderbox-rehearsal-") == told


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            ['Preview failed: before hook "h" failed: nodes.type is a\n', "preview failed\n"],
            "nodes.type is a",
        ),
        (["tinderbox:nodes.count is 7; it must be\n\n"], "tinderbox:nodes.count is 7; it must be"),
        (['updating X: status 1: running "sudo bash -s":\nnodes.type is a\n'], "nodes.type is a"),
        (["update failed\n"], None),
        ([], None),
    ],
)
def test_a_refusal_is_a_line(said: list[str], line: str | None) -> None:
    events: list[dict[str, Any]] = [
        {"diagnosticEvent": {"prefix": "error: ", "message": one, "severity": "error"}}
        for one in said
    ]
    info = {"diagnosticEvent": {"message": "info: Kubernetes a becomes b\n"}}
    assert refusal([info, *events]) == line


# ---- the whole of it, with all that it calls made up


def count(words: int = 7) -> dict[str, Any]:
    top = [{"word": "a", "count": words}]
    return {
        **{"words": words, "distinct": 1, "top": top, "input": "README.md"},
        **{"sparkVersion": "4.2.0", "seconds": 1.0},
    }


class Fake:
    """A stack `dev` with a history, and a local cloud; notes what is done there.

    breaks: the call that raises `error`. planned: of the first preview; the second is quiet.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.done: list[str] = []
        self.breaks = ""
        self.error: BaseException = ConsoleError("broken")
        self.counts = [count(), count()]
        self.planned: list[list[dict[str, Any]]] = [[event("create", "worker-2")], []]
        self.now: dict[str, Any] = {"nodes": {"count": 4}}
        self.resources: list[dict[str, Any]] = [{"urn": "x"}]
        self.last: dict[str, Any] = {
            "nodes": {"objectValue": {"count": 3}, "secret": False},
            "s3": {"secret": True},
        }
        (folder / "Pulumi.yaml").write_text("config: {}")
        (folder / "Pulumi.local.yaml").write_text((ROOT / "Pulumi.local.yaml").read_text())

    def does(self, what: str) -> None:
        self.done.append(what)
        if what == self.breaks:
            raise self.error

    def write(self) -> None:
        config = {f"tinderbox:{group}": given for group, given in self.now.items()}
        (self.root / "Pulumi.dev.yaml").write_text(json.dumps({"config": config}))

    def pulumi(self, stack: Stack, *arguments: str, **_: Any) -> str:
        if stack.name == "dev":
            return self._of_dev(*arguments)
        said = " ".join(arguments)
        if arguments[0] == "preview":
            self.does("preview")
            planned = self.planned.pop(0)
            Path(arguments[-1]).write_text("\n".join(map(json.dumps, planned)))
            if any("diagnosticEvent" in one for one in planned):
                raise ConsoleError("pulumi preview failed (exit code 1)")
        elif "output" in arguments:
            return json.dumps({"wordCount": self.counts.pop(0)})
        elif "export" in arguments:
            urn = "urn:pulumi:rehearsal::tinderbox::a$kubernetes:batch/v1:Job::wordcount"
            return json.dumps({"deployment": {"resources": [{"urn": urn, "type": "", "x": 1}]}})
        elif arguments[0] in ("up", "destroy"):
            self.does("count" if "--replace=" in said else arguments[0])
            if "--event-log" in arguments:
                Path(arguments[arguments.index("--event-log") + 1]).touch()
            (self.root / "inventory.json").write_text("the rehearsal's")
        return ""

    def _of_dev(self, *arguments: str) -> str:
        if arguments[:2] == ("stack", "export"):
            return json.dumps({"deployment": {"resources": self.resources}})
        assert arguments[:2] == ("stack", "history")
        config = {f"tinderbox:{group}": given for group, given in self.last.items()}
        newest = {"kind": "update", "result": "failed", "config": {}}
        start = {"pulumi.flag.target": "set"}
        targeted = {"kind": "update", "result": "succeeded", "environment": start, "config": {}}
        whole = {"kind": "update", "result": "succeeded", "environment": {}, "config": config}
        return json.dumps([newest, targeted, whole] if self.last else [newest, targeted])


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake(tmp_path)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(rehearse, "ROOT", tmp_path)
    monkeypatch.setattr(Stack, "exists", lambda _: True)
    monkeypatch.setattr(Stack, "pulumi", lambda self, *a, **k: made.pulumi(self, *a, **k))
    monkeypatch.setattr(Stack, "configure", lambda *_: made.does("configure"))
    monkeypatch.setattr(Stack, "_adopt", lambda _: None)
    monkeypatch.setattr(Stack, "_adopted", tmp_path / "adopted")
    monkeypatch.setattr(rehearse, "enter", lambda local: None)
    monkeypatch.setattr(status, "status", lambda: {"running": False})
    monkeypatch.setattr(checks, "require_host", lambda _: None)
    monkeypatch.setattr(cloud, "refuse_foreign", lambda: None)
    monkeypatch.setattr(cloud, "up", lambda _: made.does("cloud"))
    monkeypatch.setattr(cloud, "down", lambda _: made.does("down"))
    monkeypatch.setattr(releases, "known", lambda: ["1.36.5"])
    monkeypatch.setattr(releases, "offer", lambda version, _: made.does(f"release {version}"))
    return made


STEPS = [
    *("cloud", "configure", "up", "configure", "preview", "up", "count", "preview", "destroy"),
    "down",
]


def report(fake: Fake) -> str:
    return (fake.root / ".tinderbox" / "rehearse" / "dev.md").read_text()


def test_a_change_is_played_and_reported(fake: Fake, capsys) -> None:
    fake.write()
    (fake.root / "inventory.json").write_text("of dev")
    rehearse.run(DEV)
    assert fake.done == STEPS
    told = report(fake)
    assert "| nodes.count | 3 | 4 | 2 → 3 |" in told
    assert "| is new | `worker-2` |" in told
    assert "\nBefore: 7 words" in told and "\nAfter: 7 words" in told
    assert told.endswith("All of it went well.\n")
    assert told in capsys.readouterr().out
    # This checkout has what it had.
    assert (fake.root / "inventory.json").read_text() == "of dev"
    assert not (fake.root / ".tinderbox" / "rehearsal").exists()


def test_a_count_that_the_change_makes_anew_is_not_made_twice(fake: Fake) -> None:
    fake.planned[0] = [event("replace", "wordcount")]
    fake.write()
    rehearse.run(DEV)
    assert "count" not in fake.done


@pytest.mark.parametrize("error", [KeyboardInterrupt(), terminal.Stopped(15), CloudError("full")])
@pytest.mark.parametrize("at", [*dict.fromkeys(STEPS[:-1]), "release 1.36.5"])
def test_whatever_ends_it_all_is_taken_down(fake: Fake, at: str, error: BaseException) -> None:
    fake.now["cluster"] = {"version": "1.36.5"}
    fake.breaks, fake.error = at, error
    fake.write()
    with pytest.raises(type(error)):
        rehearse.run(DEV)
    assert fake.done[-2:] == [at, "down"]
    assert not (fake.root / "inventory.json").exists()
    assert not (fake.root / ".tinderbox" / "rehearsal").exists()
    assert "went well" not in report(fake)


def test_a_release_that_the_mirror_lacks_is_built_or_refused_first(fake: Fake) -> None:
    fake.now = {"nodes": {"count": 3}, "cluster": {"version": "1.36.5"}}
    fake.write()
    rehearse.run(DEV)
    assert fake.done[:2] == ["cloud", "release 1.36.5"]
    fake.done.clear()
    fake.now["cluster"]["version"] = "1.36.99"
    fake.write()
    with pytest.raises(
        ConsoleError, match=r"^cluster.version is 1.36.99; the local cloud can have"
    ):
        rehearse.run(DEV)
    assert fake.done == []


def test_a_spark_that_the_mirror_lacks_is_built_first(fake: Fake, monkeypatch) -> None:
    version, image = next(iter(releases.further_sparks().items()))
    monkeypatch.setattr(releases, "offer_spark", lambda one, _: fake.does(f"Spark {one}"))
    fake.now = {"nodes": {"count": 3}, "spark": {"image": image.reference}}
    fake.write()
    rehearse.run(DEV)
    assert fake.done[:2] == ["cloud", f"Spark {version}"]
    assert f"| docker.io/apache/spark:4.2.0-python3 → {image.reference} |" in report(fake)


def test_the_release_is_what_the_cluster_last_said(fake: Fake) -> None:
    """Not the default of a newer checkout: without the setting it would stay, too."""
    outputs = {"stdout": "1.36.5 2.4.2\n"}
    fake.resources.append({"urn": "a::x-control-plane-upgrade", "outputs": outputs})
    fake.write()
    found = {one.key: one for one in rehearse.change(Stack("dev", env={"PATH": ""}))}
    version = found["cluster.version"]
    assert (version.before, version.after) == ("1.36.5", "1.36.5")


def test_what_the_preview_refuses_is_one_line(fake: Fake) -> None:
    said = 'Preview failed: before hook "h" failed: cluster.podCidr is a: set it back'
    refused = {"diagnosticEvent": {"prefix": "error: ", "message": said}}
    fake.planned[0] = [event("update", "init"), refused]
    fake.write()
    with pytest.raises(ConsoleError, match="^cluster.podCidr is a: set it back$"):
        rehearse.run(DEV)
    assert fake.done[-2:] == ["preview", "down"]
    assert report(fake).endswith("Failed: cluster.podCidr is a: set it back\n")


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"nodes": {"count": 900}}, "^nodes.count is 900; it must be"),
        ({"nodes": {"count": 4, "cuont": 1}}, "^tinderbox:nodes.cuont is not a setting"),
        ({"nodes": {"count": 4}, "cluster": {"podCidr": "10.200.0.0/23"}}, "cluster.podCidr is"),
        (
            {"nodes": {"count": 3}, "s3": {"region": "x"}},
            "^what differs can't be played .*: s3.reg",
        ),
        ({"cluster": {"kubeconfig": {"secure": "v1:x"}}}, "has no cluster of its own: nothing to"),
    ],
)
def test_settings_that_can_not_be_played_are_refused_first(fake: Fake, now, said: str) -> None:
    fake.last["s3"] = {"objectValue": {}, "secret": False}
    fake.now = now
    fake.write()
    with pytest.raises(ConsoleError, match=said):
        rehearse.run(DEV)
    assert fake.done == []


def test_without_a_difference_nothing_is_played(fake: Fake, capsys) -> None:
    fake.now = {"nodes": {"count": 3}, "s3": {"secretKey": {"secure": "v1:x"}}}
    fake.write()
    rehearse.run(DEV)
    assert "the settings of its last update: nothing to rehearse" in capsys.readouterr().out
    assert fake.done == []


@pytest.mark.parametrize("lost", ["last", "resources"])
def test_a_stack_that_was_never_made_has_nothing_to_change(fake: Fake, lost: str) -> None:
    setattr(fake, lost, {})
    fake.write()
    with pytest.raises(ConsoleError, match="^nothing was made yet: make up STACK=dev$"):
        rehearse.run(DEV)


def test_a_local_cloud_that_stands_is_left_alone(fake: Fake, monkeypatch) -> None:
    fake.write()
    monkeypatch.setattr(status, "status", lambda: {"running": True})
    with pytest.raises(ConsoleError, match="and there can be one: make destroy$"):
        rehearse.run(DEV)

    def foreign() -> None:
        raise CloudError("of another checkout")

    monkeypatch.setattr(cloud, "refuse_foreign", foreign)
    with pytest.raises(CloudError):
        rehearse.run(DEV)
    with pytest.raises(ConsoleError, match="^the local stack is on the local cloud already"):
        rehearse.run(argparse.Namespace(stack="local"))
    assert fake.done == []


@pytest.mark.parametrize(("words", "left"), [(8, []), (7, [event("update", "spark")])])
def test_another_count_and_a_preview_that_is_not_quiet_fail(fake: Fake, words, left) -> None:
    fake.counts[1] = count(words)
    fake.planned[1] = left
    fake.write()
    with pytest.raises(ConsoleError, match="the counts differ$" if words == 8 else "still: spark$"):
        rehearse.run(DEV)
    assert fake.done == STEPS  # it was destroyed all the same


def test_another_text_may_have_another_count() -> None:
    text = Setting("wordCount.input", "a", "b", "a", "b")
    Report("dev", [text], counts=[count(1), count(2)]).require_same_count()
