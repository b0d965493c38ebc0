"""Spark's properties for the driver, where the driver's pod is the Job's."""

from __future__ import annotations

import dataclasses

from submission.application import Application, SparkPodSpec
from submission.manifests import manifests
from submission.properties import with_properties
from submission.resolve import resolve
from tests.place import PLACE

CONF = {
    "spark.kubernetes.driver.label.team": "a",
    "spark.kubernetes.driver.annotation.why": "test",
    "spark.kubernetes.node.selector.disk": "ssd",
    "spark.kubernetes.driver.node.selector.zone": "z1",
    "spark.kubernetes.driverEnv.GREETING": "hello",
    "spark.kubernetes.driver.secrets.vault": "/etc/vault",
    "spark.kubernetes.driver.secretKeyRef.PASSWORD": "vault:password",
    "spark.kubernetes.container.image": "both:1",
    "spark.kubernetes.driver.container.image": "driver:1",
    "spark.kubernetes.container.image.pullPolicy": "Always",
    "spark.kubernetes.driver.request.cores": "250m",
    "spark.kubernetes.driver.limit.cores": "750m",
}


def test_they_become_the_drivers_role():
    spec = with_properties(
        SparkPodSpec(labels={"team": "b", "x": "y"}, memory_mib=700), "driver", CONF
    )
    assert spec == SparkPodSpec(
        memory_mib=700,
        labels={"team": "a", "x": "y"},
        annotations={"why": "test"},
        node_selector={"disk": "ssd", "zone": "z1"},
        env={"GREETING": "hello"},
        secrets={"vault": "/etc/vault"},
        secret_env={"PASSWORD": "vault:password"},
        image="driver:1",
        pull_policy="Always",
        cpu_request="250m",
        cpu_limit="750m",
    )
    assert with_properties(SparkPodSpec(cores=1), "driver", {}) == SparkPodSpec(cores=1)


def test_and_reach_its_pod_in_client_mode():
    app = Application(name="pi", app="local:///pi.py", master="kubernetes", conf=CONF)
    template = manifests(resolve(app, PLACE)).job["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "a"
    assert template["spec"]["nodeSelector"] == {"disk": "ssd", "zone": "z1"}
    (driver,) = template["spec"]["containers"]
    assert (driver["image"], driver["imagePullPolicy"]) == ("driver:1", "Always")
    assert {"name": "GREETING", "value": "hello"} in driver["env"]
    assert {"name": "secret-0", "mountPath": "/etc/vault"} in driver["volumeMounts"]


def test_in_cluster_mode_they_are_for_the_driver_that_spark_makes():
    app = Application(name="pi", app="local:///pi.py", master="kubernetes", conf=CONF)
    apart = dataclasses.replace(app, deploy_mode="cluster")
    template = manifests(resolve(apart, PLACE)).job["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "host/spark:1"
    assert "nodeSelector" not in template["spec"]


def test_r_by_the_official_image_of_that_tag():
    """As far as the pods: nothing here has R."""
    r = "docker.io/apache/spark:4.2.0-r"
    app = Application(
        name="frame",
        app="local:///opt/spark/examples/src/main/r/dataframe.R",
        master="kubernetes",
        driver=SparkPodSpec(image=r),
        executor=SparkPodSpec(image=r),
    )
    (driver,) = manifests(resolve(app, PLACE)).job["spec"]["template"]["spec"]["containers"]
    assert driver["image"] == r
    assert driver["command"][-1] == "/opt/spark/bin/spark-submit"  # whether there is Python or not
    assert f"spark.kubernetes.executor.container.image={r}" in driver["args"]
    assert driver["args"][-1] == app.app
    place = dataclasses.replace(PLACE, image=r)
    apart = dataclasses.replace(app, driver=SparkPodSpec(), executor=SparkPodSpec())
    (driver,) = manifests(resolve(apart, place)).job["spec"]["template"]["spec"]["containers"]
    assert driver["image"] == r
