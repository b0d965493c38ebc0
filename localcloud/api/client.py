"""Clients of the local cloud's own API: boto3's, and the feed of its changes."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote

import boto3
from botocore.config import Config

from localcloud.errors import CloudError
from localcloud.layout import API_ADDRESS, API_PORT, ENDPOINT, REGION


def aws_client(service: str) -> Any:
    """A service of AWS's at the local cloud, with the credentials that Pulumi.local.yaml has."""
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=REGION,
        aws_access_key_id="localcloud",
        aws_secret_access_key="localcloud",
        # A proxy of the user's shell must not come between, and waiting hides a dead API.
        config=Config(proxies={}, retries={"total_max_attempts": 2}, connect_timeout=5),
    )


def ec2_client() -> Any:
    """EC2 there."""
    return aws_client("ec2")


def changes(after: int, seconds: float = 60) -> dict[str, Any]:
    """What api.py tells of changes once there was one past `after`; -1 asks for what is known now.

    Raises OSError, ValueError or HTTPException where nothing, or nothing of ours, answers.
    """
    connection = http.client.HTTPConnection(API_ADDRESS, API_PORT, timeout=seconds)
    try:
        connection.request("GET", f"/tinderbox/changes?after={after}")
        return json.load(connection.getresponse())
    finally:
        connection.close()


def interrupt(instance_id: str, seconds: int) -> None:
    """Gives a spot instance notice that it is taken away in so many seconds, as AWS does.

    Raises CloudError with why it can't be.
    """
    connection = http.client.HTTPConnection(API_ADDRESS, API_PORT, timeout=10)
    try:
        asked = f"/tinderbox/interrupt?instance={quote(instance_id)}&seconds={seconds}"
        connection.request("POST", asked)
        answer = connection.getresponse()
        if answer.status != 200:
            raise CloudError(answer.read().decode().strip())
    except OSError:
        raise CloudError("the local cloud does not run; start it: make up") from None
    finally:
        connection.close()
