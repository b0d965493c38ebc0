"""spark-submit's command line for an application.

In client mode the driver runs in the Job's pod, so that its exit code is the Job's. In cluster mode
cluster_driver.py (charts/spark/files) runs there: it submits, shows the driver's log, and ends as
the driver did. With the master "kubernetes" the driver makes its executors as pods. Each pod
belongs to the one that made it, and goes with it.
"""

from __future__ import annotations

from submission.application import CLUSTER, Application, literally
from submission.conf import API_SERVER
from submission.files import dependencies, inside
from submission.place import MASTERS, Place
from submission.resolve import Resolved


def submit_arguments(resolved: Resolved) -> list[str]:
    """The arguments of spark-submit in the Job's pod, as Kubernetes writes them."""
    application, place = resolved.application, resolved.place
    arguments = ["--master", _master_url(application, place)]
    if application.driver_is_apart:
        arguments += ["--deploy-mode", CLUSTER]
    if application.main_class is not None:
        arguments += ["--class", application.main_class]
    for option, names in dependencies(application).items():
        if names:
            arguments += [option, literally(",".join(map(inside, names)))]
    for key, value in resolved.conf.items():
        # What is filled in here is ours; what a user wrote stays as it is.
        text = literally(value) if resolved.is_users(key) else value
        arguments += ["--conf", f"{key}={text}"]
    programs = application.arguments
    if application.driver_is_apart:
        # Kubernetes looks for variables in the driver's arguments, too; the first look leaves half.
        programs = tuple(argument.replace("$$", "$$$$") for argument in programs)
    return [*arguments, literally(inside(application.app)), *programs]


def _master_url(application: Application, place: Place) -> str:
    if application.master in MASTERS:
        return API_SERVER if application.is_native else place.master_url
    return application.master
