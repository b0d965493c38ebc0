"""What a kubeconfig must be, so that a cluster can be used by it."""

from __future__ import annotations

import yaml


def is_kubeconfig(text: str) -> bool:
    """Whether the text has clusters in it."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return isinstance(document, dict) and bool(document.get("clusters"))
