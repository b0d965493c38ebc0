"""The Kubernetes API as hooks ask it, beside Pulumi's plugin."""

from __future__ import annotations

from contextlib import AbstractContextManager

import yaml
from kubernetes import client, config

#: Seconds to connect and to answer, for each call.
WITHIN = (10, 30)


def connected(kubeconfig: str) -> AbstractContextManager[client.ApiClient]:
    """A client of the cluster, closed in the end."""
    return config.new_client_from_config_dict(yaml.safe_load(kubeconfig))
