"""`make submit`: runs one application in the stack's cluster, and ends as it ended.

Ctrl-C takes all away, as does whatever else ends this program before the application: SIGTERM, a
closed terminal or pipe.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import secrets
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from console import grow
from console import nodes as own_nodes
from console.cluster import connect_spark, said_in_one_line
from console.run import Run
from console.stack import ConsoleError, Stack
from console.verb import Verb, words
from submission import growth
from submission.application import CLIENT, CLUSTER, DRIVER, Application, SparkPodSpec, literally
from submission.check import check
from submission.errors import ApplicationError
from submission.files import read_files
from submission.manifests import manifests
from submission.names import toleration
from submission.nodes import may_come
from submission.place import STANDALONE, Place
from submission.quota import require_quota
from submission.resolve import resolve
from submission.room import require_room
from submission.sizes import Allocatable, requested
from submission.units import mebibytes, whole


def options(parser: argparse.ArgumentParser) -> None:
    """Its own, called as spark-submit calls them."""
    parser.add_argument("--master", default=STANDALONE, help="standalone, kubernetes or a URL")
    parser.add_argument("--deploy-mode", default=CLIENT, help=f"{CLIENT} or {CLUSTER}")
    parser.add_argument("--name", help="of the application; else the file's")
    parser.add_argument("--class", dest="main_class", help="of a jar")
    parser.add_argument("--conf", action="append", default=[], metavar="PROPERTY=VALUE")
    for option, what in (
        ("--py-files", "Python modules and archives of them"),
        ("--files", "files for the executors' working folders"),
        ("--jars", "jars for driver and executors"),
        ("--archives", "archives for the executors' working folders, as FILE#FOLDER"),
    ):
        parser.add_argument(option, type=_names, default=(), metavar="A,B", help=what)
    parser.add_argument("--num-executors", type=int, metavar="N")
    parser.add_argument("--executor-cores", type=int, metavar="N")
    parser.add_argument("--executor-memory", metavar="512m")
    parser.add_argument("--driver-memory", metavar="512m")
    parser.add_argument("--namespace", metavar="NAME", help="one of the setting `namespaces`")
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of driver and executors; `make bill BY=label:NAME` goes by it",
    )
    parser.add_argument("--priority-class", metavar="NAME", help="batch or interactive")
    parser.add_argument(
        "--toleration",
        action="append",
        default=[],
        type=_toleration,
        metavar="KEY[=VALUE][:EFFECT]",
        help="of a taint, for driver and executors",
    )
    parser.add_argument(
        "--start-within",
        type=int,
        metavar="SECONDS",
        default=Application.start_within,
        help="seconds until the first executor runs (of its own pods)",
    )
    parser.add_argument("--image", help="of driver and executors, instead of the stack's")
    parser.add_argument(
        "--wait", type=int, default=300, help="seconds that it may take until the driver runs"
    )
    parser.add_argument(
        "--grow",
        action="store_true",
        help="as long as it runs the stack has the nodes that its executors need (nodes.growTo)",
    )
    parser.add_argument("--yes", action="store_true", help="with --grow: don't ask")
    parser.add_argument("--keep", action="store_true", help="leave the finished Job to look at")
    parser.add_argument(
        "app", metavar="APP", help="a file here, local://, http(s)://, s3a:// or hdfs://"
    )
    parser.add_argument("arguments", metavar="ARGUMENTS", nargs=argparse.REMAINDER)
    made = parser.add_argument_group("as make has them, in one word each")
    made.add_argument("--options", default="", metavar="WORDS", help="more of the above")
    made.add_argument("--arguments", dest="more", default="", metavar="WORDS", help="of APP")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _toleration(text: str) -> dict[str, Any]:
    try:
        return toleration(text)
    except ApplicationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def as_given(options: argparse.Namespace) -> argparse.Namespace:
    """The options with those in them that came in one word."""
    given = words("OPTIONS", options.options)
    more = words("ARGS", options.more)
    if not given and not more:
        return options
    made = VERB.parser("submit").parse_args([*given, "--", options.app])
    made.stack = options.stack
    made.arguments += [*options.arguments, *more]
    return made


def describe(options: argparse.Namespace) -> Application:
    """The application that the command line tells of. Raises ApplicationError."""
    conf: dict[str, str] = {}
    for pair in options.conf:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ApplicationError(f"--conf {pair}: write spark.PROPERTY=VALUE")
        conf[key] = value
    whole("--wait", str(options.wait), 1)
    both: dict[str, Any] = {
        "labels": dict(_label(pair) for pair in options.label),
        "image": options.image,
        "tolerations": tuple(options.toleration),
        "priority_class": options.priority_class,
    }
    application = Application(
        name=options.name or _name_of(options.app),
        app=options.app,
        arguments=tuple(map(literally, options.arguments)),
        main_class=options.main_class,
        master=options.master,
        deploy_mode=options.deploy_mode,
        conf=conf,
        files=options.files,
        py_files=options.py_files,
        jars=options.jars,
        archives=options.archives,
        instances=options.num_executors,
        driver=dataclasses.replace(
            DRIVER, memory_mib=_size("--driver-memory", options.driver_memory), **both
        ),
        executor=SparkPodSpec(
            cores=options.executor_cores,
            memory_mib=_size("--executor-memory", options.executor_memory),
            **both,
        ),
        start_within=options.start_within,
    )
    return check(application)


def _label(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals:
        raise ApplicationError(f"--label {pair}: write NAME=VALUE")
    return name, value


def _name_of(app: str) -> str:
    """A name for an application from its file's: that of "my_Job.2.py" is "my-job-2"."""
    words = re.sub(r"[^a-z0-9]+", "-", Path(app).stem.lower()).strip("-")
    return re.sub(r"^(?![a-z])", "app-", words)[:32].rstrip("-")


def _size(option: str, text: str | None) -> int | None:
    return None if text is None else mebibytes(option, text)


def connect(stack: Stack, namespace: str | None) -> tuple[client.ApiClient, Place]:
    """The stack's cluster, and where applications run in it: with Spark, or in that namespace."""
    cluster, outputs = connect_spark(stack)
    if namespace is None:
        return cluster.api, Place(**outputs["spark"])
    if namespace not in outputs.get("namespaces", {}):
        known = ", ".join(outputs.get("namespaces", {})) or "none"
        raise ConsoleError(
            f"stack {stack.name} has made no namespace {namespace} (it has: {known}); the setting"
            f" makes one: pulumi config set --path namespaces.{namespace}.cpu 2, then `make up`"
        )
    return cluster.api, Place(**outputs["namespaces"][namespace])


def run(options: argparse.Namespace) -> int:
    """Runs the application; its exit code."""
    with said_in_one_line():
        return submit(as_given(options))


def submit(options: argparse.Namespace) -> int:
    """The same, with the client's own errors."""
    application = describe(options)
    # Before the stack is asked, which takes seconds.
    read_files(application)
    stack = Stack(options.stack)
    grow.settle(stack, yes=options.yes)
    if options.grow:
        more = planned(application, stack, options.namespace)
        if more is not None:
            with grow.grown(stack, more, yes=options.yes):
                return submit_as_it_is(application, stack, options)
    return submit_as_it_is(application, stack, options)


def planned(application: Application, stack: Stack, namespace: str | None) -> grow.Growth | None:
    """By how much the stack is to grow for it, said; None where there is room."""
    own = own_nodes.settings(stack)
    api, place = connect(stack, namespace)
    resolved = resolve(application, place)
    require_quota(resolved)
    rooms = growth.rooms(
        listed(api, "list_node"),
        listed(api, "list_pod_for_all_namespaces"),
        application.executor.tolerations,
        one_worker_each=own["spark"].get("workers") is None,
    )
    found = grow.plan(resolved, rooms, own)
    grow.say(found.note if found else "its executors have room: no node more is needed")
    return found if found and found.more else None


def listed(api: client.ApiClient, call: str) -> list[dict[str, Any]]:
    """All that a call of the API lists, as JSON has it."""
    core: Any = client.CoreV1Api(api)
    return api.sanitize_for_serialization(getattr(core, call)().items)


def submit_as_it_is(application: Application, stack: Stack, options: argparse.Namespace) -> int:
    """Runs it on the nodes that there are."""
    api, place = connect(stack, options.namespace)
    resolved = resolve(dataclasses.replace(application, user=user(api, application)), place)
    require_quota(resolved)
    require_room(resolved, nodes(api, application))
    name = f"{application.name}-{secrets.token_hex(3)}"
    made = manifests(resolved, run=name, can_upload=True)
    return Run(api, name, made).run(options.wait, keep=options.keep)


def user(api: client.ApiClient, application: Application) -> str | None:
    """Who submits it: its label `user`, else the one that the kubeconfig is, by the API's word."""
    if named := application.driver.labels.get("user"):
        return named
    review: Any = client.AuthenticationV1Api(api)
    try:
        return review.create_self_subject_review({}).status.user_info.username
    except ApiException:
        return None  # an API server that does not tell, and nothing hangs on it


def nodes(api: client.ApiClient, application: Application) -> list[Allocatable] | None:
    """What each node has that pods may come to; None where this can't be told.

    A user may not look, or there is no node yet: a cluster may grow from none.
    """
    core: Any = client.CoreV1Api(api)
    try:
        known = core.list_node().items
    except ApiException as error:
        if error.status == 403:
            return None
        raise
    if not known:
        return None
    found = []
    for node in known:
        taints = [(taint.key, taint.effect) for taint in node.spec.taints or []]
        if may_come(taints, application.executor.tolerations):
            has = requested(node.status.allocatable)
            found.append(Allocatable(has, node.metadata.labels or {}))
    return found


VERB = Verb(
    what="""\
Runs one application in the stack's cluster, and ends as it ended.

What it prints goes to stdout as it comes, what there is to say of it to stderr. Whatever ends this
program before the application takes the application away. Options are called as spark-submit calls
them. make passes its OPTIONS and ARGS on in one word each.""",
    examples=(
        "spark_jobs/pi.py 100",
        "--master kubernetes --deploy-mode cluster spark_jobs/pi.py 100",
    ),
    options=options,
    run=run,
    exits={"any": "the driver's own, once it ran"},
    interrupted="stopped",
)
