"""The instances of a stack: which ones Pulumi's state knows, and how they are by the AWS API."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from console.stack import PROJECT, ConsoleError, Stack, read_settings, require_stack
from console.waiting import Wait
from patience import factor

_GROUPS = ("aws", "network", "nodes", "workers", "spark")
_TYPE = "aws:ec2/instance:Instance"
_CONTROL_PLANE = "-control-plane"
_STOPPED = ("stopping", "stopped")
# How long AWS may take for a change of state, in seconds.
_LIMIT = 600


@dataclass(frozen=True)
class Instance:
    """A node's instance as Pulumi's state has it. spot: bought so, and can't be stopped.

    role: what its name has before the number: worker, or its group's.
    """

    name: str
    urn: str
    id: str
    spot: bool
    disk_gib: int
    type: str = ""
    role: str = ""


def resources(stack: Stack) -> list[dict[str, Any]]:
    """All that the state has. Raises ConsoleError where there is no stack."""
    require_stack(stack)
    return stack.state()["deployment"].get("resources", [])


def instances(stack: Stack) -> list[Instance]:
    """Those of the stack, the control plane first. Raises ConsoleError where it made none."""
    found = [
        Instance(
            made["urn"].rpartition("::")[2],
            made["urn"],
            made["id"],
            made["outputs"].get("instanceLifecycle") == "spot",
            int(made["outputs"]["rootBlockDevice"]["volumeSize"]),
            made["outputs"].get("instanceType", ""),
            _role(stack, made["urn"].rpartition("::")[2]),
        )
        for made in resources(stack)
        if made["type"] == _TYPE and not made.get("delete")
    ]
    if not found:
        raise ConsoleError(f"stack {stack.name} has no nodes of its own to stop and start")
    return sorted(found, key=lambda one: (not one.name.endswith(_CONTROL_PLANE), one.name))


def _role(stack: Stack, name: str) -> str:
    own = name.removeprefix(f"{PROJECT}-{stack.short_name}-")
    return re.sub(r"-\d+(-[a-z0-9_]+)?$", "", own)


def settings(stack: Stack) -> dict[str, dict[str, Any]]:
    """What its configuration has in _GROUPS; Pulumi is asked where a secret is in them."""
    names = {name: f"tinderbox:{name}" for name in _GROUPS}
    written = read_settings(stack.config_file)["config"]
    found = {name: written.get(key) or {} for name, key in names.items()}
    if not any(isinstance(value, dict) for group in found.values() for value in group.values()):
        return found
    printed = stack.pulumi("config", "--json", "--show-secrets", own=True, capture=True)
    known = json.loads(printed)
    return {name: known.get(key, {}).get("objectValue", {}) for name, key in names.items()}


@contextlib.contextmanager
def aws_errors() -> Generator[None]:
    """What goes wrong with the AWS API is a ConsoleError of one line."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ConsoleError(f"AWS: {error}") from None


def aws_client(aws: Mapping[str, Any], service: str = "ec2") -> Any:
    """A service of AWS where the setting `aws` says that it is."""
    import boto3  # loads slowly, and most verbs need none
    from botocore.config import Config

    with aws_errors():
        return boto3.client(
            service,
            region_name=aws["region"],
            endpoint_url=aws.get("endpoint"),
            aws_access_key_id=aws.get("accessKey"),
            aws_secret_access_key=aws.get("secretKey"),
            config=Config(connect_timeout=10, retries={"total_max_attempts": 3}),
        )


def states(client: Any, stack: Stack) -> dict[str, dict[str, Any]]:
    """EC2's words on all instances with the stack's tag that are not terminated, by id."""
    tag = {"Name": "tag:tinderbox:stack", "Values": [stack.short_name]}
    with aws_errors():
        return {
            one["InstanceId"]: one
            for page in client.get_paginator("describe_instances").paginate(Filters=[tag])
            for reservation in page["Reservations"]
            for one in reservation["Instances"]
            if one["State"]["Name"] not in ("shutting-down", "terminated")
        }


def is_stopped(found: Mapping[str, Any] | None) -> bool:
    """True for an instance that is stopped, or about to be."""
    return found is not None and found["State"]["Name"] in _STOPPED


def wait_until(
    client: Any,
    stack: Stack,
    wanted: Collection[Instance],
    is_there: Callable[[Mapping[str, Any] | None], bool],
    state: str,
) -> None:
    """Waits until all are as wanted; prints a line for each. Raises ConsoleError past the limit."""
    began, left = time.monotonic(), list(wanted)
    wait = Wait("AWS", _LIMIT * factor())
    while left:
        known = states(client, stack)
        for one in [one for one in left if is_there(known.get(one.id))]:
            left.remove(one)
            print(f"{one.name} {state} ({time.monotonic() - began:.0f} s)", flush=True)
        if left:
            if wait.is_over():
                names = ", ".join(one.name for one in left)
                raise ConsoleError(f"AWS has not done it within {_LIMIT * factor()} s: {names}")
            wait.tell()
            time.sleep(0.5)


def stopped(stack: Stack) -> str | None:
    """A line for a stack whose control plane is stopped: nothing of the cluster can be asked.

    None where it runs, where there is none, and where AWS gives no answer: Pulumi says why.
    """
    try:
        if not stack.config_file.exists():
            return None
        aws = settings(stack)["aws"]
        known = states(aws_client(aws), stack) if aws.get("region") else {}
        # Of a stack that runs this is all.
        if not any(map(is_stopped, known.values())):
            return None
        mine = instances(stack)
    except ConsoleError:
        return None
    off = [one for one in mine if is_stopped(known.get(one.id))]
    if not any(one.name.endswith(_CONTROL_PLANE) for one in off):
        return None
    return (
        f"{len(off)} of {len(mine)} nodes of stack {stack.name} are stopped;"
        f" `make start STACK={stack.name}` starts them"
    )


def require_started(stack: Stack) -> None:
    """Raises ConsoleError for a stack that is stopped: its steps would wait for ever."""
    if said := stopped(stack):
        raise ConsoleError(said)
