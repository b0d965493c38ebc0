"""Where applications run: a `Place`, and the names that all sides of it share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

SHARED_PATH = "/srv/shared"
"""Where every node, and every pod with the claim, sees the shared volume."""
MASTERS = STANDALONE, KUBERNETES = ("standalone", "kubernetes")
"""What Spark applications run on: the stack's workers, or executors that are pods of their own."""


@dataclass(frozen=True)
class Place:
    """Where applications run: a namespace with what they need in it, made by the stack.

    claim: of the shared volume. auth_secret: with the key `secret`. defaults_config, native_config:
    ConfigMaps, Spark's conf folder for drivers on either kind of master. usage_config: one with the
    programs of usage.py. service_account: for drivers that make pods. workers: of the standalone
    cluster, each of which gives worker_cores and worker_memory_mib to executors. quota: {resource:
    quantity}, what all pods there may request together; None without a quota. s3_secret: with
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for drivers and for executors that are pods.
    """

    namespace: str
    image: str
    master_url: str
    claim: str
    auth_secret: str
    defaults_config: str
    native_config: str
    usage_config: str
    service_account: str
    workers: int
    worker_cores: int
    worker_memory_mib: int
    quota: Mapping[str, str] | None = None
    s3_secret: str | None = None


def is_master(name: str) -> bool:
    """True for a name or a URL of a master that applications run on."""
    urls = r"spark://[^/\s,:]+:\d+(,[^/\s,:]+:\d+)*|k8s://(https?://)?[^/\s]+"
    return name in MASTERS or re.fullmatch(urls, name) is not None
