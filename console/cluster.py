"""Kubernetes' API of a stack's cluster: the one client of the console."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from kubernetes.watch import Watch

from console.stack import ConsoleError, Stack, require_stack
from console.waiting import Wait

#: What Spark's master says of itself, by the API.
SPARK_MASTER = "/api/v1/namespaces/spark/services/http:spark-master:8080/proxy/json/"
LOOPBACK = "127.0.0.1"
# Seconds to connect and to answer.
_WITHIN = (10, 10)
# A connection that was kept may be gone; who can't be reached at all is not asked again.
_RETRIES = urllib3.Retry(1, connect=0)
# Seconds that a watch takes at least which tells nothing, so that an API in trouble is left alone.
_AGAIN = 1.0
# So many threads keep a connection each.
_CONNECTIONS = 256
# Bytes of a message to a pod.
_PIECE = 2**18
_JSON, _TABLE = "application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"


class Cluster:
    """A cluster by its kubeconfig. All raise ConsoleError, in one line."""

    def __init__(self, kubeconfig: str) -> None:
        self._text = kubeconfig
        configuration = client.Configuration()
        try:
            config.load_kube_config_from_dict(
                yaml.safe_load(kubeconfig), client_configuration=configuration
            )
        except config.ConfigException as error:
            raise ConsoleError(f"the stack's kubeconfig: {error}") from None
        configuration.retries = _RETRIES
        configuration.connection_pool_maxsize = _CONNECTIONS
        self.api = client.ApiClient(configuration)

    def get(self, path: str, accept: str = _JSON) -> str:
        """What the API, or a Service behind it, answers for a path."""
        request = self.api.param_serialize(
            method="GET",
            resource_path=path,
            header_params={"Accept": accept},
            auth_settings=["BearerToken"],
        )
        with said_in_one_line():
            reply = self.api.call_api(*request, _request_timeout=_WITHIN)
            text = reply.read().decode(errors="replace")
        if reply.status != 200:
            raise ConsoleError(_message(reply.status, reply.reason, text))
        return text

    def json(self, path: str) -> Any:
        """The same of what is JSON."""
        return json.loads(self.get(path))

    def table(self, path: str) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of a list, as the API server itself has them for people.

        Columns that say nothing of any row are left out; what is in a namespace begins with it.
        """
        found = json.loads(self.get(path, _TABLE))
        columns = [column["name"] for column in found["columnDefinitions"]]
        rows = [[str(cell) for cell in row["cells"]] for row in found["rows"]]
        spaces = [row["object"]["metadata"].get("namespace", "") for row in found["rows"]]
        if any(spaces):
            columns = ["Namespace", *columns]
            rows = [[space, *row] for space, row in zip(spaces, rows, strict=True)]
        says = [any(row[at] not in ("", "<none>") for row in rows) for at in range(len(columns))]
        return _those(columns, says), [_those(row, says) for row in rows]

    def run(self, namespace: str, pod: str, command: Sequence[str], within: float) -> str:
        """What a command in a pod prints."""
        with said_in_one_line():
            return run_in_pod(self.api, namespace, pod, command, within)

    @contextlib.contextmanager
    def kubeconfig(self) -> Generator[str]:
        """The path of the kubeconfig, in a file of its owner's that goes again."""
        with tempfile.NamedTemporaryFile("w", prefix="kubeconfig-") as file:
            file.write(self._text)
            file.flush()
            yield file.name


def is_ready(thing: Mapping[str, Any]) -> bool:
    """Whether a node, or a pod, says that it is."""
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in thing["status"].get("conditions", [])
    )


def connect(stack: Stack) -> Cluster:
    """The stack's cluster. Raises ConsoleError where it has none."""
    return connect_by(stack, stack.outputs(secrets=True))


def connect_by(stack: Stack, outputs: Mapping[str, Any]) -> Cluster:
    """The same by its outputs, secret ones too, where they are known: each call takes its time."""
    if not outputs.get("kubeconfig"):
        raise ConsoleError(f"stack {stack.name} has no cluster; `make up` makes one")
    return Cluster(outputs["kubeconfig"])


def connect_spark(stack: Stack) -> tuple[Cluster, dict[str, Any]]:
    """The stack's cluster, and its outputs. Raises ConsoleError where it has no Spark."""
    require_stack(stack)
    outputs = stack.outputs(secrets=True)
    if not outputs.get("kubeconfig") or not outputs.get("spark"):
        raise ConsoleError(f"stack {stack.name} has no Spark; `make up` brings it")
    return Cluster(outputs["kubeconfig"]), outputs


def require_answer(stack: Stack, outputs: Mapping[str, Any], seconds: float = 60) -> None:
    """Raises ConsoleError unless the stack's cluster answers within that time.

    outputs: its own, secret ones too. Where nothing has changed an update asks no node, so it ends
    well beside a cluster that is off.
    """
    cluster, wait = connect_by(stack, outputs), Wait("the cluster to answer", seconds)
    while True:
        try:
            cluster.get("/readyz")
            return
        except ConsoleError as error:
            if wait.is_over():
                raise ConsoleError(
                    f"the update is done, but the cluster does not answer ({error});"
                    " see that its instances run (`make status`), then call it again"
                ) from None
            wait.tell(str(error))
        time.sleep(1)


def is_away(error: Exception) -> bool:
    """Whether by this error the API server is away or too busy, so that it may answer later."""
    if isinstance(error, ApiException):
        return error.status == 429 or (error.status or 0) >= 500
    return isinstance(error, urllib3.exceptions.HTTPError)


def changes(
    listed: Callable[..., Any], namespace: str, within: float, **chosen: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What becomes of that which is chosen of a list: (ADDED, MODIFIED or DELETED, it as JSON).

    First how it is now; for so many seconds, or until the connection breaks off, or the API server
    is away or too busy. Kubernetes tells it by itself, so that many may wait at once.
    """
    seconds, quiet_until = max(1, round(within)), time.monotonic() + _AGAIN
    limits = {"timeout_seconds": seconds, "_request_timeout": (10, seconds + 10)}
    try:
        for event in Watch("object").stream(listed, namespace, **limits, **chosen):
            quiet_until = 0.0
            yield event["type"], event["object"]
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        # 410: that version is too old to be known.
        if not is_away(error) and getattr(error, "status", None) != 410:
            raise
    time.sleep(max(0.0, quiet_until - time.monotonic()))


def run_in_pod(
    api: client.ApiClient,
    namespace: str,
    pod: str,
    command: Sequence[str],
    within: float,
    *,
    container: str | None = None,
    input_: bytes = b"",
) -> str:
    """What a command in a pod prints. Raises ConsoleError with its last words where it fails.

    within: seconds that it may take. input_: its standard input, whose end it does not see.
    """
    core: Any = client.CoreV1Api(api)
    process = stream(
        core.connect_get_namespaced_pod_exec,
        pod,
        namespace,
        **({} if container is None else {"container": container}),
        command=[*command],
        stdin=bool(input_),
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    for start in range(0, len(input_), _PIECE):
        process.write_stdin(input_[start : start + _PIECE])
    process.run_forever(timeout=within)
    if process.is_open():
        process.close()
        raise ConsoleError(f"pod {pod} was not done within {within:.0f} s")
    printed, said = process.read_stdout(timeout=0), process.read_stderr(timeout=0)
    try:
        code = process.returncode
    except TypeError:  # the client looks for the code in what was never said
        raise ConsoleError(f"the connection to pod {pod} broke off") from None
    if code != 0:
        words = said.strip().splitlines() or [f"exit code {code} in pod {pod}"]
        raise ConsoleError(words[-1])
    return printed


def port_forward(
    kubeconfig: str,
    namespace: str,
    target: str,
    ports: str,
    env: Mapping[str, str],
    stdout: int = subprocess.DEVNULL,
) -> subprocess.Popen[str]:
    """Forwards a port of this machine's loopback to a pod or a Service, until it is ended.

    By kubectl: the Python client's has a websocket and a thread for each connection of a browser,
    knows no Service, and drops what is on its way when either end has said all.
    """
    where = ["--kubeconfig", kubeconfig, "--namespace", namespace]
    return subprocess.Popen(
        ["kubectl", *where, "port-forward", "--address", LOOPBACK, target, ports],
        env=env,
        stdout=stdout,
        text=True,
        # It tells of each connection, and complains of those that a browser ends early.
        stderr=subprocess.DEVNULL if stdout == subprocess.DEVNULL else None,
        # Ctrl-C is for this process, which ends the others.
        start_new_session=True,
    )


@contextlib.contextmanager
def said_in_one_line() -> Generator[None]:
    """What the client has to say, as a ConsoleError."""
    try:
        yield
    except ApiException as error:
        raise ConsoleError(_message(error.status, error.reason, error.body)) from error
    except urllib3.exceptions.HTTPError as error:
        raise ConsoleError(f"the cluster does not answer: {_reason(error)}") from error


def _message(status: int | None, reason: str | None, body: Any) -> str:
    """What the API server says."""
    with suppress(yaml.YAMLError, TypeError, KeyError, AttributeError):
        return str(yaml.safe_load(body)["message"]).replace("\n", " ")
    return f"the API server answers {status} {reason}"


def _reason(error: Exception) -> str:
    """Of an error of urllib3's, without the addresses of its objects."""
    cause = getattr(error, "reason", None) or error
    text = str(cause.args[-1] if cause.args else cause)
    return re.sub(r"^.* at 0x[0-9a-f]+>[:,] *", "", text.split("\n")[0])


def _those(cells: Sequence[str], wanted: Sequence[bool]) -> list[str]:
    return [cell for cell, is_wanted in zip(cells, wanted, strict=True) if is_wanted]
