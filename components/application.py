"""A Spark application: what it is, and the plain manifests that run it.

`Application` says what to run and `Place` where; `manifests` turns the two into a ConfigMap with
the user's files and a Job whose pod calls spark-submit. All of that is plain data:
`SparkApplicationJob` makes it by Pulumi, `make submit` (console/submit.py) by the Kubernetes API.

In client mode the driver runs in the Job's pod, so that its exit code is the Job's. In cluster mode
programs/cluster_driver.py runs there: it submits, shows the driver's log, and ends as the driver
did. With the master "kubernetes" the driver makes its executors as pods. Each pod belongs to the
one that made it, and goes with it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components import usage
from components.cluster import Cluster
from components.properties import driver_role
from components.settings import MASTERS, SHARED_PATH
from components.units import spark_mib

STANDALONE, KUBERNETES = MASTERS
CLIENT, CLUSTER = "client", "cluster"

SPARK_UID = 185
"""Of the official image. All of Spark's processes have it: they share what is on the volume."""

API_SERVER = "k8s://https://kubernetes.default.svc"
FILES_PATH = "/opt/tinderbox/app"
"""Where the driver's pod has the files that came from here."""
AUTH_PATH = "/opt/tinderbox/auth"
DRIVER_MIB = 768
"""Heap of drivers that ask for none, by the chart's default."""
DRIVER_PORT, BLOCK_MANAGER_PORT = 7078, 7079

SAMPLER = {"cpu": "10m", "memory": "32Mi"}
"""What the container beside an executor requests."""

DRIVER_CONTAINER, EXECUTOR_CONTAINER = "driver", "executor"
RECEIVER, DONE = "files", ".done"
"""The container that waits for files from here, and the file that tells it there are no more."""
_DRIVER_POD = "$(POD)-driver"  # in cluster mode

# A ConfigMap holds 1 MiB, and base64 is not spared.
LARGEST_BY_CONFIGMAP = 700 * 1024

# Where a driver's metrics are. Those of its executors are at the same port, by /metrics/executors.
_METRICS = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": "4040",
    "prometheus.io/path": "/metrics/prometheus/",
}
_DRIVER_TEMPLATE, _EXECUTOR_TEMPLATE = "driver-pod.json", "executor-pod.json"
_PROGRAMS = Path(__file__).parent / "programs"
_CLUSTER_DRIVER, _FIRST_EXECUTOR = (
    _PROGRAMS / name for name in ("cluster_driver.py", "first_executor.py")
)
_SUBMIT = "/opt/spark/bin/spark-submit"
# In cluster mode spark-submit brings the files here, and the driver finds them.
_UPLOADS = f"{SHARED_PATH}/spark/uploads/$(POD)"
_OWN_FILES = (_DRIVER_TEMPLATE, _EXECUTOR_TEMPLATE, _CLUSTER_DRIVER.name, _FIRST_EXECUTOR.name)
_LANGUAGES = {".py": "Python", ".jar": "Java", ".R": "R", ".r": "R"}
_SCHEMES = ("local", "file", "http", "https", "s3a", "hdfs")


class ApplicationError(pulumi.RunError):
    """An application can't be run as it is described; the message is one line."""


@dataclass(frozen=True)
class Role:
    """The pods of one role: the driver's, or the executors'.

    cores, memory_mib: of Spark (spark.executor.cores ...); None leaves them to Spark's defaults.
    overhead_mib: what a pod gets beside its heap. cpu_request: as Kubernetes writes it ("500m").
    secrets: {Secret: folder where its keys are files}; secret_env: {variable: "Secret:key"}.
    """

    cores: int | None = None
    memory_mib: int | None = None
    overhead_mib: int = 512
    cpu_request: str | None = None
    image: str | None = None  # None: the place's
    pull_policy: str = "IfNotPresent"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict)
    priority_class: str | None = None


@dataclass(frozen=True)
class Application:
    """One application, as spark-submit knows it.

    app: a file here, or local:// (in the image), http(s)://, s3a:// or hdfs://; .py, .jar or .R.
    master: standalone or kubernetes, which means the place's own; or the URL of another.
    arguments: as Kubernetes writes them: $(POD) and $(JOB) are filled in; see `literally`.
    files, py_files, jars, archives: files here (they go along), or URLs as above.
    output: a folder on the volume that the application makes; usage.json goes into it, too.
    retries: how often a failed driver is started again.
    start_within: seconds until the first executor runs, from when Kubernetes is asked for it.
    init_containers, volumes: more for the driver's pod, as manifests.
    """

    name: str
    app: str
    arguments: tuple[str, ...] = ()
    main_class: str | None = None
    master: str = STANDALONE
    deploy_mode: str = CLIENT
    conf: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    py_files: tuple[str, ...] = ()
    jars: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    instances: int | None = None
    driver: Role = field(default_factory=lambda: Role(overhead_mib=768, cpu_request="100m"))
    executor: Role = field(default_factory=Role)
    output: str | None = None
    retries: int = 0
    start_within: int = 300
    init_containers: tuple[Mapping[str, Any], ...] = ()
    volumes: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        # Spark takes prefixes of at most 47 for executors' names; Kubernetes adds 14 to this one.
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", self.name):
            raise ApplicationError(
                f"{self.name!r} is no application's name: it must be at most 32 of a-z, 0-9 and -,"
                " with a letter first"
            )
        if not is_master(self.master):
            raise ApplicationError(
                f"there is no master {self.master!r}: it must be {' or '.join(MASTERS)},"
                " or a URL spark://HOST:PORT or k8s://https://HOST:PORT"
            )
        if self.deploy_mode not in (CLIENT, CLUSTER):
            raise ApplicationError(
                f"there is no deploy mode {self.deploy_mode!r}; known: {CLIENT} and {CLUSTER}"
            )
        if self.deploy_mode == CLUSTER and not self.is_native:
            raise ApplicationError(
                "deploy mode cluster needs the master kubernetes: a standalone master takes no"
                " Python there, and tells nobody how the driver ended"
            )
        if self.language == "Java" and self.main_class is None:
            raise ApplicationError(f"{self.app} is a jar: say which class to run (--class)")

    @property
    def language(self) -> str:
        """Python, Java or R, by the name's suffix. Raises ApplicationError for another."""
        suffix = Path(self.app).suffix
        if suffix not in _LANGUAGES:
            raise ApplicationError(f"{self.app} is none of .py, .jar and .R, so not known to Spark")
        return _LANGUAGES[suffix]

    @property
    def is_native(self) -> bool:
        """True where the executors are pods of the application's own."""
        return self.master == KUBERNETES or self.master.startswith("k8s://")

    @property
    def driver_is_apart(self) -> bool:
        """True where the driver has a pod of its own, beside the Job's."""
        return self.deploy_mode == CLUSTER

    @property
    def is_watched(self) -> bool:
        """True where the Job's pod looks for the first executor; an image for R has no Python."""
        return self.is_native and (self.driver_is_apart or self.language == "Python")


@dataclass(frozen=True)
class Place:
    """Where applications run: a namespace with what they need in it, made by the stack.

    claim: of the shared volume. auth_secret: with the key `secret`. defaults_config, native_config:
    ConfigMaps, Spark's conf folder for drivers on either kind of master. usage_config: one with the
    programs of usage.py. service_account: for drivers that make pods. workers: of the standalone
    cluster, each of which gives worker_cores and worker_memory_mib to executors. quota: {resource:
    quantity}, what all pods there may request together; None without a quota. s3_secret: with
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for drivers and for executors that are pods.
    """

    namespace: str
    image: str
    master_url: str
    claim: str
    auth_secret: str
    defaults_config: str
    native_config: str
    usage_config: str
    service_account: str
    workers: int
    worker_cores: int
    worker_memory_mib: int
    quota: Mapping[str, str] | None = None
    s3_secret: str | None = None


@dataclass(frozen=True)
class Manifests:
    """What runs an application, in the order in which it is to be made. The Job has no name yet.

    uploads: files that the container RECEIVER of the Job's pod waits for, in FILES_PATH, and DONE
    after them; only where they are too large for a ConfigMap.
    """

    files: dict[str, Any] | None
    job: dict[str, Any]
    uploads: Mapping[str, bytes] = field(default_factory=dict)


def is_master(name: str) -> bool:
    """True for a name or a URL of a master that applications run on."""
    urls = r"spark://[^/\s,:]+:\d+(,[^/\s,:]+:\d+)*|k8s://(https?://)?[^/\s]+"
    return name in MASTERS or re.fullmatch(urls, name) is not None


def literally(argument: str) -> str:
    """An argument in which Kubernetes finds no $(VARIABLE) to fill in, and no $$ to shorten."""
    return argument.replace("$", "$$")


def restricted() -> dict[str, Any]:
    """The security context of every container here."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def manifests(application: Application, place: Place, *, can_upload: bool = False) -> Manifests:
    """The ConfigMap and the Job. Raises ApplicationError for a file that is not there.

    can_upload: the caller can bring `uploads`, so the files may be larger than a ConfigMap.
    """
    carried = read_files(application)
    if application.is_native:
        carried[_EXECUTOR_TEMPLATE] = _as_json(_executor_template(application, place))
    if application.driver_is_apart:
        carried[_DRIVER_TEMPLATE] = _as_json(_driver_template(application, place))
        carried[_CLUSTER_DRIVER.name] = _CLUSTER_DRIVER.read_bytes()
    if application.is_watched:
        carried[_FIRST_EXECUTOR.name] = _FIRST_EXECUTOR.read_bytes()
    size = sum(map(len, carried.values()))
    is_large = size > LARGEST_BY_CONFIGMAP
    if is_large and not can_upload:
        raise ApplicationError(
            f"the files of {application.name} have {size} bytes, and {LARGEST_BY_CONFIGMAP} can go"
            f" along: put them below {SHARED_PATH} (local://), or behind a URL"
        )
    config = _config_map(application, place, carried) if carried and not is_large else None
    source = {"configMap": {"name": config["metadata"]["name"]}} if config else {"emptyDir": {}}
    template = _job_template(application, place, source if carried else None)
    if is_large:
        template["spec"]["initContainers"].insert(0, _receiver(place))
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": place.namespace, "labels": _labels(application)},
        "spec": {
            "backoffLimit": application.retries,
            "template": template,
        },
    }
    return Manifests(config, job, carried if is_large else {})


def submit_arguments(application: Application, place: Place) -> list[str]:
    """The arguments of spark-submit in the Job's pod, as Kubernetes writes them."""
    arguments = ["--master", _master_url(application, place)]
    if application.driver_is_apart:
        arguments += ["--deploy-mode", CLUSTER]
    if application.main_class is not None:
        arguments += ["--class", application.main_class]
    for option, names in _dependencies(application).items():
        if names:
            arguments += [option, literally(",".join(map(_inside, names)))]
    for key, value in effective_conf(application, place).items():
        # What is filled in here is ours; what a user wrote stays as it is.
        text = literally(value) if key in application.conf else value
        arguments += ["--conf", f"{key}={text}"]
    programs = application.arguments
    if application.driver_is_apart:
        # Kubernetes looks for variables in the driver's arguments, too; the first look leaves half.
        programs = tuple(argument.replace("$$", "$$$$") for argument in programs)
    return [*arguments, literally(_inside(application.app)), *programs]


def effective_conf(application: Application, place: Place) -> dict[str, str]:
    """All properties on spark-submit's command line: the application's over ours."""
    return {**_own_conf(application, place), **application.conf}


def _master_url(application: Application, place: Place) -> str:
    if application.master in MASTERS:
        return API_SERVER if application.is_native else place.master_url
    return application.master


def _own_conf(application: Application, place: Place) -> dict[str, str]:
    """The properties that an application's own ones come on top of."""
    driver, executor = application.driver, application.executor
    conf = {"spark.app.name": application.name}
    if not application.driver_is_apart:
        conf["spark.driver.host"] = "$(POD_IP)"
    sizes = {
        "spark.driver.memory": _mib(driver.memory_mib),
        "spark.executor.memory": _mib(executor.memory_mib),
        "spark.executor.cores": executor.cores,
    }
    conf |= {key: str(value) for key, value in sizes.items() if value is not None}
    if application.is_native:
        conf |= _native_conf(application, place)
    elif application.instances is not None:
        # A standalone master knows cores only.
        cores = int(application.conf.get("spark.executor.cores", executor.cores or 1))
        conf["spark.cores.max"] = str(application.instances * cores)
    return conf


def _native_conf(application: Application, place: Place) -> dict[str, str]:
    """What a driver needs that makes its executors as pods."""
    driver, executor = application.driver, application.executor
    conf = {
        "spark.kubernetes.namespace": place.namespace,
        "spark.executor.instances": str(application.instances or place.workers),
        "spark.executor.memoryOverhead": f"{executor.overhead_mib}m",
        "spark.kubernetes.container.image": driver.image or place.image,
        "spark.kubernetes.container.image.pullPolicy": executor.pull_policy,
        "spark.kubernetes.executor.container.image": executor.image or place.image,
        "spark.kubernetes.executor.podNamePrefix": "$(POD)",
        "spark.kubernetes.executor.podTemplateFile": f"{FILES_PATH}/{_EXECUTOR_TEMPLATE}",
        "spark.kubernetes.executor.podTemplateContainerName": EXECUTOR_CONTAINER,
        # Without a file Spark makes a secret up, and writes it into the pods' manifests.
        "spark.authenticate.secret.file": f"{AUTH_PATH}/secret",
    }
    if executor.cpu_request is not None:
        conf["spark.kubernetes.executor.request.cores"] = executor.cpu_request
    if not application.driver_is_apart:
        return conf | {
            # The executors belong to this pod: Kubernetes ends them with it, come what may.
            "spark.kubernetes.driver.pod.name": "$(POD)",
            "spark.driver.port": str(DRIVER_PORT),
            "spark.driver.blockManager.port": str(BLOCK_MANAGER_PORT),
        }
    conf |= {
        "spark.kubernetes.driver.pod.name": _DRIVER_POD,
        "spark.kubernetes.driver.podTemplateContainerName": DRIVER_CONTAINER,
        "spark.kubernetes.driver.container.image": driver.image or place.image,
        "spark.kubernetes.authenticate.driver.serviceAccountName": place.service_account,
        "spark.driver.memoryOverhead": f"{driver.overhead_mib}m",
        "spark.kubernetes.file.upload.path": f"file://{_UPLOADS}",
        # cluster_driver.py waits for the driver itself.
        "spark.kubernetes.submission.waitAppCompletion": "false",
    }
    if driver.cpu_request is not None:
        conf["spark.kubernetes.driver.request.cores"] = driver.cpu_request
    return conf


def _mib(size: int | None) -> str | None:
    return None if size is None else f"{size}m"


# -- pods


def _job_template(
    application: Application, place: Place, files: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The Job's pod: the driver's, or in cluster mode the one that submits it.

    files: the volume of the application's files, if there are any.
    """
    apart = application.driver_is_apart
    role = Role(cpu_request="100m") if apart else driver_role(application.driver, application.conf)
    container = _container(DRIVER_CONTAINER, role, place)
    container["image"] = role.image or place.image
    container["imagePullPolicy"] = role.pull_policy
    # An image for R has no Python, which measures.
    is_r = application.language == "R" and not apart
    container["command"] = [_SUBMIT] if is_r else usage.measured(application.output)
    container["args"] = submit_arguments(application, place)
    memory = driver_memory(application)
    container["resources"] = {
        "requests": {"cpu": role.cpu_request or str(role.cores or 1), "memory": memory["request"]},
        "limits": {"memory": memory["limit"]},
    }
    container["env"] += [
        _from_field("POD", "metadata.name"),
        _from_field("POD_IP", "status.podIP"),
        _from_field("JOB", "metadata.labels['batch.kubernetes.io/job-name']"),
    ]
    if apart:
        program, template = (f"{FILES_PATH}/{n}" for n in (_CLUSTER_DRIVER.name, _DRIVER_TEMPLATE))
        container["command"] = ["python3", program, template, _DRIVER_POD, "--", _SUBMIT]
        container["env"] += [
            _from_field("POD_UID", "metadata.uid"),
            {"name": "UPLOADS", "value": _UPLOADS},
        ]
    if application.is_watched:
        watch = ["python3", f"{FILES_PATH}/{_FIRST_EXECUTOR.name}"]
        limit = ["--within", str(application.start_within), "--"]
        container["command"] = [*watch, *limit, *container["command"]]
    pod = _pod(container, role, place)
    defaults = place.native_config if application.is_native else place.defaults_config
    _mount(pod, "defaults", "/opt/spark/conf", {"configMap": {"name": defaults}})
    if files is not None:
        _mount(pod, "app", FILES_PATH, files)
    _mount(pod, "usage", usage.PROGRAMS, {"configMap": {"name": place.usage_config}})
    if application.is_native:
        _mount_auth(pod, place)
        pod |= _with_account(place)
    else:
        # A standalone driver takes it from here first; on a command line everybody could read it.
        container["env"].append(_from_secret("_SPARK_AUTH_SECRET", f"{place.auth_secret}:secret"))
    pod["initContainers"] = list(application.init_containers)
    pod["volumes"] += application.volumes
    metadata = _metadata(application, role)
    return {"metadata": metadata if apart else _with_metrics(metadata), "spec": pod}


def driver_memory(application: Application) -> dict[str, str]:
    """Request and limit of the Job's pod; what a user asks for is reserved whole."""
    if application.driver_is_apart:
        return {"request": "512Mi", "limit": "1280Mi"}
    role = application.driver
    asked = spark_mib(application.conf, "spark.driver.memory", role.memory_mib or 0)
    limit = f"{math.ceil(asked or DRIVER_MIB) + role.overhead_mib}Mi"
    return {"request": limit if asked else "512Mi", "limit": limit}


def _receiver(place: Place) -> dict[str, Any]:
    """Waits for the files that whoever made the pod brings to it, half an hour at most."""
    wait = f"until [ -e {FILES_PATH}/{DONE} ]; do sleep 0.2; done"
    return {
        "name": RECEIVER,
        "image": place.image,
        "command": ["timeout", "1800", "sh", "-c", wait],
        "securityContext": restricted(),
        "volumeMounts": [{"name": "app", "mountPath": FILES_PATH}],
    }


def _driver_template(application: Application, place: Place) -> dict[str, Any]:
    """In cluster mode, what Spark makes the driver's pod from."""
    pod = _native_pod(DRIVER_CONTAINER, application.driver, place) | _with_account(place)
    metadata = _with_metrics(_metadata(application, application.driver))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}


def _executor_template(application: Application, place: Place) -> dict[str, Any]:
    """What Spark makes an executor's pod from; it adds image, command, sizes and owner."""
    pod = _native_pod(EXECUTOR_CONTAINER, application.executor, place)
    # Spark 4.2 reads a secret from a file on Kubernetes only, and forgets to tell its executors
    # that they are there; what is named so is taken for a Java option of theirs.
    option = {"name": "SPARK_JAVA_OPT_999", "value": f"-Dspark.master={API_SERVER}"}
    pod["containers"][0]["env"].append(option)
    _add_sampler(pod, application.executor.image or place.image, place)
    metadata = _metadata(application, application.executor)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}


def _metadata(application: Application, role: Role) -> dict[str, Any]:
    labels = {**_labels(application), **role.labels}
    return {"labels": labels, "annotations": dict(role.annotations)}


def _with_metrics(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a driver's pod; what its role says comes on top."""
    return {**metadata, "annotations": {**_METRICS, **metadata["annotations"]}}


def _labels(application: Application) -> dict[str, str]:
    return {"app": application.name}


def _pod(container: dict[str, Any], role: Role, place: Place) -> dict[str, Any]:
    """A pod's spec of either role, without an account that it could use."""
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        # The variables of a Service named spark-master would be taken for Spark's.
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": SPARK_UID,
            "runAsGroup": SPARK_UID,
            "fsGroup": SPARK_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [],
    }
    _mount(pod, "shared", SHARED_PATH, {"persistentVolumeClaim": {"claimName": place.claim}})
    for index, (secret, path) in enumerate(sorted(role.secrets.items())):
        _mount(pod, f"secret-{index}", path, {"secret": {"secretName": secret}})
    if role.node_selector:
        pod["nodeSelector"] = dict(role.node_selector)
    if role.tolerations:
        pod["tolerations"] = [dict(toleration) for toleration in role.tolerations]
    if role.priority_class is not None:
        pod["priorityClassName"] = role.priority_class
    return pod


def _native_pod(container: str, role: Role, place: Place) -> dict[str, Any]:
    """A pod's spec as Spark takes it for a template."""
    pod = _pod(_container(container, role, place), role, place)
    _mount_auth(pod, place)
    return pod


def _with_account(place: Place) -> dict[str, Any]:
    """Of a pod that makes others."""
    return {"serviceAccountName": place.service_account, "automountServiceAccountToken": True}


def _container(name: str, role: Role, place: Place) -> dict[str, Any]:
    secrets: dict[str, str] = {}
    if place.s3_secret is not None:
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        secrets = {key: f"{place.s3_secret}:{key}" for key in keys}
    secrets |= role.secret_env
    return {
        "name": name,
        "env": [
            *({"name": key, "value": literally(value)} for key, value in role.env.items()),
            *(_from_secret(key, value) for key, value in secrets.items()),
        ],
        "securityContext": restricted(),
        "volumeMounts": [],
    }


def _mount(pod: dict[str, Any], name: str, path: str, source: Mapping[str, Any]) -> None:
    """A volume of the pod, and where its container has it."""
    pod["volumes"].append({"name": name, **source})
    pod["containers"][0]["volumeMounts"].append({"name": name, "mountPath": path})


def _mount_auth(pod: dict[str, Any], place: Place) -> None:
    _mount(pod, "auth", AUTH_PATH, {"secret": {"secretName": place.auth_secret}})


def _add_sampler(pod: dict[str, Any], image: str, place: Place) -> None:
    """A container that samples the executor: it sees the processes of the pod's others."""
    pod["shareProcessNamespace"] = True
    pod["volumes"].append({"name": "usage", "configMap": {"name": place.usage_config}})
    mounts = {"shared": SHARED_PATH, "usage": usage.PROGRAMS}
    pod["containers"].append(
        {
            "name": "sampler",
            "image": image,
            "command": usage.POD_SAMPLER,
            "resources": {
                "requests": SAMPLER,
                "limits": {"memory": "64Mi"},
            },
            "securityContext": restricted(),
            "volumeMounts": [{"name": name, "mountPath": at} for name, at in mounts.items()],
        }
    )


def _from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _from_secret(name: str, reference: str) -> dict[str, Any]:
    secret, _, key = reference.partition(":")
    if not secret or not key:
        raise ApplicationError(f"{name}={reference} names no Secret's key: write SECRET:KEY")
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


# -- files


def _as_json(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True).encode()


def _dependencies(application: Application) -> dict[str, tuple[str, ...]]:
    """spark-submit's options for what an application brings along."""
    return {
        "--files": application.files,
        "--py-files": application.py_files,
        "--jars": application.jars,
        "--archives": application.archives,
    }


def is_url(name: str) -> bool:
    """True for what Spark fetches or finds by itself, false for a file here."""
    scheme, found, _ = name.partition("://")
    return bool(found) and scheme in _SCHEMES


def _here(name: str) -> Path:
    """The file that a name means; `#NAME`, which archives may end with, is Spark's."""
    return Path(name.partition("#")[0])


def _inside(name: str) -> str:
    """What a file here, or a URL, is called in the driver's pod."""
    if is_url(name):
        return name
    path, mark, alias = name.partition("#")
    return f"{FILES_PATH}/{Path(path).name}{mark}{alias}"


def read_files(application: Application) -> dict[str, bytes]:
    """The content of all files here that the application needs, by name.

    Raises ApplicationError for one that is not there, or has a name that can't be taken along.
    """
    names = [application.app, *(n for names in _dependencies(application).values() for n in names)]
    carried: dict[str, bytes] = {}
    for name in names:
        if is_url(name):
            continue
        if "://" in name:
            known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
            raise ApplicationError(f"{name} is no file here and none of {known}")
        file = _here(name)
        if not re.fullmatch(r"[-._a-zA-Z0-9]+", file.name) or file.name in _OWN_FILES:
            raise ApplicationError(f"{name}: a ConfigMap takes no such name; rename the file")
        try:
            content = file.read_bytes()
        except OSError as error:
            raise ApplicationError(f"{name} can't be read: {error.strerror}") from None
        if carried.setdefault(file.name, content) != content:
            raise ApplicationError(f"{name}: another file here has the name {file.name}, too")
    return carried


def _config_map(
    application: Application, place: Place, carried: Mapping[str, bytes]
) -> dict[str, Any]:
    """The ConfigMap of files. Its name changes with the content, so the Job follows it."""
    digest = hashlib.sha256()
    for name, content in sorted(carried.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    texts: dict[str, str] = {}
    binaries: dict[str, str] = {}
    for name, content in carried.items():
        try:
            texts[name] = content.decode()
        except UnicodeDecodeError:
            binaries[name] = base64.b64encode(content).decode()
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{application.name}-app-{digest.hexdigest()[:10]}",
            "namespace": place.namespace,
            "labels": _labels(application),
        },
    }
    return (
        config | ({"data": texts} if texts else {}) | ({"binaryData": binaries} if binaries else {})
    )


# -- by Pulumi


@dataclass
class SparkApplicationArgs:
    """The cluster, the place in it, what to run there, and what has to be there first."""

    cluster: Cluster
    place: Place
    application: Application
    depends_on: Sequence[pulumi.Resource] = ()


class SparkApplicationJob(pulumi.ComponentResource):
    """An application that has run when the update is done; another one in its stead runs anew.

    Outputs: job, as Pulumi's resource: complete once it is known.
    """

    job: kubernetes.batch.v1.Job

    def __init__(
        self, name: str, args: SparkApplicationArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:SparkApplicationJob", name, {}, opts)
        from components.quota import require_quota  # which knows applications, too

        require_quota(args.application, args.place)
        made = manifests(args.application, args.place)
        inside = args.cluster.options(parent=self)
        before = list(args.depends_on)
        if made.files is not None:
            before.append(
                kubernetes.core.v1.ConfigMap(
                    f"{name}-app",
                    metadata=made.files["metadata"],
                    data=made.files.get("data"),
                    binary_data=made.files.get("binaryData"),
                    opts=inside,
                )
            )
        # A failed job is run again by the next update, not reported as it stands.
        rerun = {"annotations": {"pulumi.com/replaceUnready": "true"}}
        self.job = kubernetes.batch.v1.Job(
            name,
            metadata=made.job["metadata"] | rerun,
            spec=made.job["spec"],
            opts=pulumi.ResourceOptions.merge(
                inside,
                pulumi.ResourceOptions(
                    depends_on=before, custom_timeouts=pulumi.CustomTimeouts(create="60m")
                ),
            ),
        )
        self.register_outputs({"job": self.job.metadata.name})
