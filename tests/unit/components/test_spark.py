"""SparkRelease: our chart's values, and the namespace around it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from components.settings import (
    ClusterSettings,
    NodesSettings,
    Settings,
    SettingsError,
    SparkSettings,
)
from components.spark.release import spark_place, spark_values
from submission.nodes import ON_DEMAND_FIRST
from tests.unit.plan import EXISTING, MINIMAL, ROOT, plan, planned

RELEASE = "kubernetes:helm.sh/v3:Release"
NAMESPACE = "kubernetes:core/v1:Namespace"


@pytest.mark.parametrize(("count", "workers"), [(1, 1), (2, 1), (3, 2), (10, 9)])
def test_one_spark_worker_for_each_node_that_takes_work(count, workers):
    release = planned({"nodes": {"count": count}}).one("spark", RELEASE)
    assert release.inputs["values"]["worker"]["replicas"] == workers


def test_the_stack_may_ask_for_another_number():
    release = planned({"spark": {"workers": 5}}).one("spark", RELEASE)
    assert release.inputs["values"]["worker"]["replicas"] == 5


def test_a_cluster_that_exists_gets_two():
    assert planned(EXISTING).one("spark", RELEASE).inputs["values"]["worker"]["replicas"] == 2


def test_all_values_of_the_chart():
    spark = SparkSettings(
        image="host:5000/a/spark:1.2", worker_cores=3, worker_memory_mib=2048, history_days=3
    )
    settings = Settings(
        cluster=ClusterSettings(kubeconfig=EXISTING["cluster"]["kubeconfig"]),
        nodes=NodesSettings(price=0.048),
        spark=spark,
    )
    assert spark_values(settings, 4, "claim") == {
        "image": {"repository": "host:5000/a/spark", "tag": "1.2"},
        "volume": {"claimName": "claim", "mountPath": "/srv/shared"},
        "app": {"coresMax": 12, "nodePrice": 0.048},
        "worker": {"replicas": 4, "cores": 3, "memoryMiB": 2048},
        "history": {"enabled": True, "retainDays": 3},
    }


@pytest.mark.parametrize("config", [{}, EXISTING])
def test_connect_has_a_token_that_stays_in_a_secret_only(config):
    made = plan({**config, "spark": {"connect": True, "connectMinutes": 5}})
    secret = made.one("spark-connect")
    assert "data" in secret.secrets
    assert made.options_of("spark-connect").ignore_changes == {"data"}
    assert "spark-connect" in made.options_of("spark", RELEASE).depends_on
    assert made.one("spark", RELEASE).inputs["values"]["connect"] == {
        "enabled": True,
        "existingSecret": secret.inputs["metadata"]["name"],
        "idleMinutes": 5,
        "affinity": ON_DEMAND_FIRST,  # it is a driver
    }
    token = secret.inputs["data"]["secret"]
    assert len(base64.b64decode(token)) >= 40
    assert token not in str([one.inputs for one in made.made if one.name != "spark-connect"])


@pytest.mark.parametrize("spark", [{}, {"connect": False, "connectMinutes": 5}])
def test_a_stack_without_connect_is_what_it_was(spark):
    made = plan({"spark": spark})
    assert not [one for one in made.made if "connect" in one.name]
    assert "connect" not in made.one("spark", RELEASE).inputs["values"]


@pytest.mark.parametrize("tag", [":4.2", ""])
def test_an_image_by_its_digest_is_the_charts_too(tag):
    image = f"host:5000/a/spark{tag}@sha256:{'0a' * 32}"
    settings = Settings.parse({**EXISTING, "spark": {"image": image}})
    values: Any = spark_values(settings, 1, "claim")
    parts = values["image"]
    assert f"{parts['repository']}:{parts['tag']}" == image  # as the chart joins them


@pytest.mark.parametrize("config", [{}, EXISTING])
def test_without_a_price_the_chart_is_told_none(config):
    assert "nodePrice" not in planned(config).one("spark", RELEASE).inputs["values"]["app"]


def test_the_chart_is_named_by_a_path_that_every_clone_has():
    chart = planned().one("spark", RELEASE).inputs["chart"]
    assert not chart.startswith("/")
    assert (ROOT / chart / "Chart.yaml").exists()


def test_the_volume_is_mounted_by_the_claims_own_name():
    plan = planned()
    claim = plan.one("spark-claim").inputs["metadata"]["name"]
    assert plan.one("spark", RELEASE).inputs["values"]["volume"]["claimName"] == claim
    assert "spark-claim" in plan.options_of("spark", RELEASE).depends_on


def test_the_namespace_and_the_masters_url():
    plan = planned()
    assert plan.one("spark-namespace", NAMESPACE).inputs["metadata"]["name"] == "spark"
    assert plan.one("spark", RELEASE).inputs["namespace"] == "spark"
    assert plan.exported["sparkMasterUrl"] == "spark://spark-master.spark.svc:7077"


@pytest.mark.parametrize("config", [{}, EXISTING])
def test_sparks_processes_know_each_other_by_a_secret_that_stays(config):
    plan = planned(config)
    secret = plan.one("spark-auth")
    assert len(base64.b64decode(secret.inputs["data"]["secret"])) >= 40
    assert "data" in secret.secrets
    assert plan.options_of("spark-auth").ignore_changes == {"data"}
    values = plan.one("spark", RELEASE).inputs["values"]
    assert values["auth"] == {"existingSecret": "spark-auth"}


def test_the_secret_is_another_for_each_cluster():
    made = {plan({}).one("spark-auth").inputs["data"]["secret"] for _ in range(2)}
    assert len(made) == 2


CLASSED = EXISTING | {"storage": {"storageClass": "efs-sc"}}


@pytest.mark.parametrize("config", [{}, EXISTING, CLASSED])
def test_applications_are_told_the_names_that_there_are(config):
    """A place is plain text, so that manifests are; here it is held against what is made."""
    plan = planned(config)
    place = spark_place(Settings.parse({**MINIMAL, **config}))
    assert place.namespace == plan.one("spark-namespace", NAMESPACE).inputs["metadata"]["name"]
    assert place.claim == plan.one("spark-claim").inputs["metadata"]["name"]
    assert place.auth_secret == plan.one("spark-auth").inputs["metadata"]["name"]
    assert place.master_url == plan.exported["sparkMasterUrl"]
    job = plan.one("wordcount", "kubernetes:batch/v1:Job").inputs
    volumes = job["spec"]["template"]["spec"]["volumes"]
    claims = [
        volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume
    ]
    assert {claim["claimName"] for claim in claims} == {place.claim}


@pytest.fixture
def with_s3(tmp_path):
    """The configuration of a stack with S3, its jars among it."""
    jars = tmp_path / "s3"
    jars.mkdir()
    (jars / "a.jar").write_text("one")
    keys = {"accessKey": "AKIA1", "secretKey": "s3cr3t"}
    store = {"region": "eu-central-1", "endpoint": "http://store:9000", **keys}
    return {"s3": store, "spark": {"jars": str(jars)}}


def test_jars_are_on_the_volume_and_every_class_path_before_spark_is(with_s3):
    plan_ = plan(with_s3)
    copy = plan_.one("spark-jars", "command:remote:CopyToRemote").inputs
    assert copy["remotePath"].startswith("/srv/shared/spark/jars/")
    assert f"export FOLDER={copy['remotePath']}\n" in plan_.one("spark-jars-folder").inputs["stdin"]
    conf = plan_.one("spark", RELEASE).inputs["values"]["app"]["conf"]
    for role in ("driver", "executor"):
        assert conf[f"spark.{role}.extraClassPath"] == f"{copy['remotePath']}/s3/*"
    assert "spark-jars" in plan_.options_of("spark", RELEASE).depends_on


@pytest.mark.parametrize("jar", ["spark-hadoop-cloud_2.13-4.2.0.jar", "hadoop-aws-3.5.0.jar"])
def test_jars_that_can_commit_to_s3_do(with_s3, jar):
    """Without them every write would fail, wherever it goes."""
    (Path(with_s3["spark"]["jars"]) / jar).write_text("two")
    conf = plan(with_s3).one("spark", RELEASE).inputs["values"]["app"]["conf"]
    has_committer = "spark.sql.sources.commitProtocolClass" in conf
    assert has_committer == ("spark.hadoop.fs.s3a.committer.name" in conf)
    assert has_committer == jar.startswith("spark-hadoop-cloud")


def test_s3_is_told_to_applications_and_its_keys_are_in_a_secret_only(with_s3):
    plan_ = plan(with_s3)
    secret = plan_.one("spark-s3")
    name = secret.inputs["metadata"]["name"]
    keys = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s3cr3t"}
    assert secret.inputs["stringData"] == keys and "stringData" in secret.secrets
    values = plan_.one("spark", RELEASE).inputs["values"]
    assert values["worker"]["envFromSecret"] == name
    conf = values["app"]["conf"]
    assert conf["spark.hadoop.fs.s3a.endpoint"] == "http://store:9000"
    assert conf["spark.hadoop.fs.s3a.endpoint.region"] == "eu-central-1"
    (job,) = plan_.of("kubernetes:batch/v1:Job")
    (driver,) = job.inputs["spec"]["template"]["spec"]["containers"]
    env = {item["name"]: item.get("valueFrom") for item in driver["env"]}
    for key in keys:
        assert env[key] == {"secretKeyRef": {"name": name, "key": key}}
    others = [made.inputs for made in plan_.made if made.name != "spark-s3"]
    assert "s3cr3t" not in str(others)


def test_other_keys_have_a_secret_of_another_name(with_s3):
    names = set()
    for key in ("one", "two"):
        with_s3["s3"]["secretKey"] = key
        names.add(plan(with_s3).one("spark-s3").inputs["metadata"]["name"])
    assert len(names) == 2


def test_a_stack_without_s3_has_nothing_of_it():
    plan_ = planned()
    assert not [made for made in plan_.made if made.name in ("spark-s3", "spark-jars")]
    values = plan_.one("spark", RELEASE).inputs["values"]
    assert "conf" not in values["app"] and "envFromSecret" not in values["worker"]


def test_a_worker_that_no_node_can_hold():
    """The type has 4096 MiB."""
    plan({"spark": {"workerMemoryMiB": 3200}})
    with pytest.raises(SettingsError, match=r"workerMemoryMiB is 3201; .* at most 3200: a t3.medi"):
        plan({"spark": {"workerMemoryMiB": 3201}})
    plan({**EXISTING, "spark": {"workerMemoryMiB": 3201}})  # its nodes are not the stack's


def test_drivers_have_an_account_with_a_role_in_their_namespace_only():
    made = planned()
    role = made.one("spark-role").inputs
    binding = made.one("spark-role-binding").inputs
    account = made.one("spark-account").inputs
    assert "automountServiceAccountToken" not in account  # its pods are drivers, which need it
    name = {"name": "spark", "namespace": "spark"}
    assert role["metadata"] == binding["metadata"] == account["metadata"] == name
    assert binding["roleRef"]["kind"] == "Role"
    assert binding["subjects"] == [{"kind": "ServiceAccount", **name}]
    assert not made.of("kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding")
    granted = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert not {"secrets", "pods/exec", "*"} & granted
    assert not [rule for rule in role["rules"] if "*" in rule["verbs"]]
