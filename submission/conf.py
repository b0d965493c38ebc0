"""The properties that we set for an application; its own ones come on top of them."""

from __future__ import annotations

from submission import measuring
from submission.application import Application, literally
from submission.files import EXECUTOR_TEMPLATE, FILES_PATH
from submission.place import Place
from submission.process import Process
from submission.properties import K8S

API_SERVER = "k8s://https://kubernetes.default.svc"
AUTH_PATH = "/opt/tinderbox/auth"
DRIVER_PORT, BLOCK_MANAGER_PORT = 7078, 7079

#: The label by which Kubernetes tells whose Job a pod is.
JOB_LABEL = "batch.kubernetes.io/job-name"
DRIVER_CONTAINER, EXECUTOR_CONTAINER = "driver", "executor"
DRIVER_POD = "$(POD)-driver"
"""In cluster mode."""
UPLOADS = f"{measuring.FOLDER}/uploads/$(POD)"
"""In cluster mode spark-submit brings the files here, and the driver finds them."""


def own_conf(
    application: Application, place: Place, driver: Process, executor: Process
) -> dict[str, str]:
    """The properties that an application's own ones come on top of."""
    conf = {"spark.app.name": application.name}
    if application.user is not None:
        conf[measuring.USER_PROPERTY] = literally(application.user)
    if labels := driver.spec.labels:
        told = (f"{name}={value}" for name, value in sorted(labels.items()))
        conf[measuring.LABELS_PROPERTY] = ",".join(told)
    if not application.driver_is_apart:
        conf["spark.driver.host"] = "$(POD_IP)"
    if application.driver.memory_mib is not None:
        conf["spark.driver.memory"] = f"{application.driver.memory_mib}m"
    if application.executor.memory_mib is not None:
        conf["spark.executor.memory"] = f"{application.executor.memory_mib}m"
    if application.executor.cores is not None:
        conf["spark.executor.cores"] = str(application.executor.cores)
    if application.is_native:
        conf |= _native_conf(application, place, driver, executor)
    elif application.instances is not None:
        # A standalone master knows cores only.
        conf["spark.cores.max"] = str(application.instances * executor.cores)
    return conf


def _native_conf(
    application: Application, place: Place, driver: Process, executor: Process
) -> dict[str, str]:
    """What a driver needs that makes its executors as pods."""
    conf = {
        "spark.kubernetes.namespace": place.namespace,
        "spark.executor.instances": str(application.instances or place.workers),
        "spark.executor.memoryOverhead": f"{executor.overhead_mib}m",
        "spark.kubernetes.container.image": driver.spec.image or place.image,
        "spark.kubernetes.container.image.pullPolicy": executor.spec.pull_policy,
        "spark.kubernetes.executor.container.image": executor.spec.image or place.image,
        "spark.kubernetes.executor.podNamePrefix": "$(POD)",
        "spark.kubernetes.executor.podTemplateFile": f"{FILES_PATH}/{EXECUTOR_TEMPLATE}",
        "spark.kubernetes.executor.podTemplateContainerName": EXECUTOR_CONTAINER,
        # Without a file Spark makes a secret up, and writes it into the pods' manifests.
        "spark.authenticate.secret.file": f"{AUTH_PATH}/secret",
    }
    if "spark.executor.pyspark.memory" in application.conf and application.language == "Python":
        # In client mode Spark does not tell itself that this is Python, and forgets that memory.
        conf["spark.kubernetes.resource.type"] = "python"
    conf |= _cpu_conf("executor", executor)
    if not application.driver_is_apart:
        return conf | {
            # The executors belong to this pod: Kubernetes ends them with it, come what may.
            "spark.kubernetes.driver.pod.name": "$(POD)",
            "spark.driver.port": str(DRIVER_PORT),
            "spark.driver.blockManager.port": str(BLOCK_MANAGER_PORT),
        }
    return conf | {
        "spark.kubernetes.driver.pod.name": DRIVER_POD,
        "spark.kubernetes.driver.podTemplateContainerName": DRIVER_CONTAINER,
        "spark.kubernetes.driver.container.image": driver.spec.image or place.image,
        "spark.kubernetes.authenticate.driver.serviceAccountName": place.service_account,
        "spark.kubernetes.file.upload.path": f"file://{UPLOADS}",
        measuring.RUN_PROPERTY: "$(POD)",
        # cluster_driver.py waits for the driver itself.
        "spark.kubernetes.submission.waitAppCompletion": "false",
        **_cpu_conf("driver", driver),
    }


def sizes_conf(pods: str, process: Process) -> dict[str, str]:
    """The sizes of a process that Kubernetes runs, so that Spark has none left to work out."""
    return {
        f"spark.{pods}.memory": f"{process.heap_mib}m",
        f"spark.{pods}.memoryOverhead": f"{process.overhead_mib}m",
        f"spark.{pods}.cores": str(process.cores),
    }


def _cpu_conf(pods: str, process: Process) -> dict[str, str]:
    """What the pods of a role get of CPU."""
    limit = process.spec.cpu_limit
    return {
        f"{K8S}{pods}.request.cores": process.cpu,
        **({} if limit is None else {f"{K8S}{pods}.limit.cores": limit}),
    }
