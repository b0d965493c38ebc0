"""A kubeconfig of the user's: what of it the stack goes by, and what it must be to serve.

Nothing of its content is in a message: it is a secret.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

# What says which cluster it is, and how to reach it.
_CLUSTER = (
    "server",
    "certificate-authority",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "proxy-url",
    "tls-server-name",
)
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_FLATTEN = "kubectl config view --minify --flatten --raw prints one"


class KubeconfigError(Exception):
    """A text is no kubeconfig that serves; the message is what it must be."""


def current(text: str) -> str:
    """The kubeconfig of the current context alone, always written the same way.

    So a stack's cluster is the current context's: other clusters, users and contexts, their order
    and all names change nothing.
    """
    try:
        found = yaml.safe_load(text.removeprefix("\ufeff"))
    except yaml.YAMLError:
        found = None
    if not isinstance(found, Mapping) or not isinstance(found.get("clusters"), list):
        raise KubeconfigError(f"a kubeconfig file's content, in YAML ({_FLATTEN})")
    chosen = found.get("current-context")
    if not chosen:
        raise KubeconfigError(
            "a kubeconfig with a current-context: kubectl config use-context NAME sets one"
        )
    context = _named(found, "contexts", chosen, "its current-context names")
    cluster = _named(found, "clusters", context.get("cluster"), "its current context names")
    user = _named(found, "users", context.get("user"), "its current context names")
    if not re.fullmatch(r"https?://[^/\s]+\S*", str(cluster.get("server"))):
        raise KubeconfigError("one whose current cluster has an http or https URL as its server")
    for entry in (cluster, user):
        _require_files(entry)
    command = (user.get("exec") or {}).get("command")
    if command is not None and shutil.which(str(command)) is None:
        raise KubeconfigError("one whose current user's exec command is installed on this machine")
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "cluster", "cluster": {k: cluster[k] for k in _CLUSTER if k in cluster}}
            ],
            "users": [{"name": "user", "user": dict(user)}],
            "contexts": [{"name": "stack", "context": {"cluster": "cluster", "user": "user"}}],
            "current-context": "stack",
        }
    )


def _named(found: Mapping[str, Any], kind: str, name: object, who: str) -> Mapping[str, Any]:
    """The one entry of that name; `who` names it."""
    entries = found.get(kind)
    entries = entries if isinstance(entries, list) else []
    singular = kind.removesuffix("s")
    matching = [
        entry.get(singular)
        for entry in entries
        if isinstance(entry, Mapping) and entry.get("name") == name
    ]
    if name is None or len(matching) != 1 or not isinstance(matching[0], Mapping):
        how = "twice" if len(matching) > 1 else "not at all"
        raise KubeconfigError(f"one that has the {singular} which {who}: it is there {how}")
    return matching[0]


def _require_files(entry: Mapping[str, Any]) -> None:
    """Files that it names are on this machine; on others they would have to be, too."""
    for key in _FILES:
        if key in entry:
            path = Path(str(entry[key]))
            if not path.is_absolute() or not path.is_file():
                raise KubeconfigError(
                    "one without files that are not on this machine, which its"
                    f" {key} is: {_FLATTEN} with all in it"
                )
