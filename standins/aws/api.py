"""AWS clients from the provider's configuration, and AWS's errors in words."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from standins.base import StandinError

# How long a configured endpoint may take to accept a connection, in seconds.
_IMPORTING = threading.Lock()
_REACH_TIMEOUT = 5.0


class Api:
    """boto3 clients, made when first used, for the region and endpoints of the configuration."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._session: Any = None
        self._account = ""

    @property
    def ec2(self) -> Any:
        """The EC2 client; boto3's clients may be used from several threads."""
        return self._client("ec2")

    @property
    def efs(self) -> Any:
        """The EFS client."""
        return self._client("efs")

    @property
    def elbv2(self) -> Any:
        """The client of Elastic Load Balancing."""
        return self._client("elbv2")

    @property
    def sts(self) -> Any:
        """The STS client."""
        return self._client("sts")

    @property
    def region(self) -> str:
        """The region of all calls; raises StandinError where none is configured."""
        return self._client("ec2").meta.region_name

    @property
    def account(self) -> str:
        """The id of the account, for ARNs."""
        with self._lock:
            known = self._account
        if not known:
            known = self.sts.get_caller_identity()["Account"]
            with self._lock:
                self._account = known
        return known

    def arn(self, resource: str, service: str = "ec2", owner: str = "") -> str:
        """The ARN of `resource`, such as `vpc/vpc-1`, of `owner` or else the caller's account."""
        region = self.region
        partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")
        return f"arn:{partition}:{service}:{region}:{owner or self.account}:{resource}"

    def _client(self, service: str) -> Any:
        boto3, botocore = _packages()
        with self._lock:
            if service in self._clients:
                return self._clients[service]
            if self._session is None:
                self._session = boto3.Session(
                    aws_access_key_id=self._config.get("accessKey"),
                    aws_secret_access_key=self._config.get("secretKey"),
                    region_name=self._config.get("region"),
                )
            if not self._session.region_name:
                raise StandinError("no region: set aws:region (or AWS_REGION)")
            endpoint = None
            for endpoints in self._config.get("endpoints") or []:
                endpoint = endpoints.get(service) or endpoint
            if endpoint:
                _check_reachable(endpoint)
            attempts = {"max_attempts": 10, "mode": "standard"}
            self._clients[service] = self._session.client(
                service,
                endpoint_url=endpoint,
                config=botocore.config.Config(retries=attempts, max_pool_connections=64),
            )
            return self._clients[service]


def _packages() -> tuple[Any, Any]:
    """boto3 and botocore, imported late: a plugin that only refuses or previews starts without.

    By one thread: of two at once, one may see a package that is half imported.
    """
    with _IMPORTING:
        import boto3
        import botocore.config
        import botocore.exceptions
    return boto3, botocore


def _check_reachable(endpoint: str) -> None:
    """Raise StandinError where nothing listens: boto3 would try for minutes before it says so."""
    url = urlsplit(endpoint)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname or "", port), timeout=_REACH_TIMEOUT).close()
    except OSError as error:
        raise StandinError(f"can't reach the AWS API at {endpoint}: {error}") from None


def error_code(error: Exception) -> str:
    """AWS's code for `error`, such as InvalidVpcID.NotFound, or nothing."""
    return getattr(error, "response", {}).get("Error", {}).get("Code", "")


def is_gone(error: Exception) -> bool:
    """Whether `error` says that the thing is not there (any more)."""
    code = error_code(error)
    return code.endswith(("NotFound", "NotFoundException", "NotFound.Unknown"))


@contextmanager
def in_words() -> Generator[None]:
    """Turns what boto3 raises into StandinError: operation, AWS's code and message."""
    exceptions = _packages()[1].exceptions
    try:
        yield
    except exceptions.ClientError as error:
        message = error.response.get("Error", {}).get("Message", str(error))
        raise StandinError(f"{error.operation_name}: {error_code(error)}: {message}") from None
    except exceptions.BotoCoreError as error:
        raise StandinError(f"can't ask AWS: {error}") from None
