"""Runs the helm command: finds it, hands it secrets by private files, ends it when cancelled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from standins.call import Call, Cancelled, StandinError
from standins.kubernetes.kubeconfig import Kubeconfig
from standins.kubernetes.redact import redact

# How soon a cancellation is noticed, and how long helm then gets to roll back by itself.
_BREATH = 0.2
_GRACE_SECONDS = 8.0
# How often `on_wait` is called.
_PROGRESS_SECONDS = 2.0
# Settings of the person's own helm that would point it elsewhere than the provider does.
_NOT_INHERITED = ("HELM_NAMESPACE", "HELM_DEBUG", "HELM_DRIVER", "HELM_KUBE", "KUBECONFIG")


class HelmError(StandinError):
    """helm ended with an error; the text is helm's own, without secrets."""

    @property
    def not_found(self) -> bool:
        """There is no such release."""
        return "release: not found" in str(self)

    @property
    def name_taken(self) -> bool:
        """An install found a release of this name."""
        return "cannot re-use a name that is still in use" in str(self)

    @property
    def nothing_deployed(self) -> bool:
        """An upgrade found no release that was ever deployed."""
        return "has no deployed releases" in str(self)

    @property
    def under_way(self) -> bool:
        """Another operation on the release is under way, or was when it was killed."""
        return "another operation (install/upgrade/rollback) is in progress" in str(self)

    @property
    def unreachable(self) -> bool:
        """The cluster did not answer."""
        return "Kubernetes cluster unreachable" in str(self)


def find_helm() -> str:
    """The helm command: $TINDERBOX_HELM, else on PATH, else in the project's .tinderbox/bin.

    The engine starts plugins in the project's folder.

    Raises StandinError that says how to get one.
    """
    own = os.environ.get("TINDERBOX_HELM", "")
    project = Path.cwd() / ".tinderbox" / "bin" / "helm"
    for candidate in (own, shutil.which("helm") or "", str(project)):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise StandinError(
        "the helm command is missing, which Releases are installed with: run `make tools`, "
        "or install helm 3 and put it on PATH"
    )


class Helm:
    """helm, for one cluster. `kubeconfig` gives the cluster's, or None for commands without one.

    `settings` are the provider's helmReleaseSettings.
    """

    def __init__(
        self,
        kubeconfig: Callable[[], Kubeconfig],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._settings = settings or {}

    def template(self, call: Call, arguments: list[str], values: Any) -> str:
        """The manifest that `helm template` renders; needs no cluster."""
        return self._run(call, ["template", *arguments], values, cluster=False)

    def lint(self, call: Call, chart: str, values: Any) -> None:
        """Raises HelmError with what `helm lint` finds wrong."""
        self._run(call, ["lint", "--quiet", chart], values, cluster=False)

    def run(
        self,
        call: Call,
        arguments: list[str],
        values: Any = None,
        on_wait: Callable[[], None] = lambda: None,
        cancellable: bool = True,
    ) -> str:
        """What helm prints for `arguments`. `on_wait` is called every now and then.

        Raises HelmError; Cancelled once helm has ended after a cancellation.
        """
        return self._run(call, arguments, values, True, on_wait, cancellable)

    def metadata(self, call: Call, name: str, namespace: str) -> dict[str, Any] | None:
        """`helm get metadata` of a release, or None where there is no such release."""
        arguments = ["get", "metadata", name, "--namespace", namespace, "--output", "json"]
        try:
            return json.loads(self.run(call, arguments, cancellable=False))
        except HelmError as error:
            if error.not_found:
                return None
            raise

    def _run(
        self,
        call: Call,
        arguments: list[str],
        values: Any,
        cluster: bool,
        on_wait: Callable[[], None] = lambda: None,
        cancellable: bool = True,
    ) -> str:
        command = [find_helm(), *arguments]
        hidden = [call.marked_inputs, call.marked_old_inputs]
        with tempfile.TemporaryDirectory(prefix="standin-helm-") as folder:
            environment = self._environment()
            if cluster:
                kubeconfig = self._kubeconfig()
                hidden.append(kubeconfig.secrets)
                command += ["--kube-context", kubeconfig.context] if kubeconfig.context else []
                path = kubeconfig.path or _private(folder, "kubeconfig", kubeconfig.text)
                environment["KUBECONFIG"] = str(path)
            if values is not None:
                # JSON is YAML. Values may hold secrets, so they are never on the command line.
                command += ["--values", _private(folder, "values.yaml", json.dumps(values))]
            with _started(command, environment) as process:
                output, errors, cancelled = _attend(process, call, on_wait, cancellable)
        if cancelled:
            raise Cancelled
        if process.returncode != 0:
            raise HelmError(redact(_plain_error(errors or output), *hidden))
        return output

    def _environment(self) -> dict[str, str]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)
        }
        for setting, name in (
            ("driver", "HELM_DRIVER"),
            ("pluginsPath", "HELM_PLUGINS"),
            ("registryConfigPath", "HELM_REGISTRY_CONFIG"),
            ("repositoryConfigPath", "HELM_REPOSITORY_CONFIG"),
            ("repositoryCache", "HELM_REPOSITORY_CACHE"),
        ):
            if self._settings.get(setting):
                environment[name] = str(self._settings[setting])
        return environment


def _private(folder: str, name: str, text: str) -> str:
    """A new file that only this user can read."""
    path = os.path.join(folder, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return path


@contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Generator[subprocess.Popen[str]]:
    """helm as a process of its own group, so that the terminal's Ctrl-C does not reach it too."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _attend(
    process: subprocess.Popen[str], call: Call, on_wait: Callable[[], None], cancellable: bool
) -> tuple[str, str, bool]:
    """Wait for helm's end: its output, its errors, and whether it was cancelled."""
    shown = time.monotonic()
    ends_at = None
    while True:
        try:
            output, errors = process.communicate(timeout=_BREATH)
            return output, errors, ends_at is not None
        except subprocess.TimeoutExpired:
            pass
        now = time.monotonic()
        if cancellable and call.cancelled.is_set() and ends_at is None:
            ends_at = now + _GRACE_SECONDS
            process.terminate()
        if ends_at is not None and now > ends_at:
            process.kill()
        if ends_at is None and now - shown >= _PROGRESS_SECONDS:
            on_wait()
            shown = time.monotonic()


def _plain_error(text: str) -> str:
    """helm's message without what surrounds it: warnings, log lines, the word Error."""
    lines = [
        line
        for line in text.strip().splitlines()
        if not line.startswith(("WARNING:", "I0", "W0", "E0", "walk.go", "coalesce.go"))
    ]
    return "\n".join(lines).removeprefix("Error: ").strip() or "helm failed without a word"
