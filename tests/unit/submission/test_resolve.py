"""One truth: what the checks count is what the pods ask for, whatever the properties say.

Executors' pods, and in cluster mode the driver's, are made by Spark from its command line and a
template; `as_spark_does` says how (tests/engine/test_sizes.py holds it against the real Spark).
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from submission.application import Application, SparkPodSpec
from submission.errors import ApplicationError
from submission.manifests import Manifests, manifests
from submission.properties import _TYPES
from submission.quota import require_quota
from submission.resolve import Resolved, resolve
from submission.room import require_room
from submission.sizes import NOTHING, Allocatable, Amount, Pod, requested
from tests.place import PLACE

K8S = "spark.kubernetes."
SIZES = st.sampled_from(["512", "512m", "1g", "2GB", "1048576k", "700M", " 3g "])
SHARES = st.sampled_from(["0.1", ".25", "2", "1.5"])
CPUS = st.sampled_from(["64", "500m", "1.5", "0.25", "3000m"])
COUNTS = st.integers(1, 9).map(str)
DISKS = st.sampled_from(["ssd", "tape"])
TRUTHS = st.sampled_from(["true", "false", "True"])
COUNTED: dict[str, st.SearchStrategy[str]] = {
    "spark.executor.instances": COUNTS,
    "spark.executor.pyspark.memory": SIZES,
    "spark.memory.offHeap.enabled": TRUTHS,
    "spark.memory.offHeap.size": st.sampled_from(["1g", "1073741824", "1500k"]),
    "spark.dynamicAllocation.enabled": TRUTHS,
    "spark.dynamicAllocation.minExecutors": COUNTS,
    f"{K8S}memoryOverheadFactor": SHARES,
    f"{K8S}node.selector.disk": DISKS,
    **{
        key.format(pods): values
        for pods in ("driver", "executor")
        for key, values in {
            "spark.{}.memory": SIZES,
            "spark.{}.cores": COUNTS,
            "spark.{}.memoryOverhead": SIZES,
            "spark.{}.memoryOverheadFactor": SHARES,
            "spark.{}.minMemoryOverhead": SIZES,
            f"{K8S}{{}}.request.cores": CPUS,
            "spark.{}.resource.gpu.amount": COUNTS,
            f"{K8S}{{}}.node.selector.disk": DISKS,
            f"{K8S}{{}}.node.selector.zone": DISKS,
        }.items()
    },
}
VENDORS = {
    f"spark.{pods}.resource.gpu.vendor": st.just("nvidia.com") for pods in ("driver", "executor")
}
ROLES = st.builds(
    SparkPodSpec,
    cores=st.none() | st.integers(1, 8),
    memory_mib=st.none() | st.integers(500, 4000),
    overhead_mib=st.integers(0, 2000),
    cpu_request=st.none() | CPUS,
    node_selector=st.dictionaries(st.just("disk"), DISKS),
)
APPLICATIONS = st.builds(
    Application,
    name=st.just("pi"),
    app=st.sampled_from(["local:///pi.py", "local:///pi.jar", "local:///pi.R"]),
    main_class=st.just("Pi"),
    master=st.sampled_from(["standalone", "kubernetes"]),
    instances=st.none() | st.integers(1, 9),
    conf=st.fixed_dictionaries(VENDORS, optional=COUNTED),
    driver=ROLES,
    executor=ROLES,
)
CLUSTER = APPLICATIONS.map(
    lambda app: dataclasses.replace(app, master="kubernetes", deploy_mode="cluster")
)


def command_line(made: Manifests) -> dict[str, str]:
    """The properties that spark-submit gets."""
    args = made.job["spec"]["template"]["spec"]["containers"][0]["args"]
    pairs = [args[i + 1] for i, argument in enumerate(args) if argument == "--conf"]
    return dict(pair.split("=", 1) for pair in pairs)


def pod_of(spec: dict[str, Any]) -> tuple[Amount, dict[str, str]]:
    """What Kubernetes counts of a pod, and where it may be."""
    containers = [requested(item["resources"]["requests"]) for item in spec["containers"]]
    return sum(containers, NOTHING), spec.get("nodeSelector", {})


def as_spark_does(pods: str, conf: dict[str, str], template: dict[str, Any]) -> dict[str, Any]:
    """The pod's spec that Spark makes; of sizes only what our command line leaves to it."""
    mib = int(conf[f"spark.{pods}.memory"].removesuffix("m"))
    mib += int(conf[f"spark.{pods}.memoryOverhead"].removesuffix("m"))
    if pods == "executor" and conf.get("spark.memory.offHeap.enabled", "").lower() == "true":
        size = conf["spark.memory.offHeap.size"]
        mib += {"1g": 1024, "1073741824": 1024, "1500k": 1}[size]
    if pods == "executor" and conf.get(f"{K8S}resource.type") == "python":
        mib += int(conf["spark.executor.pyspark.memory"].removesuffix("m"))
    cpu = conf.get(f"{K8S}{pods}.request.cores", conf[f"spark.{pods}.cores"])
    first, *others = template["spec"]["containers"]
    requests = {"cpu": cpu, "memory": f"{mib}Mi"}
    if (count := conf.get(f"spark.{pods}.resource.gpu.amount")) is not None:
        requests["nvidia.com/gpu"] = count
    made = {**first, "resources": {"requests": requests}}
    selector = dict(template["spec"].get("nodeSelector", {}))
    for prefix in (f"{K8S}node.selector.", f"{K8S}{pods}.node.selector."):
        found = {key: value for key, value in conf.items() if key.startswith(prefix)}
        selector |= {key.removeprefix(prefix): value for key, value in found.items()}
    return {"containers": [made, *others], "nodeSelector": selector}


def rendered(resolved: Resolved) -> list[tuple[Amount, dict[str, str]]]:
    """All kinds of pods that come of the manifests."""
    made = manifests(resolved)
    found = [pod_of(made.job["spec"]["template"]["spec"])]
    conf = command_line(made)
    for pods in ("driver", "executor"):
        template = ((made.files or {}).get("data") or {}).get(f"{pods}-pod.json")
        if template is not None:
            found.append(pod_of(as_spark_does(pods, conf, json.loads(template))))
    return found


def counted(resolved: Resolved) -> list[Pod]:
    """All kinds of pods that the checks know of."""
    return [*resolved.drivers, *([resolved.executor_pod] if resolved.executor_pod else [])]


def resolvable(application: Application) -> Resolved:
    """Leaves out those that are refused, which is tested below."""
    try:
        return resolve(application, PLACE)
    except ApplicationError:
        reject()


@settings(max_examples=300)
@given(APPLICATIONS | CLUSTER)
def test_what_is_checked_is_what_the_pods_ask_for(application):
    resolved = resolvable(application)
    seen = sorted((str(amount), sorted(where.items())) for amount, where in rendered(resolved))
    known = [(str(pod.amount), sorted(pod.selector.items())) for pod in counted(resolved)]
    assert sorted(known) == seen


@settings(max_examples=100)
@given(APPLICATIONS.map(lambda app: dataclasses.replace(app, master="kubernetes")) | CLUSTER)
def test_room_and_quota_end_where_the_pods_do(application):
    resolved = resolvable(application)
    pods = rendered(resolved)
    nodes = [Allocatable(amount, where) for amount, where in pods]
    require_room(resolved, nodes)
    # With a MiB less for the largest, there is a pod without a node.
    largest = max(nodes, key=lambda node: (node.has.memory_mib, node.has.cores))
    less = [node for node in nodes if node is not largest]
    less.append(Allocatable(largest.has - Amount(0, 1), largest.labels))
    with pytest.raises(ApplicationError, match="no node"):
        require_room(resolved, less)
    executor, count = resolved.executor_pod, resolved.executors
    assert executor is not None
    drivers = [pod.amount for pod in resolved.drivers]
    whole = sum(drivers, NOTHING) + executor.amount * count
    hard = {
        "requests.cpu": f"{whole.cores:g}",
        "requests.memory": f"{whole.memory_mib:.0f}Mi",
        "pods": str(len(drivers) + count),
    }
    place = dataclasses.replace(PLACE, quota=hard)
    require_quota(resolve(application, place))
    tight = dataclasses.replace(
        PLACE, quota=hard | {"requests.memory": f"{whole.memory_mib - 1:.0f}Mi"}
    )
    with pytest.raises(ApplicationError, match="more than the quota"):
        require_quota(resolve(application, tight))


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(_TYPES)), st.text(max_size=12) | st.sampled_from(["0.5", "two", "-1"])
)
def test_whatever_stands_in_a_property_is_taken_or_one_line(key, text):
    application = Application("pi", "local:///pi.py", master="kubernetes", conf={key: text})
    try:
        resolve(application, PLACE)
    except ApplicationError as error:
        assert key.rpartition(".")[2] in str(error)


NATIVE = Application("pi", "local:///pi.py", master="kubernetes")


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"spark.executor.cores": "0.5"}, "spark.executor.cores=0.5 must be a whole number"),
        ({"spark.task.cpus": "two"}, "spark.task.cpus=two must be a whole number from 1"),
        ({"spark.task.cpus": "2"}, "spark.task.cpus=2 is more than spark.executor.cores=1"),
        ({"spark.executor.instances": "-3"}, "spark.executor.instances=-3 must be a whole"),
        ({"spark.executor.instances": "3000000000"}, "must be a whole number from 0 to 2147483647"),
        ({"spark.executor.instances": "0"}, "spark.executor.instances=0 must be a whole number"),
        ({" spark.kubernetes.namespace": "x"}, "spark.kubernetes.namespace can't be set"),
        ({"spark.executor.memory": "0.5g"}, "spark.executor.memory=0.5g is no size: write a whole"),
        ({"spark.executor.memory": "449m"}, "449m is less than Spark starts with: 466m"),
        ({"spark.driver.memory": "100"}, "spark.driver.memory=100 is less than Spark starts with"),
        ({"spark.driver.memoryOverheadFactor": "-1"}, "must be a number above 0"),
        ({"spark.memory.offHeap.enabled": "yes"}, "enabled=yes must be true or false"),
        ({"spark.memory.offHeap.enabled": "true"}, "needs spark.memory.offHeap.size"),
        ({"spark.network.timeout": "soon"}, "spark.network.timeout=soon is no time"),
        ({f"{K8S}driver.limit.cores": "50m"}, "limit.cores=50m is less than the driver requests"),
        ({f"{K8S}executor.limit.cores": "500m"}, "is less than the executor requests: 1"),
        ({f"{K8S}container.image.pullPolicy": "always"}, "must be one of Always, IfNotPresent"),
        ({f"{K8S}container.image": "My Image"}, "image=My Image is not taken by Kubernetes"),
        ({f"{K8S}driver.label.team": "a b"}, "driver label team=a b is not taken by Kubernetes"),
        ({f"{K8S}executor.label.-x": "a"}, "executor label=-x is not taken"),
        ({f"{K8S}executor.label.x": "a" * 64}, "a value has up to 63"),
        ({f"{K8S}executor.label.spark-role": "a"}, "spark-role can't be set"),
        ({f"{K8S}driver.annotation.a/b/c": "x"}, "driver annotation=a/b is not taken"),
        ({f"{K8S}node.selector.disk": "ß"}, "driver node selector disk=ß is not taken"),
        ({f"{K8S}driverEnv.1X": "a"}, "driver environment variable=1X is not taken"),
        ({f"{K8S}executor.secrets.Vault": "/x"}, "executor secret=Vault is not taken"),
        ({f"{K8S}driver.secrets.vault": "etc"}, "driver secret vault=etc is not taken"),
        ({f"{K8S}executor.secretKeyRef.X": "mine"}, "X=mine names no Secret's key"),
        ({"spark.executor.resource.gpu.amount": "1"}, "needs spark.executor.resource.gpu.vendor"),
        ({"x.y": "1"}, "x.y=1 is no property"),
        ({"spark.a b": "1"}, "spark.a b=1 is no property"),
        ({"spark.x": "1", " spark.x": "2"}, "spark.x is there twice: 1 and 2"),
        (
            {
                "spark.dynamicAllocation.minExecutors": "4",
                "spark.dynamicAllocation.maxExecutors": "2",
            },
            "minExecutors=4 is more than maxExecutors=2",
        ),
    ],
)
def test_what_is_refused_in_one_line(conf, said):
    with pytest.raises(ApplicationError, match=said) as caught:
        resolve(dataclasses.replace(NATIVE, conf=conf), PLACE)
    assert "\n" not in str(caught.value)


def test_a_standalone_application_takes_no_less_than_an_executor_needs():
    conf = {"spark.cores.max": "1", "spark.executor.cores": "2"}
    with pytest.raises(ApplicationError, match="spark.cores.max=1 is less than spark.executor.co"):
        resolve(dataclasses.replace(NATIVE, master="standalone", conf=conf), PLACE)


def test_blanks_around_properties_are_nobodys():
    conf = {" spark.executor.cores ": " 2 ", "spark.x": " a b "}
    found = command_line(manifests(resolve(dataclasses.replace(NATIVE, conf=conf), PLACE)))
    assert (found["spark.executor.cores"], found["spark.x"]) == ("2", "a b")


def test_a_size_is_written_as_javas_machine_reads_it():
    """-Xmx takes no "1GB", and "1024" would be bytes."""
    for text in ("1GB", "1024", "1048576k"):
        app = dataclasses.replace(NATIVE, master="standalone", conf={"spark.driver.memory": text})
        found = command_line(manifests(resolve(app, PLACE)))
        assert found["spark.driver.memory"] == "1024m"


def test_an_executor_is_as_large_as_is_counted_wherever_the_chart_has_another_default():
    place = dataclasses.replace(PLACE, worker_memory_mib=2048)
    found = command_line(manifests(resolve(NATIVE, place)))
    assert found["spark.executor.memory"] == "2048m"
