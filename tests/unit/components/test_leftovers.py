"""Who looks for what a killed update left; what it finds in a cluster is in tests/engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from components.engine.leftovers import _look
from tests.unit.plan import EXISTING, planned

# Nothing listens on port 9.
NOWHERE = json.dumps(
    {
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:9"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "users": [{"name": "x", "user": {}}],
    }
)
ENGINE = {
    "nodes": {"price": 0.048},
    "opex": {"engine": "kube-resource-report"},
    "namespaces": {"team": {"cpu": 1}},
}


@pytest.mark.parametrize("config", [ENGINE, {**EXISTING, **ENGINE}])
def test_each_release_and_each_claim_of_a_volume_is_looked_at(config):
    plan = planned(config)
    looked_at = {
        name
        for (type_, name), options in plan.options.items()
        if options.is_looked_at and type_.startswith("kubernetes:")
    }
    releases = {made.name for made in plan.of("kubernetes:helm.sh/v3:Release")}
    claims = {made.name for made in plan.of("kubernetes:core/v1:PersistentVolumeClaim")}
    assert looked_at == releases | claims and len(releases) >= 3 and len(claims) == 3


def test_of_a_storage_class_the_volume_is_its_own():
    plan = planned({**EXISTING, "storage": {"storageClass": "nfs"}})
    assert not plan.options_of("spark-claim").is_looked_at


def test_a_cluster_that_does_not_answer_is_the_plugins_to_tell_of():
    assert _look(NOWHERE, lambda core, inputs: core.read_persistent_volume("x"), {}) is None
    assert _look(None, lambda core, inputs: "never", {}) is None


@pytest.mark.parametrize("status", [403, 500])
def test_who_may_not_look_goes_on_and_what_fails_is_told(status):
    def refused(core: Any, inputs: Any) -> str | None:
        raise ApiException(status=status, reason="no")

    if status == 403:
        assert _look(NOWHERE, refused, {}) is None
    else:
        with pytest.raises(ApiException):
            _look(NOWHERE, refused, {})
