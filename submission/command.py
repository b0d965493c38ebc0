"""spark-submit's command line for an application.

In client mode the driver runs in the Job's pod, so that its exit code is the Job's. In cluster mode
programs/cluster_driver.py runs there: it submits, shows the driver's log, and ends as the driver
did. With the master "kubernetes" the driver makes its executors as pods. Each pod belongs to the
one that made it, and goes with it.
"""

from __future__ import annotations

from submission import measuring
from submission.application import CLUSTER, Application, Role, literally
from submission.files import EXECUTOR_TEMPLATE, FILES_PATH, dependencies, inside
from submission.place import MASTERS, Place

API_SERVER = "k8s://https://kubernetes.default.svc"
AUTH_PATH = "/opt/tinderbox/auth"
DRIVER_PORT, BLOCK_MANAGER_PORT = 7078, 7079

DRIVER_CONTAINER, EXECUTOR_CONTAINER = "driver", "executor"
DRIVER_POD = "$(POD)-driver"
"""In cluster mode."""
UPLOADS = f"{measuring.FOLDER}/uploads/$(POD)"
"""In cluster mode spark-submit brings the files here, and the driver finds them."""


def submit_arguments(application: Application, place: Place) -> list[str]:
    """The arguments of spark-submit in the Job's pod, as Kubernetes writes them."""
    arguments = ["--master", _master_url(application, place)]
    if application.driver_is_apart:
        arguments += ["--deploy-mode", CLUSTER]
    if application.main_class is not None:
        arguments += ["--class", application.main_class]
    for option, names in dependencies(application).items():
        if names:
            arguments += [option, literally(",".join(map(inside, names)))]
    for key, value in effective_conf(application, place).items():
        # What is filled in here is ours; what a user wrote stays as it is.
        text = literally(value) if key in application.conf else value
        arguments += ["--conf", f"{key}={text}"]
    programs = application.arguments
    if application.driver_is_apart:
        # Kubernetes looks for variables in the driver's arguments, too; the first look leaves half.
        programs = tuple(argument.replace("$$", "$$$$") for argument in programs)
    return [*arguments, literally(inside(application.app)), *programs]


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
        "spark.kubernetes.executor.podTemplateFile": f"{FILES_PATH}/{EXECUTOR_TEMPLATE}",
        "spark.kubernetes.executor.podTemplateContainerName": EXECUTOR_CONTAINER,
        # Without a file Spark makes a secret up, and writes it into the pods' manifests.
        "spark.authenticate.secret.file": f"{AUTH_PATH}/secret",
    }
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
        "spark.kubernetes.driver.container.image": driver.image or place.image,
        "spark.kubernetes.authenticate.driver.serviceAccountName": place.service_account,
        "spark.driver.memoryOverhead": f"{driver.overhead_mib}m",
        "spark.kubernetes.file.upload.path": f"file://{UPLOADS}",
        measuring.RUN_PROPERTY: "$(POD)",
        # cluster_driver.py waits for the driver itself.
        "spark.kubernetes.submission.waitAppCompletion": "false",
        **_cpu_conf("driver", driver),
    }


def _cpu_conf(pods: str, role: Role) -> dict[str, str]:
    """What the pods of a role get of CPU, where it says so."""
    cores = {"request": role.cpu_request, "limit": role.cpu_limit}
    return {
        f"spark.kubernetes.{pods}.{what}.cores": amount
        for what, amount in cores.items()
        if amount is not None
    }


def _mib(size: int | None) -> str | None:
    return None if size is None else f"{size}m"
