"""Every property of Spark 2.3's table for Kubernetes: does it reach the pod?

The real spark-submit makes driver pods in a real API server (kube_api.py), three times in cluster
mode. Nothing runs a pod there, so the first driver runs on loopback, as its pod would: with the
spark.properties that spark-submit wrote for it. It makes executor pods.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyspark
import pytest
import yaml
from kubernetes import client, config, utils

from tests.engine import kube_api
from tests.engine.spark_properties import PAGE, Property, page, properties
from tests.processes import bound

HOME = Path(pyspark.__file__).parent
NAMESPACE = "props"
PROPERTIES = properties()
# What each run needs besides the properties that it is there for.
RUNS: dict[str, dict[str, str]] = {
    "token": {
        "spark.kubernetes.authenticate.submission.caCertFile": "{authority}",
        "spark.executor.instances": "5",
    },
    "certificate": {
        "spark.kubernetes.namespace": NAMESPACE,
        "spark.kubernetes.container.image": "example.com/spark:1",
        "spark.kubernetes.driver.pod.name": "certificate-driver",
    },
    "token-file": {
        "spark.kubernetes.namespace": NAMESPACE,
        "spark.kubernetes.authenticate.submission.caCertFile": "{authority}",
        "spark.kubernetes.driver.pod.name": "token-file-driver",
        "spark.kubernetes.submission.waitAppCompletion": "false",
    },
}
# The third is a program in R, as far as its pod goes.
PROGRAMS = {"token-file": "local:///opt/spark/examples/src/main/r/dataframe.R"}
DRIVERS = {name: f"{name}-driver" for name in RUNS} | {"token": "props-driver"}
TEMPLATE = {
    "spec": {
        "initContainers": [{"name": "prepare", "image": "example.com/prepare:1"}],
        "priorityClassName": "props",
        "tolerations": [{"key": "batch", "operator": "Exists", "effect": "NoSchedule"}],
    }
}
# A program that only has its executors made, until it is ended.
IDLE = "import sys; from pyspark import SparkContext; SparkContext(); sys.stdin.read()"
REPORT = "Application status for"


@dataclass
class Submissions:
    """What the runs of spark-submit made, and what they printed."""

    api: client.CoreV1Api
    values: dict[str, str]
    folder: Path
    process: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """A text of the data file with the values that were made for this run."""
        for name, value in self.values.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def printed(self, run: str) -> str:
        """What spark-submit or the driver printed until now."""
        return (self.folder / f"{run}.log").read_text()

    def pod(self, run: str) -> Any:
        """The driver's pod."""
        return self.api.read_namespaced_pod(DRIVERS[run], NAMESPACE)

    def config_map(self, run: str, volume: str) -> dict[str, str]:
        """Content of the ConfigMap that the driver's pod mounts as that volume."""
        volumes = {item.name: item for item in self.pod(run).spec.volumes}
        name = volumes[volume].config_map.name
        return self.api.read_namespaced_config_map(name, NAMESPACE).data or {}

    def driver_config(self, run: str) -> dict[str, str]:
        """The spark.properties that spark-submit wrote for the driver, as {key: value}."""
        return _read_properties(
            self.config_map(run, "spark-conf-volume-driver")["spark.properties"]
        )

    def executors(self) -> list[Any]:
        """The executors' pods of the first run, in the order of their numbers."""
        selector = "spark-role=executor"
        pods = self.api.list_namespaced_pod(NAMESPACE, label_selector=selector).items
        return sorted(pods, key=lambda pod: int(pod.metadata.labels["spark-exec-id"]))

    def paths(self, pod: str, paths: list[str]) -> list[str]:
        """What kubectl prints for each jsonpath."""
        template = "".join(f'{path}{{"\\n"}}' for path in paths)
        command = ["kubectl", "--kubeconfig", self.folder / "kubeconfig", "-n", NAMESPACE]
        done = subprocess.run(
            [*command, "get", "pod", pod, "-o", f"jsonpath={template}"],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()


@pytest.fixture(scope="module")
def submissions(
    server: kube_api.KubeApi, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Submissions]:
    """Three runs of spark-submit at once, and a driver with its executors."""
    folder = tmp_path_factory.mktemp("spark")
    with ExitStack() as stack:
        (folder / "kubeconfig").write_text(server.kubeconfig)
        api = _prepare(server)
        made = Submissions(api, _values(server, folder), folder)
        for run in RUNS:
            arguments = ["--master", f"k8s://{server.server}", "--deploy-mode", "cluster"]
            given = dict(RUNS[run])
            for row in PROPERTIES:
                given |= row.settings if row.run == run else {}
            program = PROGRAMS.get(run, "local:///opt/spark/pi.py")
            stack.enter_context(_spark_submit(made, run, given, [*arguments, program]))
        for run in RUNS:
            _wait(lambda run=run: made.driver_config(run), f"{run}'s pod", made, run)
        stack.enter_context(_driver(made, server))
        _wait(lambda: len(made.executors()) == 5, "five executors", made, "driver")
        yield made


def _prepare(server: kube_api.KubeApi) -> client.CoreV1Api:
    """What must exist before: namespace, service account, Secret and priority class."""
    connection = config.new_client_from_config_dict(yaml.safe_load(server.kubeconfig))
    for manifest in (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "spark-driver"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault"}},
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "props"},
            "value": 10,
        },
    ):
        utils.create_from_dict(connection, manifest, namespace=NAMESPACE)
    return client.CoreV1Api(connection)


def _values(server: kube_api.KubeApi, folder: Path) -> dict[str, str]:
    (folder / "token").write_text(kube_api.TOKEN)
    (folder / "template.yaml").write_text(yaml.safe_dump(TEMPLATE))
    return {
        "token": kube_api.TOKEN,
        "token_file": str(folder / "token"),
        "authority": server.authority,
        "certificate": server.client_certificate,
        "key": server.client_key,
        "driver_template": str(folder / "template.yaml"),
        "executor_template": str(folder / "template.yaml"),
    }


@contextmanager
def _driver(made: Submissions, server: kube_api.KubeApi) -> Generator[None]:
    """The first run's driver, on loopback: what its pod's entry point starts there."""
    template = made.folder / "executor.yaml"
    (content,) = made.config_map("token", "pod-template-volume").values()
    template.write_text(content)
    given = made.driver_config("token") | {
        "spark.kubernetes.driver.master": server.server,
        "spark.kubernetes.executor.podTemplateFile": str(template),
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
    }
    program = made.folder / "idle.py"
    program.write_text(IDLE)
    # They are in the image, which is not here.
    for name in ("spark.jars", "spark.files"):
        del given[name]
    with _spark_submit(made, "driver", given, ["--deploy-mode", "client", str(program)]):
        yield


@contextmanager
def _spark_submit(
    made: Submissions, run: str, given: dict[str, str], arguments: list[str]
) -> Generator[None]:
    """Runs spark-submit in the background. No other credentials than those given are in reach."""
    file = made.folder / f"{run}.properties"
    file.write_text("".join(f"{key} {made.fill(value)}\n" for key, value in given.items()))
    env = {
        **os.environ,
        "SPARK_HOME": str(HOME),
        "HOME": str(made.folder),
        "KUBECONFIG": str(made.folder / "none"),
    }
    with (made.folder / f"{run}.log").open("wb") as log:
        process = subprocess.Popen(
            bound([HOME / "bin" / "spark-submit", "--properties-file", file, *arguments]),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=env,
        )
    made.process[run] = process
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def _wait(done: Callable[[], Any], what: str, made: Submissions, run: str) -> None:
    """Waits, on a busy machine too; what the process printed is in the failure's text."""
    deadline = time.monotonic() + 180
    while True:
        try:
            if done():
                return
        except client.ApiException as error:
            if error.status != 404:
                raise
        if time.monotonic() > deadline or made.process[run].poll():
            pytest.fail(f"no {what}:\n{made.printed(run)[-4000:]}")
        time.sleep(0.5)


def _read_properties(text: str) -> dict[str, str]:
    """Java's properties format, as far as Spark writes it."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = (line.partition("=") for line in lines)
    return {key: re.sub(r"\\(.)", r"\1", value) for key, _, value in pairs}


def _config_of_this_spark() -> set[str]:
    """All names of spark.kubernetes.* properties in the jar of the Spark that is installed."""
    (jar,) = (HOME / "jars").glob("spark-kubernetes_*.jar")
    with zipfile.ZipFile(jar) as classes:
        code = b"".join(classes.read(name) for name in classes.namelist())
    found = set(re.findall(rb"spark\.kubernetes\.[A-Za-z.]*", code))
    return {name.decode() for name in found}


@pytest.mark.parametrize("row", PROPERTIES, ids=lambda row: row.name)
def test_a_property_reaches_its_place(row: Property, submissions: Submissions) -> None:
    if row.behaviour:
        assert row.behaviour in globals()
    else:
        assert row.driver or row.executor or row.config or row.gone
    for pod, places in (
        (DRIVERS[row.run], row.driver),
        ("props-worker-exec-1", row.executor),
    ):
        if places:
            assert submissions.paths(pod, list(places)) == list(places.values())
    found = submissions.driver_config(row.run)
    for key, value in row.config.items():
        assert found[key] == submissions.fill(value)


def test_those_that_are_gone_are_gone_and_what_replaced_them_reaches_the_driver(
    submissions: Submissions,
) -> None:
    known = _config_of_this_spark()
    found = submissions.driver_config("token")
    for row in PROPERTIES:
        if row.gone:
            assert row.name not in known
            assert not set(row.settings) - set(found)
    assert found["spark.executor.maxNumFailures"] == "7"


def test_the_table_is_whole() -> None:
    names = [row.name for row in PROPERTIES]
    assert len(names) == len(set(names)) == 42


def test_executors_come_in_batches(submissions: Submissions) -> None:
    asked = re.findall(r"Going to request (\d+) executors", submissions.printed("driver"))
    assert asked == ["2", "2", "1"]
    made = [pod.metadata.creation_timestamp for pod in submissions.executors()]
    # The first batch comes at once, the others at each turn of the clock; stamps are whole seconds.
    assert (made[4] - made[3]).total_seconds() >= 3


def test_a_certificate_submits(submissions: Submissions) -> None:
    """Nothing but the certificate, its key and the server's authority were in reach."""
    assert submissions.pod("certificate").metadata.name == "certificate-driver"


def test_a_token_submits(submissions: Submissions) -> None:
    for run in ("token", "token-file"):
        assert submissions.process[run].wait(30) == 0
        assert kube_api.TOKEN not in submissions.printed(run)


def test_credentials_for_the_driver_travel_in_a_secret(submissions: Submissions) -> None:
    expected = {
        # Of the four that this run was given; see what the data says of oauthTokenFile.
        "certificate": {"ca-cert", "client-key", "client-cert"},
        "token-file": {"oauth-token"},
    }
    for run, keys in expected.items():
        pod = submissions.pod(run)
        name = next(v.secret.secret_name for v in pod.spec.volumes if v.secret)
        secret = submissions.api.read_namespaced_secret(name, NAMESPACE)
        assert set(secret.data or ()) == keys
        mounts = {mount.mount_path for mount in pod.spec.containers[0].volume_mounts}
        assert "/mnt/secrets/spark-kubernetes-credentials" in mounts
        assert kube_api.TOKEN not in str(submissions.driver_config(run))


def test_the_driver_makes_executors_with_mounted_credentials(submissions: Submissions) -> None:
    """The driver on loopback had no other credentials than those files."""
    assert len(submissions.executors()) == 5


def test_spark_submit_waits_or_not(submissions: Submissions) -> None:
    assert submissions.process["token"].wait(30) == 0
    assert submissions.process["certificate"].poll() is None
    reports = submissions.printed("certificate").count(REPORT)
    time.sleep(7)
    more = submissions.printed("certificate").count(REPORT) - reports
    assert more in (2, 3)  # of seven seconds, every third; it would be seven
    ended = {"status": {"phase": "Succeeded"}}
    submissions.api.patch_namespaced_pod_status("certificate-driver", NAMESPACE, ended)
    assert submissions.process["certificate"].wait(30) == 0


def test_r_has_a_pod_of_its_own_image(submissions: Submissions) -> None:
    driver = submissions.pod("token-file").spec.containers[0]
    assert driver.image == "docker.io/apache/spark:4.2.0-r"
    assert driver.args[0] == "driver"
    assert "org.apache.spark.deploy.RRunner" in driver.args
    assert PROGRAMS["token-file"] in driver.args


def test_the_page_shows_the_data() -> None:
    assert PAGE.read_text() == page(), "python -m tests.engine.spark_properties"
