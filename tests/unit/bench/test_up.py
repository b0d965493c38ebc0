"""bench/up.py: what the bare script is handed over, and what is made of the seconds."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from bench import up


def secret(value: Any) -> dict[str, str]:
    return {"4dabf18193072939515e22adb298388d": "mark", "plaintext": json.dumps(value)}


def test_the_script_gets_what_the_stack_has_in_its_cluster(tmp_path: Path):
    metrics: dict[str, Any] = {
        "name": "metrics-server",
        "chart": "metrics-server",
        "namespace": "kube-system",
    }
    metrics |= {"repositoryOpts": {"repo": "http://mirror/m"}, "version": "3.13.1"}
    metrics |= {"values": {"defaultArgs": ["--a", "--kubelet-certificate-authority=/ca"]}}
    container = {"args": ["wordcount.py", "/srv/shared/wordcount/inputs/1/README.md"]}
    job = {"kind": "Job", "spec": {"template": {"spec": {"containers": [container]}}}}
    made = [
        ("pulumi:pulumi:Stack", {}),
        ("kubernetes:core/v1:Secret", {"kind": "Secret", "data": secret({"secret": "eA=="})}),
        ("kubernetes:helm.sh/v3:Release", metrics),
        ("kubernetes:batch/v1:Job", job),
    ]
    state = {"deployment": {"resources": [{"type": t, "inputs": of} for t, of in made]}}
    stack: Any = SimpleNamespace(state=lambda secrets: state)
    up.hand_over(stack, tmp_path)
    (objects,) = yaml.safe_load_all((tmp_path / "objects.yaml").read_text())
    assert objects == {"kind": "Secret", "data": {"secret": "eA=="}}
    values = yaml.safe_load((tmp_path / "metrics-server.yaml").read_text())
    assert values == {"defaultArgs": ["--a", "--kubelet-insecure-tls"]}
    chart = "metrics-server --namespace kube-system --repo http://mirror/m --version 3.13.1\n"
    assert (tmp_path / "metrics-server.chart").read_text() == chart
    assert yaml.safe_load((tmp_path / "job.yaml").read_text()) == job
    assert (tmp_path / "text.path").read_text() == container["args"][1] + "\n"


def test_spans_are_of_what_was_made_from_its_begin_to_its_end():
    def event(
        at: float, kind: str, name: str, op: str = "create", type_: str = "aws:ec2/vpc:Vpc"
    ) -> dict[str, Any]:
        metadata = {"urn": f"urn:a::b::c${type_}::{name}", "op": op, "type": type_}
        return {"timestamp": at, kind: {"metadata": metadata}}

    found = up.spans(
        [
            event(100, "resourcePreEvent", "vpc"),
            event(100, "resourcePreEvent", "all of it", type_="tinderbox:index:NetworkStack"),
            event(101, "resourcePreEvent", "old", "same"),
            event(102, "resourcePreEvent", "subnet"),
            event(103, "resOutputsEvent", "vpc"),
            event(105, "resOutputsEvent", "subnet"),
            event(106, "resOutputsEvent", "all of it", type_="tinderbox:index:NetworkStack"),
        ]
    )
    assert found == [("vpc", 0, 3), ("subnet", 2, 5)]


def test_the_ratio_is_that_of_the_rounds():
    measured = up.Measured([10, 40, 90], [20, 20, 30])
    assert measured.ratio == 2.0
    assert "| `make up` | 40 | 10, 40, 90 | 2.00 |" in up.table(measured)
