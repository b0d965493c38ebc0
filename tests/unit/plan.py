"""Runs the whole program against Pulumi's mocks and records what it would make."""

from __future__ import annotations

import asyncio
import json
import runpy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc
from pulumi.runtime.stack import run_pulumi_func

ROOT = Path(__file__).resolve().parents[2]

MINIMAL: dict[str, Any] = {
    "aws": {"region": "eu-central-1"},
    "network": {"operatorCidr": "198.18.0.1/32"},
}

T3_MEDIUM = {"defaultVcpus": 2, "memorySize": 4096, "supportedArchitectures": ["x86_64"]}


@dataclass(frozen=True)
class Made:
    """One resource as it was registered; secret inputs are unwrapped, `secrets` names them."""

    type: str
    name: str
    inputs: dict[str, Any]
    secrets: frozenset[str]


@dataclass
class Plan(mocks.Mocks):
    """All that one run made, and what it exported."""

    instance_type: dict[str, Any] = field(default_factory=lambda: T3_MEDIUM)
    made: list[Made] = field(default_factory=list)
    exported: dict[str, Any] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

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

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict]:
        inputs, secrets = _unwrap(args.inputs)
        self.made.append(Made(args.typ, args.name, inputs, frozenset(secrets)))
        outputs = dict(inputs)
        outputs.update(_computed(args.typ, args.name, inputs))
        return f"{args.name}-id", outputs

    def call(self, args: mocks.MockCallArgs) -> dict:
        self.calls.append(args.token)
        if args.token == "aws:ec2/getInstanceType:getInstanceType":
            return {**args.args, **self.instance_type, "id": "type"}
        if args.token == "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings":
            return {**args.args, "locations": ["eu-central-1b", "eu-central-1a"], "id": "offers"}
        if args.token == "aws:ec2/getAmi:getAmi":
            return {**args.args, "id": "ami-1", "architecture": "x86_64"}
        raise AssertionError(f"the program asked for {args.token}")


def _computed(type_: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """What a provider would add, as far as the program reads it."""
    if type_ == "aws:ec2/instance:Instance":
        return {
            "privateIp": "10.42.0.7",
            "publicIp": "198.18.1.7",
            "privateDns": f"{name}.compute.internal",
        }
    if type_ == "aws:ec2/eip:Eip":
        return {"publicIp": "198.18.1.1"}
    if type_ == "aws:efs/fileSystem:FileSystem":
        return {"dnsName": "fs-1.efs.eu-central-1.amazonaws.com"}
    if type_ == "command:local:Command" and name.endswith("-key"):
        return {"stdout": "PRIVATE\nKEY\nssh-ed25519 AAAA tinderbox\n"}
    if type_ == "command:remote:Command":
        return {"stdout": _printed(name)}
    if type_ == "command:local:Command":
        return {"stdout": _printed(name)}
    if type_.startswith("kubernetes:") and "metadata" in inputs:
        metadata = {"name": f"{name}-1a2b", "uid": f"uid-of-{name}", **inputs["metadata"]}
        return {"metadata": metadata}
    if type_ == "kubernetes:helm.sh/v3:Release":
        return {"status": {"name": inputs["name"], "status": "deployed"}}
    return {}


def _printed(name: str) -> str:
    if name.endswith("-invite"):
        return "abcdef.0123456789abcdef sha256:00"
    if name.endswith("-kubeconfig"):
        return "apiVersion: v1"
    if name == "wordcount-result":
        return json.dumps({"input": "x", "output": "y", "words": 3, "distinct": 2, "top": []})
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
        return value

    return {key: plain(value, key) for key, value in inputs.items()}, secrets


def plan(
    config: dict[str, Any] | None = None,
    *,
    preview: bool = False,
    instance_type: dict[str, Any] | None = None,
) -> Plan:
    """Runs `__main__.py`, configured on top of MINIMAL. Raises what the program raises."""
    merged = {key: dict(value) for key, value in MINIMAL.items()}
    for key, value in (config or {}).items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    # Pulumi ties futures to the loop that is current when mocks are set.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    recorder = Plan(instance_type=instance_type or T3_MEDIUM)
    mocks.set_mocks(recorder, project="tinderbox", stack="test", preview=preview)
    pulumi.runtime.set_all_config({f"tinderbox:{k}": json.dumps(v) for k, v in merged.items()})

    async def run() -> None:
        await run_pulumi_func(lambda: runpy.run_path(str(ROOT / "__main__.py"), {}, "__main__"))
        for name, value in exported.items():
            recorder.exported[name] = await pulumi.Output.from_input(value).future(True)

    exported: dict[str, Any] = {}
    original, pulumi.export = pulumi.export, lambda name, value: exported.__setitem__(name, value)
    try:
        loop.run_until_complete(run())
    finally:
        pulumi.export = original
        loop.close()
    return recorder
