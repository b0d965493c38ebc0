"""What charts/spark renders to, and what its schema refuses."""

from __future__ import annotations

import base64
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.charts.conftest import CHART, Objects, conf

Helm = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[..., Objects]
CLAIM = 'volume.claimName="shared"'
MASTER, WORKER = "StatefulSet/spark-master", "Deployment/spark-worker"
HISTORY, CONNECT = "Deployment/spark-history", "Deployment/spark-connect"
BOTH = pytest.mark.parametrize("workload", [MASTER, WORKER])
ALL = pytest.mark.parametrize("workload", [MASTER, WORKER, HISTORY, CONNECT])
ON = "connect.enabled=true"


@pytest.fixture(scope="module")
def objects(render: Render) -> Objects:
    return render(CLAIM, ON)


def pod(objects: Objects, workload: str) -> Any:
    return objects[workload]["spec"]["template"]["spec"]


def container(objects: Objects, workload: str) -> Any:
    (only,) = pod(objects, workload)["containers"]
    return only


def test_lint(helm: Helm) -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


def test_names(objects: Objects) -> None:
    assert set(objects) == {
        "Secret/spark-auth",
        "ConfigMap/spark-daemons",
        "ConfigMap/spark-defaults",
        "ConfigMap/spark-native",
        "ConfigMap/spark-usage",
        "Service/spark-master",
        MASTER,
        WORKER,
        "PodDisruptionBudget/spark-worker",
        "ConfigMap/spark-history",
        "Service/spark-history",
        HISTORY,
        "Secret/spark-connect",
        CONNECT,
    }


def test_without_connect_nothing_differs(render: Render, objects: Objects) -> None:
    given = 'auth.existingSecret="mine"'
    own = render(CLAIM, ON, given, 'connect.existingSecret="ours"')
    of_connect = {name for name in own if name.endswith("-connect")}
    assert of_connect == {CONNECT}
    assert render(CLAIM, given) == {name: own[name] for name in own.keys() - of_connect}
    env = {e["name"]: e for e in container(own, CONNECT)["env"]}
    source = env["SPARK_CONNECT_AUTHENTICATE_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert source == {"name": "ours", "key": "secret"}


def test_connect_is_a_driver_on_the_workers(render: Render, objects: Objects) -> None:
    command = container(objects, CONNECT)["args"][0]
    token = base64.b64decode(objects["Secret/spark-connect"]["data"]["secret"]).decode()
    assert len(token) == 48 and token not in str(objects[CONNECT])
    volumes = {v["name"]: v for v in pod(objects, CONNECT)["volumes"]}
    assert volumes["conf"]["configMap"]["name"] == "spark-defaults"
    assert "measured.py --every 15 \\\n  /srv/shared/spark" in command
    assert "defaultSessionTimeout=60m" in command
    assert container(objects, CONNECT)["resources"] == {
        "requests": {"cpu": "100m", "memory": "512Mi"},
        "limits": {"memory": "1536Mi"},
    }
    given = '{"enabled":true,"idleMinutes":7,"memoryMiB":2000,"conf":{"spark.a.b":"it\'s"}}'
    own = render(f"connect={given}", 'worker.envFromSecret="store"')
    changed = container(own, CONNECT)
    for words in ("defaultSessionTimeout=7m", "--driver-memory 2000m", "spark.a.b=it"):
        assert words in changed["args"][0]
    assert "measured.py" not in changed["args"][0]  # there is no event log
    assert changed["resources"]["limits"] == {"memory": "2768Mi"}
    assert changed["envFrom"] == [{"secretRef": {"name": "store"}}]
    # A shell takes the words apart as they were written.
    assert "spark.a.b=it's" in shlex.split(changed["args"][0], comments=True)


def test_what_drivers_start_with_restarts_connect(render: Render, objects: Objects) -> None:
    def template(*values: str) -> Any:
        return render(CLAIM, ON, *values)[CONNECT]["spec"]["template"]

    assert template("app.coresMax=9") != template() == objects[CONNECT]["spec"]["template"]


def test_another_release_has_other_names(render: Render) -> None:
    objects = render(release="other")
    assert {name.partition("/")[2].partition("-")[0] for name in objects} == {"other"}
    assert "master=other-master" in container(objects, "Deployment/other-worker")["args"][0]
    assert conf(objects, "other-defaults")["spark.master"] == "spark://other-master:7077"


@ALL
def test_pods_are_restricted(objects: Objects, workload: str) -> None:
    spec = pod(objects, workload)
    assert spec["automountServiceAccountToken"] is False
    # A Service's variables (SPARK_MASTER_PORT=tcp://...) would stop Spark's daemons.
    assert spec["enableServiceLinks"] is False
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (185, 185, 185)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(objects, workload)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@BOTH
def test_image(render: Render, objects: Objects, workload: str) -> None:
    assert container(objects, workload)["image"] == "docker.io/apache/spark:4.2.0-python3"
    own = render('image={"repository":"registry:5000/me/spark","tag":"1","pullSecrets":["reg"]}')
    assert container(own, workload)["image"] == "registry:5000/me/spark:1"
    assert pod(own, workload)["imagePullSecrets"] == [{"name": "reg"}]


def test_rest_is_off_and_recovery_on(objects: Objects) -> None:
    daemons = conf(objects, "spark-daemons")
    assert daemons["spark.master.rest.enabled"] == "false"
    assert daemons["spark.deploy.recoveryMode"] == "FILESYSTEM"
    assert daemons["spark.deploy.recoveryDirectory"] == "/srv/shared/spark/recovery"


@pytest.mark.parametrize("name", ["spark-daemons", "spark-defaults", "spark-native"])
def test_all_authenticate_and_encrypt(objects: Objects, name: str) -> None:
    properties = conf(objects, name)
    assert properties["spark.authenticate"] == "true"
    assert properties["spark.network.crypto.enabled"] == "true"
    assert properties["spark.network.crypto.cipher"] == "AES/GCM/NoPadding"
    assert properties["spark.network.crypto.saslFallback"] == "false"


@BOTH
def test_secret_goes_in_by_environment(objects: Objects, workload: str, render: Render) -> None:
    secret = base64.b64decode(objects["Secret/spark-auth"]["data"]["secret"]).decode()
    assert len(secret) == 48 and secret.isalnum()
    others = {name: value for name, value in objects.items() if not name.startswith("Secret/")}
    assert secret not in str(others)

    def source(objects: Objects) -> Any:
        env = {e["name"]: e for e in container(objects, workload)["env"]}
        return env["_SPARK_AUTH_SECRET"]["valueFrom"]["secretKeyRef"]

    assert source(objects) == {"name": "spark-auth", "key": "secret"}
    given = render('auth.existingSecret="mine"')
    assert source(given) == {"name": "mine", "key": "secret"}
    assert "Secret/spark-auth" not in given


@BOTH
def test_daemons_start_with_little_work(objects: Objects, workload: str) -> None:
    """Not what they start: executors have options of their own."""
    env = {e["name"]: e.get("value") for e in container(objects, workload)["env"]}
    assert env["SPARK_DAEMON_JAVA_OPTS"] == "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    assert "JAVA_TOOL_OPTIONS" not in env and "JDK_JAVA_OPTIONS" not in env


@ALL
def test_claim(render: Render, objects: Objects, workload: str) -> None:
    mounts = {m["name"]: m["mountPath"] for m in container(objects, workload)["volumeMounts"]}
    has_usage = workload in (WORKER, CONNECT)
    usage = {"usage": "/opt/tinderbox/usage"} if has_usage else {}
    assert mounts == {
        "conf": "/opt/spark/conf",
        "scratch": "/tmp",
        "shared": "/srv/shared",
        **usage,
    }
    volumes = {v["name"]: v for v in pod(objects, workload)["volumes"]}
    assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == "shared"
    if workload != HISTORY:
        without = {v["name"] for v in pod(render(ON), workload)["volumes"]}
        assert without == {"conf", "scratch", *usage}


def test_workers_sample_where_there_is_an_event_log(render: Render, objects: Objects) -> None:
    programs = objects["ConfigMap/spark-usage"]["data"]
    assert programs == {file.name: file.read_text() for file in CHART.glob("files/*.py")}
    sampled = "python3 /opt/tinderbox/usage/sampler.py /srv/shared/spark/usage &\nexec "
    assert sampled in container(objects, WORKER)["args"][0]
    for without in (render(), render(CLAIM, "app.eventLog=false")):
        assert "sampler.py" not in container(without, WORKER)["args"][0]


def test_without_a_claim_nothing_points_at_it(render: Render) -> None:
    objects = render()
    assert "/srv/shared" not in str(objects)
    assert "spark.eventLog.enabled" not in conf(objects, "spark-defaults")
    assert HISTORY not in objects


@pytest.mark.parametrize("value", ["history.enabled=false", "app.eventLog=false"])
def test_no_history_without_event_logs(render: Render, value: str) -> None:
    assert not [name for name in render(CLAIM, value) if "history" in name]


def test_history(render: Render, objects: Objects) -> None:
    own = render(CLAIM, 'history={"retainDays":3,"conf":{"spark.history.ui.x":"y"}}')
    properties = conf(own, "spark-history")
    drivers = conf(own, "spark-defaults")["spark.eventLog.dir"]
    assert properties["spark.history.fs.logDirectory"] == drivers
    assert properties["spark.history.fs.cleaner.enabled"] == "true"
    assert properties["spark.history.fs.cleaner.maxAge"] == "3d"
    assert properties["spark.history.ui.x"] == "y"
    # It needs none of Spark's secret, and its settings restart no worker.
    assert "_SPARK_AUTH_SECRET" not in str(own[HISTORY])
    assert own[WORKER] == objects[WORKER] and own[HISTORY] != objects[HISTORY]
    # helm --wait counts what may be unavailable as ready.
    assert own[HISTORY]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 1
    assert own[HISTORY]["spec"]["replicas"] == 1


def test_native_drivers_have_the_same_defaults_without_a_masters(objects: Objects) -> None:
    standalone, native = conf(objects, "spark-defaults"), conf(objects, "spark-native")
    # A secret here would be taken before the one in the file; a bind address is Spark's to set.
    assert standalone.keys() - native.keys() == {
        "spark.authenticate.secret",
        "spark.cores.max",
        "spark.driver.bindAddress",
        "spark.master",
    }
    # Its pages are not behind a master's.
    assert native.pop("spark.ui.reverseProxy") == "false"
    assert native.items() <= standalone.items()


def test_drivers_defaults(render: Render, objects: Objects) -> None:
    defaults = conf(objects, "spark-defaults")
    assert defaults["spark.eventLog.dir"] == "file:///srv/shared/spark/events"
    assert defaults["spark.eventLog.rolling.enabled"] == "true"
    assert defaults["spark.eventLog.compression.codec"] == "zstd"
    assert "spark.tinderbox.nodePrice" not in defaults
    assert defaults["spark.cores.max"] == "4"
    assert defaults["spark.executor.memory"] == "1024m"
    app = '"coresMax":9,"executorMemoryMiB":600,"nodePrice":0.00125,"conf":{"spark.a.b":"c d"}'
    own = render(CLAIM, f"app={{{app}}}")
    changed = conf(own, "spark-defaults")
    assert changed["spark.cores.max"] == "9"
    assert float(changed["spark.tinderbox.nodePrice"]) == 0.00125
    assert changed["spark.executor.memory"] == "600m"
    assert changed["spark.a.b"] == "c d"

    def checksum(objects: Objects) -> str:
        return objects[WORKER]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    # What only drivers read restarts no worker; what workers read does.
    assert checksum(own) == checksum(objects)
    assert checksum(render(CLAIM, 'daemons.conf={"spark.x":"y"}')) != checksum(objects)


def test_workers_size(render: Render) -> None:
    worker = render('worker={"replicas":5,"cores":3,"memoryMiB":2000}')[WORKER]["spec"]
    assert worker["replicas"] == 5
    (only,) = worker["template"]["spec"]["containers"]
    assert "--cores 3 --memory 2000m" in only["args"][0]
    assert only["resources"] == {
        "requests": {"cpu": "200m", "memory": "1Gi"},
        "limits": {"memory": "2896Mi"},
    }


def test_a_limit_of_ones_own(render: Render) -> None:
    objects = render('worker.resources={"limits":{"memory":"9Gi"}}')
    assert container(objects, WORKER)["resources"]["limits"] == {"memory": "9Gi"}


def test_executors_have_the_keys_of_a_secret(render: Render, objects: Objects) -> None:
    """They inherit the worker's environment."""
    (worker,) = render('worker.envFromSecret="store"')[WORKER]["spec"]["template"]["spec"][
        "containers"
    ]
    assert worker["envFrom"] == [{"secretRef": {"name": "store"}}]
    assert "envFrom" not in container(objects, WORKER)


def test_workers_spread_over_nodes(render: Render, objects: Objects) -> None:
    (spread,) = pod(objects, WORKER)["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    labels = objects[WORKER]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        spread["labelSelector"],
        objects[WORKER]["spec"]["selector"],
        objects["PodDisruptionBudget/spark-worker"]["spec"]["selector"],
    ):
        assert selector["matchLabels"].items() <= labels.items()
    own = pod(render('worker.affinity={"nodeAffinity":{}}'), WORKER)
    assert "topologySpreadConstraints" not in own


@pytest.mark.parametrize(("workload", "key"), [(MASTER, "master"), (WORKER, "worker")])
def test_placement(render: Render, workload: str, key: str) -> None:
    objects = render(
        f'{key}={{"nodeSelector":{{"a":"b"}},"tolerations":[{{"operator":"Exists"}}],'
        '"priorityClassName":"high","podLabels":{"team":"x"},"podAnnotations":{"n":"o"}}'
    )
    spec = pod(objects, workload)
    assert spec["nodeSelector"] == {"a": "b"}
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["priorityClassName"] == "high"
    metadata = objects[workload]["spec"]["template"]["metadata"]
    assert metadata["labels"]["team"] == "x"
    assert metadata["annotations"]["n"] == "o"


@BOTH
def test_probes_ask_for_what_only_the_daemon_has(objects: Objects, workload: str) -> None:
    """Spark gives 200 and a page for a path that it does not know: /json/ is one that it does."""
    ports = {p["name"]: p["containerPort"] for p in container(objects, workload)["ports"]}
    assert ports["http"] in (8080, 8081)
    for probe in ("readinessProbe", "livenessProbe"):
        get = container(objects, workload)[probe]["httpGet"]
        assert get == {"path": "/json/", "port": "http"}
    assert container(objects, workload)["startupProbe"]["periodSeconds"] <= 2


def test_the_hook_has_time(objects: Objects) -> None:
    hook = container(objects, WORKER)["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert "SECONDS + 60" in hook
    assert pod(objects, WORKER)["terminationGracePeriodSeconds"] > 60


def test_service(objects: Objects) -> None:
    spec = objects["Service/spark-master"]["spec"]
    assert {port["name"]: port["port"] for port in spec["ports"]} == {"spark": 7077, "http": 8080}
    assert spec.get("type", "ClusterIP") == "ClusterIP"
    labels = objects[MASTER]["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"].items() <= labels.items()


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("worker.replicas=0", "replicas"),
        ('worker.replicas="3"', "replicas"),
        ("worker.memoryMiB=100", "memoryMiB"),
        ('worker.memory="1g"', "memory"),
        ("worker.cores=0", "cores"),
        ('worker.resources={"limits":{"memory":"much"}}', "memory"),
        ('image.tag="not a tag"', "tag"),
        ('image.pullPolicy="Sometimes"', "pullPolicy"),
        ('volume.mountPath="srv"', "mountPath"),
        ('volume.claimName="Not_A_Name"', "claimName"),
        ('app.conf={"not.spark":"x"}', "not.spark"),
        ('app.conf={"spark.x":"a\\nspark.authenticate false"}', "conf"),
        ("app.coresMax=0", "coresMax"),
        ("history.retainDays=0", "retainDays"),
        ("connect.idleMinutes=0", "idleMinutes"),
        ('connect.conf={"spark.x":"a\\nb"}', "conf"),
        ("app.executorMemoryMiB=4000", "executorMemoryMiB"),
        ('nonsense="x"', "nonsense"),
    ],
)
def test_bad_values_are_refused(helm: Helm, value: str, named: str) -> None:
    done = helm("template", "spark", str(CHART), "--set-json", value)
    assert done.returncode != 0
    assert named in done.stderr


def test_without_standalone_only_the_drivers_configuration_is_left(render: Render) -> None:
    values = ['auth={"existingSecret": "mine"}', 'volume={"claimName": "files"}']
    objects = render("standalone=false", ON, *values, release="team")
    assert set(objects) == {"ConfigMap/team-native", "ConfigMap/team-usage"}
    assert (
        "spark.authenticate true" in objects["ConfigMap/team-native"]["data"]["spark-defaults.conf"]
    )
