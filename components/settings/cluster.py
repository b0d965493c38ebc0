"""The cluster: what kubeadm makes or which one is used, the shared volume, the namespaces."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from components.settings.group import Group
from components.settings.kinds import KUBECONFIG, ipv4_range, number, text, whole

#: Of Kubernetes 1.x: from two before that of the default to the one after it, which are those that
#: make e2e-long begins clusters with, or upgrades to.
MINORS = range(34, 38)
Release = Annotated[
    str,
    text(
        f"a release of 1.{MINORS[0]} to 1.{MINORS[-1]}, such as 1.36.4",
        rf"1\.({'|'.join(map(str, MINORS))})\.(0|[1-9][0-9]{{0,2}})",
    ),
]
Containerd = Annotated[
    str, text("a release such as 2.4.2", r"[12]\.(0|[1-9][0-9]?)\.(0|[1-9][0-9]{0,2})")
]
Pods = Annotated[str, ipv4_range("a range from /8 to /22 (each node takes a /24)", 8, 22)]
Services = Annotated[str, ipv4_range("a range from /12 to /28", 12, 28)]
Kubeconfig = Annotated[str, KUBECONFIG]
ClassName = Annotated[
    str, text("the name of a storage class", r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
]


class ClusterSettings(Group):
    """What kubeadm makes; or, with `kubeconfig`, the cluster that is used as it is."""

    version: Release = Field(
        "1.36.4",
        description="of Kubernetes; another one upgrades ([how](docs/upgrade.md))."
        " The default is that of new clusters",
    )
    containerd_version: Containerd = Field("2.4.2", description="of containerd; the same holds")
    pod_cidr: Pods = Field(
        "10.244.0.0/16",
        description="range of the pods; both ranges stay as they are while the cluster lives",
    )
    service_cidr: Services = Field("10.96.0.0/12", description="range of the services")
    backup_minutes: Annotated[int, whole(5, 1440, "minutes")] = Field(
        15, description="between snapshots: [docs/operations.md](docs/operations.md)"
    )
    backup_keep: Annotated[int, whole(2, 1000)] = Field(
        32, description="how many of the newest snapshots stay"
    )
    backup_days: Annotated[int, whole(1, 3650, "days")] = Field(
        14, description="of each of these days the last one stays, too"
    )
    certificate_days: Annotated[int, whole(1, 3650, "days")] = Field(
        365, description="how long certificates last; they are renewed after two thirds"
    )
    operator: Annotated[int, whole(1, 1000000)] = Field(
        1, description="with another number the kubeconfig is another, and the one before is void"
    )
    kubeconfig: Kubeconfig | None = Field(
        None, repr=False, description="secret; use this cluster and make none"
    )


class StorageSettings(Group):
    """The shared volume."""

    size_gib: Annotated[int, whole(1, 1048576, "GiB")] = Field(
        10, description="what the claim asks for (EFS has no limit)"
    )
    storage_class: ClassName | None = Field(
        None, description="class of the volume, only for a cluster that you have"
    )


class NamespaceSettings(Group):
    """A namespace NAME for Spark applications, and what all its pods may request together."""

    cpu: Annotated[float, number(0.1, 10000, "cores")] = Field(
        2.0, description="what all pods may request together ([how](docs/spark/scheduling.md))"
    )
    memory_mib: Annotated[int, whole(512, 16777216, "MiB")] = Field(
        4096, description="the same of memory"
    )
    # A driver and an executor.
    pods: Annotated[int, whole(2, 10000)] = Field(10, description="how many pods it may have")
