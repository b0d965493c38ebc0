"""Kubeconfigs as the provider takes them: content, a path, or what kubectl would use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standins.call import StandinError
from standins.values import Secret


@dataclass(frozen=True)
class Kubeconfig:
    """A parsed kubeconfig, the `text` that it was, and the name of the `context` to use.

    `path` is the file that it came from, which relative paths in it start from, or None.
    """

    document: dict[str, Any]
    text: str
    path: Path | None
    context: str

    @property
    def secrets(self) -> Secret:
        """What must never be shown: keys, tokens and passwords of its users."""
        return Secret([user.get("user") for user in self.document.get("users") or []])

    @property
    def namespace(self) -> str:
        """The namespace that the context names, or `default`."""
        return (
            _named(self.document, "contexts", "context", self.context).get("namespace") or "default"
        )

    @property
    def cluster(self) -> dict[str, Any]:
        """The context's cluster entry: server, certificate authority and so on."""
        name = _named(self.document, "contexts", "context", self.context).get("cluster", "")
        return _named(self.document, "clusters", "cluster", name)


def _named(document: dict[str, Any], collection: str, inner: str, name: str) -> dict[str, Any]:
    for entry in document.get(collection) or []:
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry.get(inner) or {}
    return {}


def load(value: str | None, context: str | None = None) -> Kubeconfig:
    """The kubeconfig in `value`: its content, or its path; None or "" means kubectl's own.

    Raises StandinError that says what is wrong, never showing any of the content.
    """
    import yaml

    text = value or ""
    path: Path | None
    if not text:
        path = _ambient()
    elif "\n" not in text and not text.lstrip().startswith("{"):
        path = Path(text).expanduser()
    else:
        path = None
    if path is not None:
        try:
            path = path.absolute()
            text = path.read_text()
        except OSError as error:
            raise StandinError(
                f"configuration kubernetes:kubeconfig: {path}: {error.strerror}"
            ) from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise StandinError(
            f"configuration kubernetes:kubeconfig is no YAML (line {line})"
        ) from None
    if not isinstance(document, dict) or not document.get("clusters"):
        raise StandinError(
            "configuration kubernetes:kubeconfig is no kubeconfig: it has no clusters"
        )
    chosen = context or document.get("current-context") or ""
    result = Kubeconfig(document, text, path, chosen)
    if not result.cluster.get("server"):
        raise StandinError(
            f"configuration kubernetes:kubeconfig has no context '{chosen}' with a cluster's server"
        )
    return result


def _ambient() -> Path:
    """The file that kubectl would use."""
    named = os.environ.get("KUBECONFIG", "")
    if os.pathsep in named:
        raise StandinError(
            "KUBECONFIG names several files, which this stand-in does not merge: "
            "set kubernetes:kubeconfig"
        )
    return Path(named or "~/.kube/config").expanduser()
