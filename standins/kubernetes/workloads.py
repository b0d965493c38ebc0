"""What a chart's manifest holds, and which of its workloads are not ready yet."""

from __future__ import annotations

from typing import Any

from standins.kubernetes.cluster import Cluster
from standins.kubernetes.kinds import BY_NAME
from standins.kubernetes.readiness import RULES, pod_problems, related_selections

_WATCHED = ("Deployment", "StatefulSet", "DaemonSet", "Job", "PersistentVolumeClaim", "Pod")


def resource_names(manifest: str) -> dict[str, list[str]]:
    """The objects in a rendered chart: `Kind.group/apiVersion` -> sorted `namespace/name`s.

    The namespace is there only where the manifest says it, as with the official plugin.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    names: dict[str, set[str]] = {}
    for document in yaml.load_all(manifest, Loader=loader):
        if not isinstance(document, dict) or not document.get("kind"):
            continue
        api_version, metadata = str(document.get("apiVersion", "")), document.get("metadata") or {}
        group = f".{api_version.split('/')[0]}" if "/" in api_version else ""
        key = f"{document['kind']}{group}/{api_version}"
        name, namespace = str(metadata.get("name", "")), metadata.get("namespace")
        names.setdefault(key, set()).add(f"{namespace}/{name}" if namespace else name)
    return {key: sorted(found) for key, found in sorted(names.items())}


def unready(cluster: Cluster, names: dict[str, list[str]], namespace: str) -> list[str]:
    """One line for each workload among `names` that is not ready, with its Pods' first problem."""
    lines = []
    for key, objects in names.items():
        kind = BY_NAME.get(key.split("/")[0].split(".")[0])
        if kind is None or kind.name not in _WATCHED:
            continue
        rule = RULES[kind.name][0]
        for entry in objects:
            own, _, name = entry.rpartition("/")
            live = cluster.find(kind.path(own or namespace, name))
            if live is None:
                continue
            related: dict[str, list[dict[str, Any]]] = {
                selection: cluster.get(path, query).get("items") or []
                for selection, (path, query) in related_selections(live).items()
            }
            verdict = rule(live, related)
            if not verdict.ready:
                problems = pod_problems(related.get("pods", []))[:1]
                lines.append("; ".join([f"{name}: {verdict.message}", *problems]))
    return lines
