"""`make up` beside bench/bare_up.sh, which does the same by hand, in turn on the same machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from console.stack import Stack
from console.timings import read_events, worked_on
from localcloud.layout import HOST_ADDRESS
from toolchain import paths
from toolchain.versions import go_modules

HERE = Path(__file__).parent
TEXT = paths.CHECKOUT / "README.md"
_NOT_MADE = ("pulumi", "tinderbox")
LOCALCLOUD = (sys.executable, "-m", "localcloud")


@dataclass
class Measured:
    """Seconds of each round, and of the first `make up` (resource, begin, end) in seconds."""

    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    spans: list[tuple[str, float, float]] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How many times as long `make up` takes: of each round, and the median of these."""
        return median(ours / bare for ours, bare in zip(self.ours, self.bare, strict=True))


def measure(rounds: int) -> Measured:
    """Both in turn, from no local cloud to the count. Raises CalledProcessError where one fails."""
    measured, stack = Measured(), Stack("local")
    with tempfile.TemporaryDirectory(prefix="bench-up-") as folder:  # 0700: there are secrets
        work = Path(folder)
        for number in range(rounds):
            measured.ours.append(timed(lambda: run("make", "up", f"INPUT={TEXT}")))
            try:
                if not number:
                    measured.spans = spans(read_events(stack.folder / "events.jsonl"))
                    hand_over(stack, work)
            finally:
                run("make", "destroy")
            try:
                measured.bare.append(timed(lambda: bare(work)))
            finally:
                run(*LOCALCLOUD, "down")
    return measured


def timed(what: Callable[[], None]) -> float:
    """Seconds that it takes."""
    began = time.monotonic()
    what()
    return time.monotonic() - began


def run(*command: str, **env: str) -> None:
    """A command from the checkout; what it prints goes on."""
    subprocess.run(command, cwd=paths.CHECKOUT, env={**os.environ, **env}, check=True)


def spans(events: Sequence[dict[str, Any]]) -> list[tuple[str, float, float]]:
    """When each resource was made, in seconds since the first event, in that order."""
    first = float(events[0]["timestamp"])
    began: dict[str, float] = {}
    found: list[tuple[str, float, float]] = []
    for at, begins, metadata in worked_on(events):
        urn = metadata["urn"]
        # A component begins with the program and ends with its last part.
        if metadata["op"] != "create" or metadata["type"].partition(":")[0] in _NOT_MADE:
            continue
        if begins:
            began[urn] = at - first
        elif urn in began:
            name = urn.rpartition("::")[2].removeprefix("tinderbox-local-")
            found.append((name, began.pop(urn), at - first))
    return sorted(found, key=lambda one: one[1])


def hand_over(stack: Stack, work: Path) -> None:
    """Writes down what the stack has in its cluster, for the bare script to make the same."""
    objects, job = [], {}
    for one in stack.state(secrets=True)["deployment"]["resources"]:
        inputs = _plain(one.get("inputs") or {})
        if one["type"] == "kubernetes:helm.sh/v3:Release":
            name = inputs["name"]
            if name == "metrics-server":  # nobody signs the kubelets' certificates there
                inputs["values"]["defaultArgs"][-1] = "--kubelet-insecure-tls"
            (work / f"{name}.yaml").write_text(yaml.safe_dump(inputs["values"]))
            words = [inputs["chart"], "--namespace", inputs["namespace"]]
            if repository := inputs.get("repositoryOpts", {}).get("repo"):
                words += ["--repo", repository, "--version", inputs["version"]]
            (work / f"{name}.chart").write_text(" ".join(words) + "\n")
        elif one["type"].startswith("kubernetes:batch/"):
            job = inputs
        elif one["type"].startswith("kubernetes:"):
            objects.append(inputs)
    (work / "objects.yaml").write_text(yaml.safe_dump_all(objects))
    (work / "job.yaml").write_text(yaml.safe_dump(job))
    shutil.copy(TEXT, work / "text")
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    (work / "text.path").write_text(next(one for one in arguments if "/inputs/" in one) + "\n")


def _plain(value: Any) -> Any:
    """Without the marks of secrets."""
    if isinstance(value, dict):
        if "plaintext" in value:
            return json.loads(value["plaintext"])
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def bare(work: Path) -> None:
    """Three machines of the local cloud, and the script."""
    from localcloud.api.client import ec2_client  # boto3 loads slowly
    from tests.cloud.machines import Network

    run(*LOCALCLOUD, "up")
    network, ec2 = Network.make(work), ec2_client()
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc)
    of_vpc = [{"Name": "vpc-id", "Values": [network.vpc]}]
    (table,) = ec2.describe_route_tables(Filters=of_vpc)["RouteTables"]
    ec2.create_route(
        RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
    )
    every = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}], "FromPort": 0, "ToPort": 65535}
    ec2.authorize_security_group_ingress(
        GroupId=network.group,
        IpPermissions=[{**every, "IpProtocol": name} for name in ("tcp", "udp")],
    )
    nodes = [f"{node.public}/{node.address}" for node in network.run(3)]
    modules = go_modules()
    run(
        str(HERE / "bare_up.sh"),
        PATH=Stack("local").env["PATH"],  # with helm and kubectl
        WORK=str(work),
        KEY=str(network.key),
        CONTROL_PLANE=nodes[0],
        WORKERS=" ".join(nodes[1:]),
        MIRROR=HOST_ADDRESS,
        KUBERNETES=modules["kubernetes"].version.lstrip("v"),
        CONTAINERD=modules["containerd"].version.lstrip("v"),
    )


def table(measured: Measured) -> str:
    """The medians, with each round."""
    rows = [
        ("`make up`", measured.ours, measured.ratio),
        ("`bench/bare_up.sh`", measured.bare, 1),
    ]
    lines = [
        f"| {name} | {median(of):.0f} | {', '.join(f'{s:.0f}' for s in of)} | {ratio:.2f} |\n"
        for name, of, ratio in rows
    ]
    head = "| | seconds (median) | each round | times the bare script |\n|---|---|---|---|\n"
    return head + "".join(lines)
