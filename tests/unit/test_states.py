"""A stack that an earlier program made keeps all that it has under this one.

states/*.json has what such a program registered: each resource by its parent's type, its own and
its name; of AWS's, the inputs, too. What a change is meant to do is named here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plan import EXISTING, Plan, plan

STATES = sorted((Path(__file__).parent / "states").glob("*.json"))
OPEX = {"nodes": {"price": 0.05}, "opex": {"engine": "kube-resource-report"}}


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plan]:
    """This program with all that it can make: nodes of its own, and in a cluster that exists."""
    jars = tmp_path_factory.mktemp("jars")
    (jars / "a.jar").write_text("x")
    own = {
        "nodes": {"price": 0.05, "count": 3},
        "opex": OPEX["opex"],
        "namespaces": {"etl": {}},
        "spark": {"jars": str(jars)},
        "s3": {"region": "eu-central-1", "accessKey": "a", "secretKey": "b"},
    }
    return {"own": plan(own), "existing": plan({**EXISTING, **OPEX})}


def short(urn: str) -> str:
    return urn.split("::", 2)[2]


@pytest.mark.parametrize("state", STATES, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", ["own", "existing"])
def test_every_resource_is_found_again(now: dict[str, Plan], kind: str, state: Path) -> None:
    before: dict[str, Any] = json.loads(state.read_text())[kind]
    known = {short(name) for urn, aliases in now[kind].urns.items() for name in (urn, *aliases)}
    assert set(before) - known == set()


# Workers are reached through the control plane: it gets a group of its own, with the ways in from
# outside. Groups of an instance are changed in place; a rule of another group is another rule.
MEANT = {
    "tinderbox-test-control-plane": {"vpcSecurityGroupIds"},
    "tinderbox-test-from-operator-api": {"securityGroupId"},
    "tinderbox-test-from-operator-ssh": {"securityGroupId"},
}


@pytest.mark.parametrize("state", STATES, ids=lambda path: path.stem)
def test_nothing_of_aws_changes_that_is_not_meant_to(now: dict[str, Plan], state: Path) -> None:
    plan = now["own"]
    inputs = {(made.type, made.name): made.inputs for made in plan.made}
    changed = {}
    for urn, before in json.loads(state.read_text())["own"].items():
        if before is None:
            continue
        types, _, name = urn.rpartition("::")
        key = types.rpartition("$")[2], name
        ignored = plan.options[key].ignore_changes
        kinds = {**before, **inputs[key]}
        if differ := {
            one for one in kinds if before.get(one) != inputs[key].get(one) and one not in ignored
        }:
            changed[name] = differ
    assert changed == MEANT
