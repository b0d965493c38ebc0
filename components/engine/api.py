"""The Kubernetes API as hooks ask it, beside Pulumi's plugin."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from kubernetes import client

#: Seconds to connect and to answer, for each call.
WITHIN = (10, 30)


def connected(kubeconfig: str) -> AbstractContextManager[client.ApiClient]:
    """A client of the cluster, closed in the end."""
    from kubernetes import config  # loads slowly, here and in what asks; a preview needs none

    return config.new_client_from_config_dict(yaml.safe_load(kubeconfig))
