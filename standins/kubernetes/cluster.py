"""One Kubernetes cluster, spoken to over plain HTTP paths with one pool of connections.

The `kubernetes` package reads the kubeconfig (certificates, tokens, exec plugins); urllib3 carries
the requests. Paths come from kinds.py, so nothing is ever asked of the API's discovery.
"""

from __future__ import annotations

import json
import ssl
import tempfile
import threading
import time
from typing import Any
from urllib.parse import urlencode

from standins.call import StandinError
from standins.kubernetes.kubeconfig import Kubeconfig
from standins.kubernetes.watch import Watch

# How long a connection may take to come about before the cluster counts as unreachable.
CONNECT_SECONDS = 10.0
# How long an answer may take; the API server itself gives up after 60 s.
READ_SECONDS = 65.0
# How long a refused connection or an overloaded server is tried again: one restart of the server.
PATIENCE_SECONDS = 15.0
_SMALLEST_WAIT, _LARGEST_WAIT = 0.1, 2.0


class ApiError(StandinError):
    """The API server's refusal: HTTP `status`, Kubernetes' `reason` (NotFound, Invalid, ...)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message or f"HTTP status {status}")
        self.status = status
        self.reason = reason

    @property
    def passing(self) -> bool:
        """Whether the same request may well succeed within seconds."""
        return self.status in (429, 502, 503, 504)

    @property
    def no_namespace(self) -> bool:
        """Whether what was not found is the object's namespace."""
        return self.status == 404 and str(self).startswith('namespaces "')


class Unreachable(StandinError):
    """No connection to the cluster; `passing` where it may well come back within seconds."""

    def __init__(self, message: str, passing: bool) -> None:
        super().__init__(message)
        self.passing = passing


class Cluster:
    """The API of the cluster that a kubeconfig names. Safe to use from several threads."""

    def __init__(self, kubeconfig: Kubeconfig, timeout: float = READ_SECONDS) -> None:
        self.kubeconfig = kubeconfig
        self._read_seconds = timeout
        self._lock = threading.Lock()
        self._pool: Any = None
        self._settings: Any = None

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at the end."""
        return str(self.kubeconfig.cluster["server"]).rstrip("/")

    def get(self, path: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
        """The object or list at `path`."""
        return self.request("GET", path, query)

    def find(self, path: str) -> dict[str, Any] | None:
        """The object at `path`, or None where there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def apply(
        self, path: str, manifest: dict[str, Any], manager: str, force: bool, dry_run: bool = False
    ) -> dict[str, Any]:
        """Server-side apply `manifest` at `path` as field manager `manager`; the live object."""
        query: dict[str, Any] = {"fieldManager": manager, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        # JSON is YAML, and far faster to write.
        content_type = "application/apply-patch+yaml"
        # A preview does without an answer rather than wait for one.
        return self.request("PATCH", path, query, manifest, content_type, patient=not dry_run)

    def delete(self, path: str, propagation: str) -> None:
        """Ask for the deletion of the object at `path`; no error where there is none."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        try:
            self.request("DELETE", path, None, options)
        except ApiError as error:
            if error.status != 404:
                raise

    def log_tail(self, namespace: str, pod: str, container: str, lines: int) -> str:
        """The last lines that a container wrote; "" where they can't be had."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        query = {"container": container, "tailLines": lines, "limitBytes": 8192}
        try:
            return self._send("GET", path, query).decode(errors="replace").strip()
        except StandinError:
            return ""

    def watch(self, **selections: tuple[str, dict[str, str]]) -> Watch:
        """Watch collections: name -> (path of the collection, query); see watch.py."""
        return Watch(self, selections)

    def request(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        patient: bool = True,
    ) -> dict[str, Any]:
        """One request; the decoded answer. Raises ApiError and Unreachable.

        `patient`: a server that is away or overloaded is tried again for some seconds.
        """
        return json.loads(self._send(method, path, query, body, content_type, patient))

    def open(self, path: str, query: dict[str, Any], read_seconds: float) -> Any:
        """A GET whose answer is read bit by bit: urllib3's response, to be closed by the caller."""
        return self._once("GET", path, query, read_seconds=read_seconds, stream=True)

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        patient: bool = True,
    ) -> bytes:
        """The answer's bytes; all requests made here may be repeated without harm."""
        deadline = time.monotonic() + (PATIENCE_SECONDS if patient else 0.0)
        wait = _SMALLEST_WAIT
        while True:
            try:
                return self._once(method, path, query, body, content_type).data
            except (Unreachable, ApiError) as error:
                if not error.passing or time.monotonic() + wait > deadline:
                    raise
            time.sleep(wait)
            wait = min(2 * wait, _LARGEST_WAIT)

    def _once(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        body: Any = None,
        content_type: str = "",
        read_seconds: float | None = None,
        stream: bool = False,
    ) -> Any:
        import urllib3

        pool = self._connect()
        headers = {"accept": "application/json", **self._credentials()}
        if body is not None:
            headers["content-type"] = content_type
        try:
            response = pool.urlopen(
                method,
                self.server + path + (f"?{urlencode(query)}" if query else ""),
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=not stream,
                timeout=urllib3.Timeout(CONNECT_SECONDS, read_seconds or self._read_seconds),
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        if response.status >= 400:
            raise _api_error(response.status, response.data)
        return response

    def _unreachable(self, error: Exception) -> Unreachable:
        from urllib3 import exceptions

        if isinstance(error, exceptions.ConnectTimeoutError):
            cause, passing = f"no answer within {CONNECT_SECONDS:g} s", False
        elif isinstance(error, exceptions.NameResolutionError):
            cause, passing = "its name does not resolve", False
        elif isinstance(error, exceptions.SSLError):
            cause, passing = str(error), False
        elif isinstance(error, exceptions.ReadTimeoutError):
            cause, passing = "it took too long to answer", True
        else:  # refused, reset, closed: what a restart of the API server looks like
            reason = getattr(error, "__cause__", None) or error
            cause, passing = getattr(reason, "strerror", None) or str(error), True
        return Unreachable(f"the cluster at {self.server} cannot be reached: {cause}", passing)

    def _connect(self) -> Any:
        """The pool of connections, made at first use."""
        with self._lock:
            if self._pool is None:
                import urllib3

                self._settings, context = _settings(self.kubeconfig)
                options: dict[str, Any] = {"ssl_context": context, "num_pools": 4, "maxsize": 64}
                if self._settings.tls_server_name:
                    options["server_hostname"] = self._settings.tls_server_name
                    options["assert_hostname"] = self._settings.tls_server_name
                proxy = self.kubeconfig.cluster.get("proxy-url")
                self._pool = (
                    urllib3.ProxyManager(proxy, **options)
                    if proxy
                    else urllib3.PoolManager(**options)
                )
            return self._pool

    def _credentials(self) -> dict[str, str]:
        """The headers that say who we are; renews a token that an exec plugin gave."""
        with self._lock:
            return {
                setting["key"]: setting["value"]
                for setting in self._settings.auth_settings().values()
                if setting.get("value")
            }


def _settings(kubeconfig: Kubeconfig) -> tuple[Any, ssl.SSLContext]:
    """The `kubernetes` package's reading of the kubeconfig, and the TLS context for it."""
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, kube_config

    settings = Configuration()
    # ssl reads certificates from files only; the key lies on the disk just as long as that takes.
    with tempfile.TemporaryDirectory(prefix="standin-kubernetes-") as folder:
        try:
            kube_config.KubeConfigLoader(
                config_dict=kubeconfig.document,
                active_context=kubeconfig.context,
                config_base_path=str(kubeconfig.path.parent if kubeconfig.path else folder),
                temp_file_path=folder,
            ).load_and_set(settings)
            context = ssl.create_default_context(cafile=settings.ssl_ca_cert or None)
            if settings.cert_file:
                context.load_cert_chain(settings.cert_file, settings.key_file)
        except (ConfigException, OSError, ValueError) as error:
            raise StandinError(f"the kubeconfig cannot be used: {error}") from None
        finally:
            # The package remembers the files that it wrote, and would name them again.
            kube_config._cleanup_temp_files()
    if not settings.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return settings, context


def _api_error(status: int, body: bytes) -> ApiError:
    """The error in a Kubernetes Status object, or in whatever else answered."""
    try:
        answer = json.loads(body)
        reason, message = answer.get("reason", ""), answer.get("message", "")
    except (ValueError, AttributeError):
        reason, message = "", body.decode(errors="replace").strip()[:500]
    if status == 401:
        message = "the cluster does not accept the kubeconfig's credentials (Unauthorized)"
    return ApiError(status, reason, message)
