"""One application in a cluster: from its Job's creation until it is gone.

Its manifests are the caller's. What the application prints goes to stdout as it comes, what this
program has to say to stderr.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import urllib3
import why
from cluster_driver import Log, LogError, follow_log
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from console import failures
from console.cluster import changes, is_away, run_in_pod
from console.stack import ConsoleError
from console.waiting import Wait
from submission import runs
from submission.conf import DRIVER_CONTAINER, JOB_LABEL
from submission.facts import facts
from submission.files import FILES_PATH
from submission.manifests import DONE, RECEIVER, Manifests
from submission.programs import script
from toolchain import terminal

# Seconds between two looks at what has not ended yet, and that Kubernetes is heard for at a time.
_LOOK_EVERY, _HEARD_FOR = 1.0, 5.0
# Seconds until all of an application is gone; that the API may be away, as when the control plane
# starts anew; and without a byte of the log, after which the connection may be gone.
_GONE_WITHIN, _BACK_WITHIN, _QUIET_WITHIN = 60.0, 120.0, 60.0
# Seconds that Kubernetes lets pass at most until it tries again.
_TRIED_AGAIN_WITHIN = 600.0
# Seconds until one file must be there.
_UPLOADS_WITHIN = 600.0


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


class Run:
    """One application in a cluster, from its Job's creation until it is gone.

    name: of the Job, which the manifests lack. verb: who runs it, for what is said. out: takes the
    log.
    """

    def __init__(
        self,
        api: client.ApiClient,
        name: str,
        made: Manifests,
        verb: str = "submit",
        *,
        out: Callable[[bytes], None] = show,
    ) -> None:
        # The client's own types have None for whatever the API's schema does not require.
        self.api = api
        self.core: Any = client.CoreV1Api(api)
        self.batch: Any = client.BatchV1Api(api)
        self.name, self.manifests, self._verb, self._out = name, made, verb, out
        self.namespace = made.job["metadata"]["namespace"]

    def say(self, text: str) -> None:
        """One line on stderr."""
        terminal.complain(f"{self._verb}: {terminal.shown(text)}")

    def run(self, wait: float, *, keep: bool = False, has_end: bool = True) -> int:
        """All of it; the exit code of the driver, or of its last try.

        wait: seconds that it may take until the driver runs. keep: the finished Job stays, and this
        ends when Kubernetes says that it is finished; whatever ends this before takes it away.
        has_end: False ends this once the driver runs.
        """
        tried: list[str] = []
        code, is_done = 0, False
        try:
            self.create()
            self.say(f"job {self.name} in namespace {self.namespace}")
            while pod := self.wait_for_pod(wait, tried):
                if not has_end:
                    self.say(f"it runs, and has no end: kubectl logs -f -n {self.namespace} {pod}")
                    break
                code = self.follow(pod)
                tried.append(pod)
                if not keep:
                    break
            is_done = True
            return code
        except (KeyboardInterrupt, BrokenPipeError, OutputError):
            self.say("the application is ended and taken away")
            raise
        finally:
            if not (is_done and keep):
                self.delete()

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

    def wait_for_pod(self, seconds: float, tried: Sequence[str] = ()) -> str | None:
        """The name of the Job's pod, once it runs or has run; None where there will be no other.

        tried: the pods that have ended. Raises ConsoleError with the reason, in Kubernetes' own
        words, where it does not start.
        """
        seconds += _TRIED_AGAIN_WITHIN if tried else 0
        wait, uploaded = Wait("the driver's pod", seconds, self.say), False
        found = why.cause({})
        while True:
            name = None
            for pod in self._pods(tried, min(_LOOK_EVERY if tried else _HEARD_FOR, wait.left)):
                name = pod["metadata"]["name"]
                if pod["status"]["phase"] != "Pending":
                    return name
                if not uploaded and _is_waiting_for_files(pod):
                    self._upload(name)
                    uploaded = True
                    wait = Wait("the driver's pod", seconds, self.say)  # however long that took
                found = _newer(found, {"pods": [pod]})
                wait.tell(_reason(found))
            if tried and name is None:
                if self._has_ended():
                    return None
                wait.tell()
                continue
            if name is None:
                found = _newer(found, self._facts())
            wait.tell(_reason(found))
            if wait.is_over():
                self._keep(name or self.name, None, found)
                reason = _reason(found) or "no reason known"
                raise ConsoleError(f"no driver after {seconds:.0f} s: {reason}")

    def _pods(self, tried: Sequence[str], within: float) -> Iterator[dict[str, Any]]:
        """The Job's pod, now and whenever it changes, but for those that were tried."""
        own = f"{JOB_LABEL}={self.name}"
        pods = changes(self.core.list_namespaced_pod, self.namespace, within, label_selector=own)
        for kind, pod in pods:
            if kind != "DELETED" and pod["metadata"]["name"] not in tried:
                yield pod

    def _has_ended(self) -> bool:
        job = self._ask(self.batch.read_namespaced_job, self.name, self.namespace)
        return runs.has_ended(self.api.sanitize_for_serialization(job))

    def _upload(self, pod: str) -> None:
        """Brings the files that are too large for a ConfigMap."""
        files = self.manifests.uploads
        self.say(f"bringing {sum(map(len, files.values())):,} bytes to the driver's pod")
        for name, content in files.items():
            target = f"{FILES_PATH}/{name}"
            receive = ["sh", "-c", script("receive.sh"), "receive", target, str(len(content))]
            self._run(pod, receive, content)
        self._run(pod, ["touch", f"{FILES_PATH}/{DONE}"])

    def _run(self, pod: str, command: list[str], input_: bytes = b"") -> None:
        api = self.api
        where = (api, self.namespace, pod)
        try:
            run_in_pod(*where, command, _UPLOADS_WITHIN, container=RECEIVER, input_=input_)
        except ConsoleError as error:
            raise ConsoleError(f"the files did not get to pod {pod}: {error}") from error

    def follow(self, pod: str) -> int:
        """Shows the driver's log until it ends; its exit code. Raises OutputError.

        Where that is not 0, why is said, and kept on the volume.
        """
        code = follow_log(
            Log(self._out, self.say),
            lambda since: self._log(pod, since),
            lambda: self._exit_code(pod),
        )
        if code != 0:
            found = why.cause({**self._facts(), "code": code})
            self._keep(pod, code, found)
            self.say(f"the driver failed: {found['line']}")
        return code

    def _keep(self, run: str, code: int | None, found: why.Cause) -> None:
        """For `make why`, when all pods are gone; no failure of it is worth more than a line."""
        try:
            failures.keep(self.api, run, code, found, time.time())
        except ConsoleError as error:
            self.say(f"why it failed is not kept: {error}")

    def _log(self, pod: str, since: str | None) -> Iterator[bytes]:
        """The pieces of the driver's log, each line with its time, until the reply ends."""
        query = {"container": DRIVER_CONTAINER, "follow": "true", "timestamps": "true"}
        api = self.api
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
                self.say(f"the driver runs; its log has had nothing new for {_QUIET_WITHIN:.0f} s")
                return
            raise LogError(f"the driver's log broke off: {error}") from error

    def _exit_code(self, name: str) -> int | None:
        status = self._status(name)
        for container in status.container_statuses or []:
            ended = container.state.terminated
            if container.name == DRIVER_CONTAINER and ended:
                return ended.exit_code
        return 1 if status.phase == "Failed" else None

    def _status(self, name: str) -> Any:
        try:
            return self._ask(self.core.read_namespaced_pod, name, self.namespace).status
        except ApiException as error:
            if error.status == 404:
                raise ConsoleError(f"pod {name} is gone before its end was seen") from None
            raise

    def _facts(self) -> dict[str, Any]:
        return self._ask(facts, self.api, self.namespace, self.name)

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """The answer; waits for an API that is away, or too busy, for a while."""
        end = time.monotonic() + _BACK_WITHIN
        while True:
            try:
                return question(*arguments)
            except (ApiException, urllib3.exceptions.HTTPError) as error:
                if not is_away(error) or time.monotonic() > end:
                    raise
            time.sleep(_LOOK_EVERY)

    def forget(self, job: str) -> None:
        """Takes away another Job, which has ended."""
        self.batch.delete_namespaced_job(job, self.namespace, propagation_policy="Background")

    def delete(self) -> None:
        """Takes the Job away, and all that belongs to it; waits until its pods are gone."""
        wait = Wait("its pods to end", _GONE_WITHIN, self.say)
        chosen = {"field_selector": f"metadata.name={self.name}"}
        while not wait.is_over():
            try:
                self.batch.delete_namespaced_job(
                    self.name, self.namespace, propagation_policy="Foreground"
                )
                jobs = self.batch.list_namespaced_job
                for kind, _ in changes(jobs, self.namespace, _HEARD_FOR, **chosen):
                    if kind == "DELETED":
                        return
            except ApiException as error:
                if error.status == 404:
                    return
                time.sleep(_LOOK_EVERY)
            except urllib3.exceptions.HTTPError:
                time.sleep(_LOOK_EVERY)  # an API that is away for a moment
            wait.tell()
        self.say(f"job {self.name} may run on: kubectl delete job -n {self.namespace} {self.name}")


def _is_waiting_for_files(pod: Mapping[str, Any]) -> bool:
    containers = pod["status"].get("initContainerStatuses") or []
    return any(one["name"] == RECEIVER and one["state"].get("running") for one in containers)


def _newer(found: why.Cause, known: why.Facts) -> why.Cause:
    """Why a pod does not run by what is known now, else by what was known before."""
    seen = why.cause(known)
    return found if seen["cause"] == "running" else seen


def _reason(found: why.Cause) -> str | None:
    return None if found["cause"] == "running" else found["line"]
