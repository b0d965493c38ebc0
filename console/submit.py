"""`make submit`: runs one application in the stack's cluster, and ends as it ended.

The manifests are those of submission/manifests.py, as in the Pulumi program. What the application
prints goes to stdout as it comes, what this program has to say to stderr. Ctrl-C takes all away, as
does whatever else ends this program before the application: SIGTERM, a closed terminal or pipe.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import urllib3
import yaml
from cluster_driver import Log, LogError, follow_log
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from console.stack import LOCAL, ConsoleError, Stack
from localcloud.errors import CloudError
from submission.application import CLIENT, CLUSTER, DRIVER, Application, Role, literally
from submission.check import check
from submission.conf import DRIVER_CONTAINER
from submission.errors import ApplicationError
from submission.files import FILES_PATH, read_files
from submission.manifests import DONE, RECEIVER, manifests
from submission.place import STANDALONE, Place
from submission.quota import require_quota
from submission.resolve import resolve
from submission.room import require_room
from submission.sizes import Allocatable, requested
from submission.units import mebibytes, whole
from toolchain import terminal
from toolchain.env import enter
from toolchain.errors import ToolchainError

# Seconds between two looks at what has not started or not ended yet.
_LOOK_EVERY = 1.0
# Seconds until all of an application is gone; that the API may be away, as when the control plane
# starts anew; and without a byte of the log, after which the connection may be gone.
_GONE_WITHIN, _BACK_WITHIN, _QUIET_WITHIN = 60.0, 120.0, 60.0
# Bytes of a message to a pod, and seconds until one file must be there.
_PIECE = 2**18
_UPLOADS_WITHIN = 600.0
# Taints with these effects keep pods off a node.
_KEEPS_OFF = ("NoSchedule", "NoExecute")


def say(text: str) -> None:
    """One line on stderr."""
    terminal.complain(f"submit: {text}")


class OutputError(ConsoleError):
    """stdout takes no more."""


def show(piece: bytes) -> None:
    """Bytes of the log, as they are. Raises OutputError, or BrokenPipeError where nobody reads."""
    if sys.stdout is None:
        raise OutputError("stdout is closed")
    try:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        terminal.forget(sys.stdout)
        raise OutputError(f"stdout takes no more of the log: {error.strerror}") from error


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """In one line, as all else here."""
        say(message)
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The command line; options are called as spark-submit calls them."""
    made = _Parser(prog="python -m console.submit", description=__doc__)
    made.add_argument("--stack", default="local")
    made.add_argument("--master", default=STANDALONE, help="standalone, kubernetes or a URL")
    made.add_argument("--deploy-mode", default=CLIENT, help=f"{CLIENT} or {CLUSTER}")
    made.add_argument("--name", help="of the application; else the file's")
    made.add_argument("--class", dest="main_class", help="of a jar")
    made.add_argument("--conf", action="append", default=[], metavar="PROPERTY=VALUE")
    for option, what in (
        ("--py-files", "Python modules and archives of them"),
        ("--files", "files for the executors' working folders"),
        ("--jars", "jars for driver and executors"),
        ("--archives", "archives for the executors' working folders, as FILE#FOLDER"),
    ):
        made.add_argument(option, type=_names, default=(), metavar="A,B", help=what)
    made.add_argument("--num-executors", type=int)
    made.add_argument("--executor-cores", type=int)
    made.add_argument("--executor-memory", metavar="512m")
    made.add_argument("--driver-memory", metavar="512m")
    made.add_argument("--namespace", metavar="NAME", help="one of the setting `namespaces`")
    made.add_argument("--priority-class", metavar="NAME", help="batch or interactive")
    made.add_argument(
        "--toleration",
        action="append",
        default=[],
        type=_toleration,
        metavar="KEY[=VALUE][:EFFECT]",
        help="of a taint, for driver and executors",
    )
    made.add_argument(
        "--start-within",
        type=int,
        metavar="SECONDS",
        default=Application.start_within,
        help="seconds until the first executor runs (of its own pods)",
    )
    made.add_argument("--image", help="of driver and executors, instead of the stack's")
    made.add_argument(
        "--wait", type=int, default=300, help="seconds that it may take until the driver runs"
    )
    made.add_argument("--keep", action="store_true", help="leave the finished Job to look at")
    made.add_argument("app", help="a file here, local://, http(s)://, s3a:// or hdfs://")
    made.add_argument("arguments", nargs=argparse.REMAINDER)
    return made


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _toleration(text: str) -> dict[str, str]:
    """As kubectl writes taints."""
    found = re.fullmatch(r"([^=:\s]+)(?:=([^=:\s]*))?(?::([A-Za-z]+))?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is none: write KEY[=VALUE][:EFFECT]")
    key, value, effect = found.groups()
    toleration = {"key": key, "operator": "Exists" if value is None else "Equal"}
    if value is not None:
        toleration["value"] = value
    return toleration if effect is None else toleration | {"effect": effect}


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
        executor=Role(
            cores=options.executor_cores,
            memory_mib=_size("--executor-memory", options.executor_memory),
            **both,
        ),
        start_within=options.start_within,
    )
    return check(application)


def _name_of(app: str) -> str:
    """A name for an application from its file's: that of "my_Job.2.py" is "my-job-2"."""
    words = re.sub(r"[^a-z0-9]+", "-", Path(app).stem.lower()).strip("-")
    return re.sub(r"^(?![a-z])", "app-", words)[:32].rstrip("-")


def _size(option: str, text: str | None) -> int | None:
    return None if text is None else mebibytes(option, text)


class Run:
    """One application in a cluster, from its Job's creation until it is gone."""

    def __init__(self, api: client.ApiClient, place: Place, application: Application) -> None:
        # The client's own types have None for whatever the API's schema does not require.
        self.core: Any = client.CoreV1Api(api)
        self.batch: Any = client.BatchV1Api(api)
        self.application = application
        self.place = place
        self.namespace = place.namespace
        self.name = f"{application.name}-{secrets.token_hex(3)}"
        self.resolved = resolve(application, place)
        self.manifests = manifests(self.resolved, run=self.name, can_upload=True)

    def nodes(self) -> list[Allocatable] | None:
        """What each node has that pods may come to; None where this can't be told.

        A user may not look, or there is no node yet: a cluster may grow from none.
        """
        try:
            known = self.core.list_node().items
        except ApiException as error:
            if error.status == 403:
                return None
            raise
        if not known:
            return None
        nodes = []
        for node in known:
            keeps_off = [taint for taint in node.spec.taints or [] if taint.effect in _KEEPS_OFF]
            # Which toleration is for which taint, the scheduler knows best.
            tolerates = self.application.executor.tolerations
            if any(taint.key not in {item.get("key") for item in tolerates} for taint in keeps_off):
                continue
            nodes.append(
                Allocatable(requested(node.status.allocatable), node.metadata.labels or {})
            )
        return nodes

    def create(self) -> None:
        """Makes the Job and its files; these belong to the Job and go with it."""
        files = self.manifests.files
        if files is not None:
            self.core.create_namespaced_config_map(self.namespace, files)
        try:
            job = {**self.manifests.job}
            job["metadata"] = {**job["metadata"], "name": self.name}
            uid = self.batch.create_namespaced_job(self.namespace, job).metadata.uid
            if files is not None:
                owner = {"apiVersion": "batch/v1", "kind": "Job", "name": self.name, "uid": uid}
                self.core.patch_namespaced_config_map(
                    files["metadata"]["name"],
                    self.namespace,
                    {"metadata": {"ownerReferences": [owner]}},
                )
        except BaseException:
            if files is not None:
                self.core.delete_namespaced_config_map(files["metadata"]["name"], self.namespace)
            raise

    def wait_for_pod(self, seconds: float) -> str:
        """The name of the Job's pod, once it runs or has run.

        Raises ConsoleError with the reason, in Kubernetes' own words, where it does not start.
        """
        end = time.monotonic() + seconds
        said, uploaded = None, False
        while True:
            pods = self.core.list_namespaced_pod(
                self.namespace, label_selector=f"batch.kubernetes.io/job-name={self.name}"
            ).items
            if pods and pods[0].status.phase != "Pending":
                return pods[0].metadata.name
            if pods and not uploaded and _is_waiting_for_files(pods[0]):
                self._upload(pods[0].metadata.name)
                uploaded, end = True, time.monotonic() + seconds  # however long that took
            reason = _waits_for(pods[0]) if pods else self._refused()
            if reason and reason != said:
                say(f"the driver's pod waits: {reason}")
                said = reason
            if time.monotonic() > end:
                raise ConsoleError(f"no driver after {seconds:.0f} s: {said or 'no reason known'}")
            time.sleep(_LOOK_EVERY)

    def _upload(self, pod: str) -> None:
        """Brings the files that are too large for a ConfigMap."""
        files = self.manifests.uploads
        say(f"bringing {sum(map(len, files.values())):,} bytes to the driver's pod")
        for name, content in files.items():
            # Of a websocket only one end can be closed, so the other must know how much to read.
            script = 'head -c "$1" >"$0"'
            self._run(pod, [f"{FILES_PATH}/{name}", str(len(content))], script, content)
        self._run(pod, [f"{FILES_PATH}/{DONE}"], 'touch "$0"')

    def _run(self, pod: str, arguments: list[str], script: str, input_: bytes = b"") -> None:
        process = stream(
            self.core.connect_get_namespaced_pod_exec,
            pod,
            self.namespace,
            container=RECEIVER,
            command=["sh", "-c", script, *arguments],
            stdin=True,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        for start in range(0, len(input_), _PIECE):
            process.write_stdin(input_[start : start + _PIECE])
        process.run_forever(timeout=_UPLOADS_WITHIN)
        if process.is_open() or process.returncode != 0:
            raise ConsoleError(f"the files did not get to pod {pod}: {process.read_stderr()}")

    def _refused(self) -> str | None:
        """Why the Job has no pod: a quota, a policy."""
        events = self.core.list_namespaced_event(
            self.namespace, field_selector=f"involvedObject.name={self.name},type=Warning"
        ).items
        return events[-1].message if events else None

    def follow(self, pod: str) -> int:
        """Shows the driver's log until it ends; its exit code. Raises OutputError."""
        return follow_log(
            Log(show, say), lambda since: self._log(pod, since), lambda: self._exit_code(pod)
        )

    def _log(self, pod: str, since: str | None) -> Iterator[bytes]:
        """The pieces of the driver's log, each line with its time, until the reply ends."""
        query = {"container": DRIVER_CONTAINER, "follow": "true", "timestamps": "true"}
        api = self.core.api_client
        request = api.param_serialize(
            method="GET",
            resource_path="/api/v1/namespaces/{namespace}/pods/{name}/log",
            path_params={"namespace": self.namespace, "name": pod},
            # The client's own method has no sinceTime.
            query_params=[*query.items(), *([("sinceTime", since)] if since else [])],
            auth_settings=["BearerToken"],
        )
        try:
            reply = api.call_api(*request, _request_timeout=(10, _QUIET_WITHIN)).response
            if reply.status != 200:
                raise LogError(f"the API answers {reply.status} for the driver's log")
            while piece := reply.read1(65536):
                yield piece
        except urllib3.exceptions.HTTPError as error:
            # Nothing for a while: the answer's first byte comes with the first of the log.
            if isinstance(getattr(error, "reason", error), urllib3.exceptions.ReadTimeoutError):
                return
            raise LogError(f"the driver's log broke off: {error}") from error

    def _exit_code(self, name: str) -> int | None:
        status = self._status(name)
        for container in status.container_statuses or []:
            ended = container.state.terminated
            if container.name == DRIVER_CONTAINER and ended:
                if ended.reason not in (None, "Completed", "Error"):
                    say(f"the driver ended: {ended.reason}")
                # Of several lines it is but the log's end, which was shown.
                if ended.exit_code and len((why := ended.message or "").splitlines()) == 1:
                    say(f"the driver failed: {terminal.shown(why.strip())}")
                return ended.exit_code
        if status.phase == "Failed":
            raise ConsoleError(f"pod {name} failed: {status.reason}: {status.message}")
        return None

    def _status(self, name: str) -> Any:
        """A pod's; waits for an API that is away for a while."""
        end = time.monotonic() + _BACK_WITHIN
        while True:
            try:
                return self.core.read_namespaced_pod(name, self.namespace).status
            except ApiException as error:
                if error.status == 404:
                    raise ConsoleError(f"pod {name} is gone before its end was seen") from None
                if (error.status or 0) < 500 or time.monotonic() > end:
                    raise
            except urllib3.exceptions.HTTPError:
                if time.monotonic() > end:
                    raise
            time.sleep(_LOOK_EVERY)

    def delete(self) -> None:
        """Takes the Job away, and all that belongs to it; waits until its pods are gone."""
        end = time.monotonic() + _GONE_WITHIN
        while time.monotonic() < end:
            try:
                self.batch.delete_namespaced_job(
                    self.name, self.namespace, propagation_policy="Foreground"
                )
            except ApiException as error:
                if error.status == 404:
                    return
            except urllib3.exceptions.HTTPError:
                pass  # an API that is away for a moment
            time.sleep(_LOOK_EVERY)
        say(f"job {self.name} may run on: kubectl delete job -n {self.namespace} {self.name}")


def _is_waiting_for_files(pod: Any) -> bool:
    statuses = pod.status.init_container_statuses or []
    return any(status.name == RECEIVER and status.state.running for status in statuses)


def _waits_for(pod: Any) -> str | None:
    """Why a pod does not run yet, in the scheduler's or the kubelet's words."""
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.message
    for container in pod.status.container_statuses or []:
        waiting = container.state.waiting
        if waiting and waiting.reason not in ("ContainerCreating", "PodInitializing"):
            return f"{waiting.reason}: {waiting.message or ''}"
    return None


def connect(stack: Stack, namespace: str | None) -> tuple[client.ApiClient, Place]:
    """The stack's cluster, and where applications run in it: with Spark, or in that namespace."""
    if not stack.exists():
        raise ConsoleError(f"there is no stack {stack.name}; `make up` makes one")
    outputs = stack.outputs(secrets=True)
    if not outputs.get("kubeconfig") or not outputs.get("spark"):
        raise ConsoleError(f"stack {stack.name} has no Spark; `make up` brings it")
    api = config.new_client_from_config_dict(yaml.safe_load(outputs["kubeconfig"]))
    if namespace is None:
        return api, Place(**outputs["spark"])
    if namespace not in outputs.get("namespaces", {}):
        known = ", ".join(outputs.get("namespaces", {})) or "none"
        raise ConsoleError(
            f"stack {stack.name} has made no namespace {namespace} (it has: {known}); the setting"
            f" makes one: pulumi config set --path namespaces.{namespace}.cpu 2, then `make up`"
        )
    return api, Place(**outputs["namespaces"][namespace])


def submit(options: argparse.Namespace) -> int:
    """Runs the application; its exit code."""
    application = describe(options)
    # Before the stack is asked, which takes seconds.
    read_files(application)
    api, place = connect(Stack(options.stack), options.namespace)
    run = Run(api, place, application)
    require_quota(run.resolved)
    require_room(run.resolved, run.nodes())
    code: int | None = None
    try:
        run.create()
        say(f"job {run.name} in namespace {run.namespace}")
        code = run.follow(run.wait_for_pod(options.wait))
        return code
    except (KeyboardInterrupt, BrokenPipeError, OutputError):
        say("the application is ended and taken away")
        raise
    finally:
        if code is None or not options.keep:
            run.delete()


def main(argv: Sequence[str] | None = None) -> int:
    """The program; the exit code is the application's, 1 where it did not run."""
    options = parser().parse_args(argv)
    enter(local=options.stack == LOCAL)
    errors = (ApplicationError, ConsoleError, CloudError, ToolchainError)
    return terminal.run(lambda: _submit(options), "submit", errors, "stopped")


def _submit(options: argparse.Namespace) -> int:
    """`submit`, with what its clients have to say as errors of ours."""
    try:
        return submit(options)
    except ApiException as error:
        raise ConsoleError(_message(error)) from error
    except urllib3.exceptions.HTTPError as error:
        raise ConsoleError(f"the cluster does not answer: {error}") from error


def _message(error: ApiException) -> str:
    """What the API server says, in one line."""
    with suppress(yaml.YAMLError, TypeError):
        return str(yaml.safe_load(error.body)["message"]).replace("\n", " ")
    return f"the API server answers {error.status} {error.reason}"


if __name__ == "__main__":
    sys.exit(main())
