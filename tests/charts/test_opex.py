"""What charts/opex renders to for both engines, what it refuses, and its probes, run for real."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "charts" / "opex"
ANALYTICS, REPORT = "kube-opex-analytics", "kube-resource-report"
BOTH = pytest.mark.parametrize("engine", [ANALYTICS, REPORT])


def price(monthly: object) -> str:
    """A price list of one kind of node."""
    return f'[{{"region":"eu-central-1","instanceType":"t3.medium","monthly":{monthly}}}]'


VALUES = {
    ANALYTICS: ('costModel="CHARGE_BACK"', "hourlyRate=0.144"),
    REPORT: (f"prices={price(35.06)}",),
}

Helm = Callable[..., subprocess.CompletedProcess[str]]
Objects = dict[str, Any]


@pytest.fixture(scope="module")
def template(helm: Helm) -> Helm:
    """Run `helm template` for an engine, with more values as `--set-json` takes them."""

    def call(engine: str, *values: str) -> subprocess.CompletedProcess[str]:
        given = (f'engine="{engine}"', *VALUES.get(engine, ()), *values)
        sets = [arg for value in given for arg in ("--set-json", value)]
        return helm("template", "opex", str(CHART), "--namespace", "costs", *sets)

    return call


@pytest.fixture(scope="module")
def render(template: Helm) -> Callable[..., Objects]:
    def call(engine: str, *values: str) -> Objects:
        done = template(engine, *values)
        assert done.returncode == 0, done.stderr
        documents = [document for document in yaml.safe_load_all(done.stdout) if document]
        return {f"{d['kind']}/{d['metadata']['name']}": d for d in documents}

    return call


def pod(objects: Objects) -> dict[str, Any]:
    return objects["Deployment/opex"]["spec"]["template"]["spec"]


def engine_of(objects: Objects) -> dict[str, Any]:
    return pod(objects)["containers"][0]


def environment(objects: Objects) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in engine_of(objects)["env"]}


@BOTH
def test_lint(helm: Helm, engine: str) -> None:
    given = (f'engine="{engine}"', *VALUES[engine])
    sets = [arg for value in given for arg in ("--set-json", value)]
    done = helm("lint", "--strict", str(CHART), *sets)
    assert done.returncode == 0, done.stdout


@BOTH
def test_rendering_is_always_the_same(template: Helm, engine: str) -> None:
    assert template(engine).stdout == template(engine).stdout


@BOTH
def test_it_is_open_to_the_cluster_only(render: Callable[..., Objects], engine: str) -> None:
    objects = render(engine)
    assert {name.partition("/")[0] for name in objects} <= {
        *("ServiceAccount", "ClusterRole", "ClusterRoleBinding"),
        *("ConfigMap", "Service", "Deployment"),
    }
    service = objects["Service/opex"]["spec"]
    assert service["type"] == "ClusterIP"
    assert [port["port"] for port in service["ports"]] == [80]
    labels = objects["Deployment/opex"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    ports = [port for c in pod(objects)["containers"] for port in c.get("ports", [])]
    assert [port["name"] for port in ports] == [service["ports"][0]["targetPort"]]
    assert "hostNetwork" not in pod(objects) and "hostPort" not in ports[0]


@BOTH
def test_pods_are_restricted(render: Callable[..., Objects], engine: str) -> None:
    spec = pod(render(engine))
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        **dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), 4583),
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


@BOTH
def test_data_is_on_the_claim_and_one_pod_writes_it(
    render: Callable[..., Objects], engine: str
) -> None:
    objects = render(engine, 'volume.claimName="mine"')
    deployment = objects["Deployment/opex"]["spec"]
    assert deployment["replicas"] == 1 and deployment["strategy"] == {"type": "Recreate"}
    (claim,) = [v for v in pod(objects)["volumes"] if "persistentVolumeClaim" in v]
    assert claim["persistentVolumeClaim"] == {"claimName": "mine"}
    for container in pod(objects)["containers"]:
        mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        assert mounts[claim["name"]] == "/data"
    data = environment(objects).get("KOA_DB_LOCATION") or " ".join(engine_of(objects)["command"])
    assert f"/data/{engine}" in data


@BOTH
def test_it_may_look_and_change_nothing(render: Callable[..., Objects], engine: str) -> None:
    objects = render(engine)
    rules = objects["ClusterRole/costs-opex"]["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} <= {"get", "list", "watch"}
    readable = {
        (group, r) for rule in rules for group in rule["apiGroups"] for r in rule["resources"]
    }
    assert {("", "namespaces"), ("", "nodes"), ("", "pods")} <= readable
    assert {("metrics.k8s.io", "nodes"), ("metrics.k8s.io", "pods")} <= readable
    assert "secrets" not in {resource for _, resource in readable}
    binding = objects["ClusterRoleBinding/costs-opex"]
    assert binding["roleRef"]["name"] == "costs-opex"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "opex", "namespace": "costs"}]
    assert pod(objects)["serviceAccountName"] == "opex"


def test_analytics_as_released_with_the_clusters_own_certificates(
    render: Callable[..., Objects],
) -> None:
    objects = render(ANALYTICS)
    assert engine_of(objects)["image"] == "docker.io/rchakode/kube-opex-analytics:25.10.1"
    assert "command" not in engine_of(objects)  # the image's own
    assert engine_of(objects)["ports"] == [{"name": "http", "containerPort": 5483}]
    assert environment(objects) == {
        "KOA_DB_LOCATION": "/data/kube-opex-analytics/db",
        "KOA_K8S_API_ENDPOINT": "https://kubernetes.default.svc",
        "KOA_K8S_API_VERIFY_SSL": "true",
        "KOA_K8S_CACERT": "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
        "KOA_COST_MODEL": "CHARGE_BACK",
        "KOA_BILLING_HOURLY_RATE": "0.144",
        "KOA_BILLING_CURRENCY_SYMBOL": "$",
    }
    # It writes there what it shows, and the root file system is read-only.
    writable = {m["mountPath"] for m in engine_of(objects)["volumeMounts"]}
    assert {"/data", "/tmp", "/koa/static/data"} <= writable


@pytest.mark.parametrize("model", ["CUMULATIVE_RATIO", "RATIO"])
def test_models_without_money_need_no_rate(render: Callable[..., Objects], model: str) -> None:
    given = environment(render(ANALYTICS, f'costModel="{model}"', "hourlyRate=null"))
    assert given["KOA_COST_MODEL"] == model
    assert given["KOA_BILLING_HOURLY_RATE"] == ""


def test_the_report_has_prices_and_todays_labels(render: Callable[..., Objects]) -> None:
    objects = render(REPORT)
    prices = objects["ConfigMap/opex"]["data"]["prices.csv"]
    assert prices == "eu-central-1,t3.medium,35.06\n"
    command = engine_of(objects)["command"][-1]
    assert "--pricing-file /etc/opex/prices.csv" in command
    assert "--update-interval-minutes 1" in command
    assert environment(objects)["NODE_LABEL_REGION"] == "topology.kubernetes.io/region"
    assert environment(objects)["NODE_LABEL_INSTANCE_TYPE"] == "node.kubernetes.io/instance-type"


def test_other_prices_start_the_engine_anew(render: Callable[..., Objects]) -> None:
    def annotations(*values: str) -> Any:
        return render(REPORT, *values)["Deployment/opex"]["spec"]["template"]["metadata"][
            "annotations"
        ]

    assert annotations() == annotations()
    assert annotations() != annotations(f"prices={price(36)}")


def test_another_image(render: Callable[..., Objects]) -> None:
    containers = pod(render(REPORT, 'image="host:5000/mine:2"'))["containers"]
    assert {container["image"] for container in containers} == {"host:5000/mine:2"}


@pytest.mark.parametrize(
    ("engine", "value", "named"),
    [
        ("kubecost", 'image=""', 'engine is "kubecost"; it must be one of kube-opex-analytics'),
        *((REPORT, f"prices={price(monthly)}", "monthly") for monthly in ("0", "-1", '"much"')),
        (REPORT, "prices=[]", "prices is empty"),
        (ANALYTICS, "hourlyRate=0", "hourlyRate"),
        (ANALYTICS, "hourlyRate=-0.1", "hourlyRate"),
        (ANALYTICS, 'hourlyRate="much"', "hourlyRate"),
        (ANALYTICS, "hourlyRate=null", "hourlyRate is empty"),
        (ANALYTICS, 'costModel="FREE"', "costModel"),
        (ANALYTICS, 'image="untagged"', "image"),
        (ANALYTICS, 'volume.claimName="Not_A_Name"', "claimName"),
        (ANALYTICS, 'resources={"limits":{"memory":"much"}}', "memory"),
        (ANALYTICS, 'nonsense="x"', "nonsense"),
    ],
)
def test_bad_values_are_refused(template: Helm, engine: str, value: str, named: str) -> None:
    done = template(engine, value)
    assert done.returncode != 0
    assert named in done.stderr


# ---- the probes


def probe(objects: Objects, name: str, *here: tuple[str, str]) -> bool:
    """Run a probe's command, with what a pod has (first of each pair) put somewhere else."""
    command = engine_of(objects)[name]["exec"]["command"]
    for there, instead in here:
        assert there in str(command)
        command = [word.replace(there, instead) for word in command]
    return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=20).returncode == 0


@BOTH
def test_probes_cost_little_once_it_has_started(
    render: Callable[..., Objects], engine: str
) -> None:
    """Each that is a command starts a program in the pod, by way of containerd."""
    for container in pod(render(engine))["containers"]:
        assert container["startupProbe"]["periodSeconds"] <= 2
        for name in {"readinessProbe", "livenessProbe"} & container.keys():
            least = 60 if "exec" in container[name] else 20
            assert container[name]["periodSeconds"] >= least


def aged(file: Path, minutes: float) -> None:
    then = time.time() - minutes * 60
    os.utime(file, (then, then))


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder, and the port on which its files are served."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path, server.server_port
        server.shutdown()


def test_analytics_are_ready_when_they_have_listed_nodes(
    render: Callable[..., Objects], pages: tuple[Path, int]
) -> None:
    objects, (folder, port) = render(ANALYTICS), pages
    here = ("127.0.0.1:5483", f"127.0.0.1:{port}")
    assert not probe(objects, "startupProbe", here)
    (folder / "dataset").mkdir()
    (folder / "dataset" / "nodes.json").write_text("{}")
    assert not probe(objects, "startupProbe", here)
    (folder / "dataset" / "nodes.json").write_text('{"ip-10-42-0-5": {"state": "Ready"}}')
    assert probe(objects, "startupProbe", here) and probe(objects, "readinessProbe", here)


def test_analytics_are_dead_when_either_thread_is(
    render: Callable[..., Objects], tmp_path: Path
) -> None:
    objects, here = render(ANALYTICS), ("/koa/static/data", str(tmp_path))
    nodes, trends = tmp_path / "nodes.json", tmp_path / "cpu_usage_trends.json"
    nodes.write_text("{}")
    assert not probe(objects, "livenessProbe", here)
    trends.write_text("[]")
    assert probe(objects, "livenessProbe", here)
    for file in (nodes, trends):
        aged(file, 26)
        assert not probe(objects, "livenessProbe", here)
        aged(file, 9)
        assert probe(objects, "livenessProbe", here)


def test_a_report_is_ready_with_a_node_and_dead_when_it_gets_old(
    render: Callable[..., Objects], tmp_path: Path
) -> None:
    objects, here = render(REPORT), (f"/data/{REPORT}", str(tmp_path))
    nodes = tmp_path / "nodes.tsv"
    assert not probe(objects, "startupProbe", here)
    nodes.write_text("Cluster ID\tNode\r\n")
    assert not probe(objects, "startupProbe", here)
    nodes.write_text("Cluster ID\tNode\r\n10-96-0-1\tip-10-42-0-5\r\n")
    assert probe(objects, "startupProbe", here) and probe(objects, "readinessProbe", here)
    assert probe(objects, "livenessProbe", here)
    aged(nodes, 6)
    assert not probe(objects, "readinessProbe", here) and probe(objects, "livenessProbe", here)
    aged(nodes, 11)
    assert not probe(objects, "livenessProbe", here)
