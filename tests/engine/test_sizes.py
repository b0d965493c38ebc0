"""The real Spark makes its pods of just the sizes that are counted (submission/resolve.py).

tests/unit/submission/test_resolve.py has the formulas for any properties; this holds them against
what spark-submit and a driver make of our command line and templates in a real API server.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pyspark
import pytest
import yaml
from kubernetes import client, config, utils

from submission.application import Application
from submission.manifests import manifests
from submission.resolve import Resolved, resolve
from submission.sizes import NOTHING, Amount, requested
from tests import place
from tests.engine import kube_api
from tests.processes import bound

HOME = Path(pyspark.__file__).parent
PLACE = dataclasses.replace(place.PLACE, namespace="sizes")
CONF = {
    "spark.executor.memory": "1GB",
    "spark.executor.memoryOverheadFactor": "0.7",
    "spark.executor.pyspark.memory": "300m",
    "spark.memory.offHeap.enabled": "true",
    "spark.memory.offHeap.size": "100m",
    "spark.executor.cores": "2",
    "spark.kubernetes.executor.request.cores": "1500m",
    "spark.driver.memory": "700",
    "spark.driver.minMemoryOverhead": "1g",
    "spark.driver.cores": "3",
    "spark.kubernetes.node.selector.disk": "ssd",
    "spark.kubernetes.executor.node.selector.disk": "tape",
}
IDLE = "import sys; from pyspark import SparkContext; SparkContext(); sys.stdin.read()"


@pytest.fixture(scope="module", autouse=True)
def there(server: kube_api.KubeApi) -> None:
    """The namespace and the account of the place."""
    api = config.new_client_from_config_dict(yaml.safe_load(server.kubeconfig))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE.namespace}}
    # The one that the executors belong to.
    container = {"name": "driver", "image": "example.com/driver:1"}
    spec = {"serviceAccountName": "robot", "containers": [container]}
    job = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "executor"}, "spec": spec}
    for manifest in (namespace, account, job):
        utils.create_from_dict(api, manifest, namespace=PLACE.namespace)


def _made(
    server: kube_api.KubeApi, folder: Path, resolved: Resolved, more: dict[str, str], role: str
) -> tuple[Amount, dict[str, str]]:
    """What the first pod of that role asks for, and where it may be, as Spark makes it."""
    job = manifests(resolved)
    args = job.job["spec"]["template"]["spec"]["containers"][0]["args"]
    for name, content in ((job.files or {}).get("data") or {}).items():
        (folder / name).write_text(content)
    (folder / "secret").write_text("secret")
    (folder / "kubeconfig").write_text(server.kubeconfig)
    here = {"/opt/tinderbox/app": str(folder), "/opt/tinderbox/auth": str(folder)}
    here |= {"$(POD_IP)": "127.0.0.1", "$(POD)": role, args[1]: f"k8s://{server.server}"}
    for before, after in here.items():
        args = [argument.replace(before, after) for argument in args]
    for key, value in more.items():
        args[2:2] = ["--conf", f"{key}={value}"]
    process = subprocess.Popen(
        bound([HOME / "bin" / "spark-submit", *args]),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("wb"),
        env={**os.environ, "SPARK_HOME": str(HOME), "KUBECONFIG": str(folder / "kubeconfig")},
    )
    api = client.CoreV1Api(config.new_client_from_config_dict(yaml.safe_load(server.kubeconfig)))
    try:
        end = time.monotonic() + 180
        while not (
            pods := api.list_namespaced_pod(
                PLACE.namespace, label_selector=f"spark-role={role}"
            ).items
        ):
            assert process.poll() in (None, 0) and time.monotonic() < end, (
                folder / "log"
            ).read_text()
            time.sleep(0.5)
    finally:
        process.kill()
        process.communicate()
    spec: Any = pods[0].spec
    amounts = [requested(container.resources.requests) for container in spec.containers]
    return sum(amounts, NOTHING), spec.node_selector


def test_executors(server, tmp_path):
    program = tmp_path / "idle.py"
    program.write_text(IDLE)
    app = Application("pi", str(program), master="kubernetes", conf=CONF, instances=1)
    resolved = resolve(app, PLACE)
    pod = resolved.executor_pod
    assert pod is not None
    assert _made(server, tmp_path, resolved, {}, "executor") == (pod.amount, pod.selector)
    assert pod.amount == Amount(1.51, 1024 + 716 + 300 + 100 + 32)


def test_a_driver_that_spark_submit_makes(server, tmp_path):
    app = Application("pi", "local:///pi.py", master="kubernetes", deploy_mode="cluster", conf=CONF)
    resolved = resolve(app, PLACE)
    template = {"spark.kubernetes.driver.podTemplateFile": str(tmp_path / "driver-pod.json")}
    driver = resolved.drivers[0]
    made = _made(server, tmp_path, resolved, template, "driver")
    assert made == (driver.amount, driver.selector)
    assert driver.amount == Amount(3, 700 + 1024)
