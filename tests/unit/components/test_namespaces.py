"""SparkNamespace: a namespace with a quota; and the priority classes."""

from __future__ import annotations

import pulumi
import pytest

from components.settings import Settings, SettingsError
from components.spark.namespace import namespace_place
from tests.unit.plan import EXISTING, MINIMAL, plan, planned

RELEASE = "kubernetes:helm.sh/v3:Release"

TEAM = {"namespaces": {"team": {"cpu": 1.5, "memoryMiB": 3000, "pods": 4}}}


def test_none_by_default():
    assert not [made for made in planned().made if made.type.endswith("ResourceQuota")]


CLASSED = {"storage": {"storageClass": "efs-sc"}}


@pytest.mark.parametrize("config", [TEAM, EXISTING | TEAM, EXISTING | TEAM | CLASSED])
def test_a_namespace_has_all_that_its_place_names(config):
    made = planned(config)
    place = made.exported["namespaces"]["team"]
    quota = made.one("team-quota").inputs
    assert quota["metadata"]["namespace"] == place["namespace"] == "team"
    assert quota["spec"]["hard"] == place["quota"]
    assert place["quota"] == {"requests.cpu": "1.5", "requests.memory": "3000Mi", "pods": "4"}
    assert made.one("team-claim").inputs["metadata"]["name"] == place["claim"]
    assert made.one("team-account").inputs["metadata"]["name"] == place["service_account"]
    auth = made.one("team-auth")
    assert auth.inputs["metadata"]["name"] == place["auth_secret"]
    assert "data" in auth.secrets
    release = made.one("team-spark").inputs
    assert f"{release['name']}-native" == place["native_config"]
    assert f"{release['name']}-usage" == place["usage_config"]
    assert release["values"]["standalone"] is False
    labels = made.one("team-namespace").inputs["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"


def test_a_namespace_has_the_stacks_jars_and_store_and_not_its_keys(tmp_path):
    (tmp_path / "a.jar").touch()
    keys = {"accessKey": "AKIA1", "secretKey": "s3cr3t"}
    store = {"s3": {"region": "eu-central-1", **keys}, "spark": {"jars": str(tmp_path)}}
    made = plan(TEAM | store)
    conf = made.one("team-spark").inputs["values"]["app"]["conf"]
    assert conf == made.one("spark", RELEASE).inputs["values"]["app"]["conf"]
    assert {"spark.executor.extraClassPath", "spark.hadoop.fs.s3a.endpoint.region"} <= set(conf)
    assert made.exported["namespaces"]["team"]["s3_secret"] is None
    assert made.exported["spark"]["s3_secret"] is not None


def test_what_runs_in_a_namespace_costs_what_it_costs_elsewhere():
    made = plan(TEAM | {"nodes": {"price": 0.05}})
    for release in ("team-spark", "spark"):
        assert made.one(release, RELEASE).inputs["values"]["app"]["nodePrice"] == 0.05


def test_a_container_that_says_nothing_is_counted_with_something():
    limits = planned(TEAM).one("team-limits").inputs["spec"]["limits"]
    assert limits == [{"type": "Container", "defaultRequest": {"cpu": "100m", "memory": "256Mi"}}]


@pytest.mark.parametrize(
    ("namespaces", "said"),
    [
        ({"spark": {}}, "namespaces is 'spark'"),
        ({"kube-mine": {}}, "namespaces is 'kube-mine'"),
        ({"Team": {}}, "namespaces is 'Team'"),
        ({"team": {"cpu": 0}}, "namespaces.team.cpu is 0; "),
        ({"team": {"pods": 1}}, "namespaces.team.pods is 1"),
        ({"team": {"memoryMiB": 100}}, "namespaces.team.memoryMiB is 100"),
        ({"team": {"cpus": 1}}, "namespaces.team.cpus is not a setting"),
        ({"team": 3}, "namespaces.team is 'int'"),
        (3, "namespaces is 'int'"),
    ],
)
def test_bad_settings(namespaces, said):
    with pytest.raises(Exception, match=said) as caught:
        Settings.parse({**MINIMAL, "namespaces": namespaces})
    assert isinstance(caught.value, SettingsError) or "not a setting" in str(caught.value)


def test_a_place_that_is_in_no_setting():
    with pytest.raises(pulumi.RunError, match="no namespace 'other' in the settings; known: team"):
        namespace_place(Settings.parse({**MINIMAL, **TEAM}), "other")


def test_two_priority_classes_around_those_that_have_none():
    plan = planned()
    batch, interactive = (
        next(made for made in plan.made if made.name.endswith(f"-{queue}")).inputs
        for queue in ("batch", "interactive")
    )
    assert batch["value"] < 0 < interactive["value"]
    assert batch["preemptionPolicy"] == "Never"
    assert interactive["preemptionPolicy"] == "PreemptLowerPriority"
