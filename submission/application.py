"""A Spark application: what is to run (`Application`); place.py says where.

All of it is plain data, from which manifests.py makes Kubernetes' objects: `SparkApplicationJob`
(components/spark/job.py) creates them by Pulumi, `make submit` (console/run.py) by
Kubernetes' API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from submission.errors import ApplicationError
from submission.place import KUBERNETES, STANDALONE

CLIENT, CLUSTER = "client", "cluster"

_LANGUAGES = {".py": "Python", ".jar": "Java", ".R": "R", ".r": "R"}


@dataclass(frozen=True)
class SparkPodSpec:
    """The pods of one role: the driver's, or the executors'.

    cores, memory_mib: of Spark (spark.executor.cores ...); None leaves them to Spark's defaults.
    overhead_mib: what a pod gets beside its heap. cpu_request, cpu_limit: as Kubernetes writes them
    ("500m").
    secrets: {Secret: folder where its keys are files}; secret_env: {variable: "Secret:key"}.
    """

    cores: int | None = None
    memory_mib: int | None = None
    overhead_mib: int = 512
    cpu_request: str | None = None
    cpu_limit: str | None = None
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


DRIVER = SparkPodSpec(overhead_mib=768, cpu_request="100m")
"""A driver that asks for nothing."""


@dataclass(frozen=True)
class Application:
    """One application, as spark-submit knows it; `check` says whether it can be one.

    app: a file here, or local:// (in the image), http(s)://, s3a:// or hdfs://; .py, .jar or .R.
    master: standalone or kubernetes, which means the place's own; or the URL of another.
    arguments: as Kubernetes writes them: $(POD) and $(JOB) are filled in; see `literally`.
    files, py_files, jars, archives: files here (they go along), or URLs as above.
    output: a folder on the volume that the application makes; usage.json goes into it, too.
    retries: how often a failed driver is started again; not after exit code 2, wrong arguments. If
    not 0, one that Kubernetes took away for others' sake is started again without counting.
    limit_minutes: after which a run is ended, with all its tries; None for no limit; 0 where it has
    no end, so that nobody waits for one.
    user: who submitted it; None: the stack.
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
    driver: SparkPodSpec = DRIVER
    executor: SparkPodSpec = field(default_factory=SparkPodSpec)
    output: str | None = None
    retries: int = 0
    limit_minutes: int | None = None
    start_within: int = 300
    user: str | None = None
    init_containers: tuple[Mapping[str, Any], ...] = ()
    volumes: tuple[Mapping[str, Any], ...] = ()

    @property
    def language(self) -> str:
        """Python, Java or R, by the name's suffix. Raises ApplicationError for another."""
        suffix = Path(self.app).suffix
        if suffix not in _LANGUAGES:
            raise ApplicationError(f"{self.app} is none of .py, .jar and .R, so not known to Spark")
        return _LANGUAGES[suffix]

    @property
    def is_endless(self) -> bool:
        """True where it runs until somebody takes it away."""
        return self.limit_minutes == 0

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


def literally(argument: str) -> str:
    """An argument in which Kubernetes finds no $(VARIABLE) to fill in, and no $$ to shorten."""
    return argument.replace("$", "$$")
