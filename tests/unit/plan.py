"""Runs the whole program against Pulumi's mocks and records what it would make."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import dataclasses
import functools
import gc
import json
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
from pulumi.runtime import mocks, resource, rpc, settings
from pulumi.runtime.proto import resource_pb2, source_pb2
from pulumi.runtime.stack import run_pulumi_func

from components.settings import packages
from components.spark import job

ROOT = Path(__file__).resolve().parents[2]

MINIMAL: dict[str, Any] = {
    "aws": {"region": "eu-central-1"},
    "network": {"operatorCidr": "198.18.0.1/32"},
}

EXISTING: dict[str, Any] = {
    "cluster": {
        "kubeconfig": """
apiVersion: v1
kind: Config
clusters: [{name: home, cluster: {server: "https://10.0.0.1:6443"}}]
users: [{name: me, user: {token: s3cr3t}}]
contexts: [{name: mine, context: {cluster: home, user: me}}]
current-context: mine
"""
    }
}
"""A stack that uses a cluster which it did not make."""

T3_MEDIUM = {"defaultVcpus": 2, "memorySize": 4096, "supportedArchitectures": ["x86_64"]}


@dataclass(frozen=True)
class Made:
    """One resource as it was registered; secret inputs are unwrapped, `secrets` names them."""

    type: str
    name: str
    inputs: dict[str, Any]
    secrets: frozenset[str]


@dataclass(frozen=True)
class Options:
    """The options of one resource, as the engine is told of them; resources are meant by name."""

    parent: str
    provider: str
    deleted_with: str
    depends_on: frozenset[str]  # what is asked for, and what the inputs come from
    ignore_changes: frozenset[str]
    secret_outputs: frozenset[str]
    timeouts: dict[str, str]  # {"create": "10m", ...}
    is_looked_at: bool  # by hooks before it is created and updated
    before_create: bool  # is there a hook
    goes_first: bool  # before what replaces it comes
    fixed_by: frozenset[str]  # names of the hooks before an update
    replaced_for: frozenset[str]  # inputs whose change makes it anew, whatever the provider says
    replacement_trigger: str

    @classmethod
    def of(cls, request: resource_pb2.RegisterResourceRequest) -> Options:
        timeouts = request.customTimeouts
        return cls(
            parent=_name(request.parent),
            provider=_name(request.provider.rpartition("::")[0]),
            deleted_with=_name(request.deletedWith),
            depends_on=frozenset(_name(urn) for urn in request.dependencies),
            ignore_changes=frozenset(request.ignoreChanges),
            secret_outputs=frozenset(request.additionalSecretOutputs),
            before_create=bool(request.hooks.before_create),
            goes_first=request.deleteBeforeReplace,
            is_looked_at=bool(request.hooks.before_create and request.hooks.before_update),
            timeouts={
                verb: value
                for verb in ("create", "update", "delete")
                if (value := getattr(timeouts, verb))
            },
            fixed_by=frozenset(request.hooks.before_update),
            replaced_for=frozenset(request.replaceOnChanges),
            replacement_trigger=request.replacement_trigger.string_value,
        )


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def _urn_before(urn: str, alias: Any) -> str:
    """The mocks' URN (one parent in it) that an alias means: what it does not say is as it is."""
    if alias.urn:
        return alias.urn
    stack, types, name = urn.rsplit("::", 2)
    parents, _, type_ = types.rpartition("$")
    if alias.spec.parentUrn:
        parents = alias.spec.parentUrn.split("::")[2].rpartition("$")[2]
    own = "$".join(filter(None, (parents, alias.spec.type or type_)))
    return "::".join((stack, own, alias.spec.name or name))


class _Monitor(mocks.MockMonitor):
    """Pulumi's own, which besides keeps the options: the mocks see the inputs only."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._plan = plan

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:
        self._plan.options[request.type, request.name] = Options.of(request)
        made = super().RegisterResource(request)
        self._plan.urns[made.urn] = frozenset(
            _urn_before(made.urn, alias) for alias in request.aliases
        )
        return made


@dataclass
class Plan(mocks.Mocks):
    """All that one run made, and what it exported.

    instance_type: what AWS knows of the nodes' type; empty where it knows of none. types: of some.
    zones: where a type is offered, offers: where others are. placed: where nodes come to be.
    debian: the architectures for which there is an image.
    stays: outputs of resources that are as an earlier run made them, by type and name.
    anew: resources that an earlier run made, and that have another id now.
    """

    instance_type: dict[str, Any] = field(default_factory=lambda: T3_MEDIUM)
    types: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    zones: tuple[str, ...] = ("eu-central-1b", "eu-central-1a")
    offers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    debian: Mapping[str, str] = field(default_factory=lambda: {"amd64": "ami-1"})
    placed: str = "eu-central-1a"
    stays: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    anew: Collection[tuple[str, str]] = ()
    made: list[Made] = field(default_factory=list)
    options: dict[tuple[str, str], Options] = field(default_factory=dict)
    urns: dict[str, frozenset[str]] = field(default_factory=dict)  # of resources: their aliases
    exported: dict[str, Any] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)  # names of exported secrets
    pages: dict[str, bytes] = field(default_factory=dict)  # of a mirror, which else is out of reach
    calls: list[str] = field(default_factory=list)
    outputs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    # Those that a preview calls, too.
    hooks: dict[str, Callable[[pulumi.ResourceHookArgs], Any]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)  # warnings and errors

    def of(self, type_: str) -> list[Made]:
        """All resources of a type."""
        return [made for made in self.made if made.type == type_]

    def one(self, name: str, type_: str | None = None) -> Made:
        """The resource of that name (without the stack's prefix)."""
        full = (name, f"tinderbox-test-{name}")
        found = [
            made
            for made in self.made
            if made.name in full
            and not made.type.startswith("tinderbox:")
            and type_ in (None, made.type)
        ]
        assert len(found) == 1, f"{name}: {[made.name for made in self.made]}"
        return found[0]

    def options_of(self, name: str, type_: str | None = None) -> Options:
        """The options of the resource of that name (see `one`)."""
        made = self.one(name, type_)
        return self.options[made.type, made.name]

    def waits_for(self, name: str) -> set[str]:
        """All resources that the one of that name waits for, over however many others.

        Names without the stack's prefix; two resources of one name count as one.
        """
        by_name: dict[str, set[str]] = {}
        for (_, key), options in self.options.items():
            by_name.setdefault(key, set()).update(options.depends_on)
        found, open_ = set(), [self.one(name).name]
        while open_:
            new = by_name.get(open_.pop(), set()) - found
            found |= new
            open_ += new
        return {item.removeprefix("tinderbox-test-") for item in found}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict]:
        inputs, secrets = _unwrap(args.inputs)
        self.made.append(Made(args.typ, args.name, inputs, frozenset(secrets)))
        outputs = dict(inputs)
        outputs.update(_computed(args.typ, args.name, inputs))
        if args.typ == "aws:ec2/instance:Instance":
            outputs["availabilityZone"] = self.placed
        outputs.update(self.stays.get((args.typ, args.name), {}))
        self.outputs[args.typ, args.name] = outputs
        return f"{args.name}-id" + ("-2" if (args.typ, args.name) in self.anew else ""), outputs

    def call(self, args: mocks.MockCallArgs) -> Any:
        self.calls.append(args.token)
        if args.token == "aws:ec2/getInstanceType:getInstanceType":
            type_ = self.types.get(args.args["instanceType"], self.instance_type)
            if not type_:
                return {}, [("instanceType", "api error InvalidInstanceType: no such type")]
            return {**args.args, **type_, "id": "type"}
        if args.token == "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings":
            (type_,) = args.args["filters"][0]["values"]
            found = self.offers.get(type_, self.zones)
            return {**args.args, "locations": list(found), "id": "offers"}
        if args.token == "aws:ec2/getAmi:getAmi":
            image = self.image(args.args)
            if image is None:
                return {}, [("", "Your query returned no results. Please change your criteria")]
            return {**args.args, "id": image, "architecture": "x86_64"}
        raise AssertionError(f"the program asked for {args.token}")

    def image(self, asked: dict[str, Any]) -> str | None:
        """The image that AWS finds."""
        by = {one["name"]: one["values"][0] for one in asked["filters"]}
        return by.get("image-id") or self.debian.get(by["name"].split("-")[2])

    def look(self, args: job.SparkApplicationArgs, kubeconfig: str) -> dict[str, Any]:
        """What a cluster tells of an application."""
        return {"state": "succeeded", "result": f"of {args.application.name}"}

    def fetch(self, url: str) -> bytes | None:
        """What the mirror answers."""
        if not self.pages:
            raise OSError("no route to host")
        return self.pages.get(url)


def _computed(type_: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """What a provider would add, as far as the program reads it."""
    if type_ == "aws:ec2/instance:Instance":
        return {
            "privateIp": "10.42.0.7",
            "publicIp": "198.18.1.7",
            "privateDns": f"{name}.compute.internal",
        }
    if type_ == "aws:ec2/eip:Eip":
        return {"publicIp": "198.18.1.2" if name.endswith("-api-address") else "198.18.1.1"}
    if type_ == "aws:lb/loadBalancer:LoadBalancer":
        return {"arn": f"arn:{name}", "dnsName": f"{name}.elb.amazonaws.com"}
    if type_ == "aws:lb/targetGroup:TargetGroup":
        return {"arn": f"arn:{name}"}
    if type_ == "aws:efs/fileSystem:FileSystem":
        return {"dnsName": "fs-1.efs.eu-central-1.amazonaws.com"}
    if type_ == "aws:efs/mountTarget:MountTarget":
        return {"ipAddress": "10.42.0.9"}
    if type_ == "command:local:Command" and name.endswith("-backup-key"):
        return {"stdout": "QkFDS1VQ\n"}
    if type_ == "command:local:Command" and name.endswith("-key"):
        return {"stdout": "PRIVATE\nKEY\nssh-ed25519 AAAA tinderbox\n"}
    if type_ == "command:remote:Command":
        return {"stdout": _printed(name) or _release(inputs)}
    if type_ == "command:local:Command":
        return {"stdout": _printed(name)}
    if type_.startswith("kubernetes:") and "metadata" in inputs:
        metadata = {"name": f"{name}-1a2b", "uid": f"uid-of-{name}", **inputs["metadata"]}
        return {"metadata": metadata}
    if type_ == "kubernetes:helm.sh/v3:Release":
        return {"status": {"name": inputs["name"], "status": "deployed"}}
    return {}


def _printed(name: str) -> str:
    if name.endswith("-owner"):
        return " 0123456789abcdef"
    if name.endswith("-invite"):
        return "abcdef.0123456789abcdef sha256:00"
    if name.endswith("-kubeconfig"):
        return "apiVersion: v1"
    if name == "wordcount-result":
        summary = {"input": "x", "output": "y", "words": 3, "distinct": 2, "top": []}
        return f"{json.dumps(summary)}\n{json.dumps({'executorCpuSeconds': 1.5})}\n"
    return ""


def _release(inputs: dict[str, Any]) -> str:
    """What a step of upgrade.py prints on a node that is as it is asked to be."""
    for variable in ("WANTED", "RELEASE"):
        if found := re.search(rf"^export {variable}='?([^'\n]*)", inputs["stdin"], re.M):
            return found[1]
    return ""


def _unwrap(inputs: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The inputs without their secret envelopes, and the names of those that had one anywhere."""
    secrets: set[str] = set()

    def plain(value: Any, top: str) -> Any:
        if isinstance(value, dict):
            if value.get(rpc._special_sig_key) == rpc._special_secret_sig:
                secrets.add(top)
                return plain(value["value"], top)
            return {key: plain(item, top or key) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item, top) for item in value]
        if isinstance(value, (pulumi.FileAsset, pulumi.FileArchive)):
            return f"{type(value).__name__}({value.path})"
        return value

    return {key: plain(value, key) for key, value in inputs.items()}, secrets


@functools.cache
def checkout() -> Path:
    """The checkout as the programs of this process have it, by links.

    What they lay out in .tinderbox is their own: other processes plan at the same time.
    """
    folder = Path(tempfile.mkdtemp(prefix="tinderbox-plan-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for place in ROOT.iterdir():
        if place.name != ".tinderbox":
            (folder / place.name).symlink_to(place)
    return folder


class _Listener(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


def plan(
    config: dict[str, Any] | None = None,
    *,
    preview: bool = False,
    recorder: Plan | None = None,
    also: str = "",
) -> Plan:
    """Runs `__main__.py`, configured on top of MINIMAL. Raises what the program raises.

    also: a user's own lines, at the end of the program.

    recorder: to be filled in and returned, where AWS answers otherwise or the run is to fail.
    """
    # A context of its own: what a program does to its stack is gone with it.
    return contextvars.copy_context().run(_plan, config, preview, recorder or Plan(), also)


def _plan(config: dict[str, Any] | None, preview: bool, recorder: Plan, also: str) -> Plan:
    merged = {key: dict(value) for key, value in MINIMAL.items()}
    for key, value in (config or {}).items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    # Pulumi ties futures to the loop that is current when mocks are set.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    logger = logging.Logger("plan", logging.WARNING)
    logger.addHandler(_Listener(recorder.said))
    mocks.set_mocks(
        recorder,
        project="tinderbox",
        stack="test",
        preview=preview,
        logger=logger,
        monitor=_Monitor(recorder),
    )
    pulumi.runtime.set_all_config({f"tinderbox:{k}": json.dumps(v) for k, v in merged.items()})

    # What a run leaves is kept, some 6 MB: to look for garbage in it took a quarter of its time.
    gc.disable()
    exported: dict[str, Any] = {}
    hooked: set[str] = set()

    class Hook(pulumi.ResourceHook):
        """Pulumi's own, which besides can be called by a test."""

        def __init__(self, name: str, func: Any, opts: Any = None) -> None:
            super().__init__(name, func, opts)
            assert name not in hooked, f"the engine takes no second hook {name}"
            hooked.add(name)
            if opts is not None and opts.on_dry_run:
                recorder.hooks[name] = func

    def program() -> None:
        main = ROOT / "__main__.py"
        exec(compile(main.read_text() + also, main, "exec"), {"__name__": "__main__"})

    async def run() -> None:
        # Else each hook that is told of before the first one's server runs starts one of its own.
        await settings._get_callbacks()
        await run_pulumi_func(program)
        for name, value in exported.items():
            recorder.exported[name] = await pulumi.Output.from_input(value).future(True)
            if await pulumi.Output.from_input(value).is_secret():
                recorder.secrets.add(name)

    try:
        with (
            contextlib.chdir(checkout()),  # where Pulumi runs a program
            mock.patch.object(packages, "fetch", recorder.fetch),
            mock.patch.object(job, "_look", recorder.look),
            mock.patch.object(pulumi, "export", exported.__setitem__),
            mock.patch.object(pulumi, "ResourceHook", Hook),
            # For an engine that shows where a resource is made; a tenth of the time.
            mock.patch.object(resource, "_get_stack_trace", source_pb2.StackTrace),
        ):
            loop.run_until_complete(run())
    except Exception:
        # What a program that failed left would be waited for by the next one, and be told of later.
        loop.set_exception_handler(lambda *_: None)
        settings.SETTINGS.outputs.clear()
        settings.SETTINGS.rpc_manager.clear()
        raise
    finally:
        loop.close()
        gc.freeze()
        gc.enable()
    return recorder


@functools.cache
def _planned(config: str) -> Plan:
    return plan(json.loads(config))


def planned(config: dict[str, Any] | None = None) -> Plan:
    """`plan`, once for each configuration: for tests that only look."""
    return _planned(json.dumps(config, sort_keys=True))


def ask(
    hook: Callable[[pulumi.ResourceHookArgs], Any],
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    secrets: Collection[str] = (),
    outputs: Mapping[str, Any] | None = None,
    name: str = "name",
) -> None:
    """Calls a hook before an update as the SDK does: what is secret are outputs to it.

    name: of the resource.
    """

    def given(inputs: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        return inputs and {
            key: pulumi.Output.secret(value) if key in secrets else value
            for key, value in inputs.items()
        }

    async def call() -> None:
        answer = hook(
            pulumi.ResourceHookArgs(
                *("urn", "id", name, "type"),
                new_inputs=given(new),
                old_inputs=given(old),
                old_outputs=outputs,
            )
        )
        if answer is not None:
            await answer

    try:
        asyncio.run(call())
    finally:
        settings.SETTINGS.outputs.clear()  # as in _plan


def changed(before: Plan, after: Plan) -> set[str]:
    """Names (without the stack's prefix) of what is new, gone or has other inputs that count."""
    old, new = (
        {(made.type, made.name): _counting(plan, made) for made in plan.made}
        for plan in (before, after)
    )
    differ = [key for key in {*old, *new} if old.get(key) != new.get(key)]
    return {name.removeprefix("tinderbox-test-") for _, name in differ}


def _counting(plan: Plan, made: Made) -> Made:
    ignored = plan.options[made.type, made.name].ignore_changes
    kept = {name: value for name, value in made.inputs.items() if name not in ignored}
    return dataclasses.replace(made, inputs=kept)
