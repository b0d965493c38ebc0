"""What outlives a control plane: snapshots on the shared volume, and which nodes there were.

With the certificates' renewal these are timers on the control plane itself, so that they need
nobody. How it comes back from a snapshot is init.sh's to say.
"""

from __future__ import annotations

import pulumi
import pulumi_command as command

from components.cluster.steps import read_script, run_step
from components.node import Node
from components.settings import ClusterSettings

#: What a snapshot is, for all who make and open one.
BACKUP = "snapshot_lib.sh"
# 256 bits; only its words reach a state, as a secret.
_MAKE_KEY = "head -c 32 /dev/urandom | base64"


def create_backup_key(name: str, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """The secret with which snapshots are encrypted: made once, kept in the stack's state."""
    made = command.local.Command(
        f"{name}-backup-key",
        create=_MAKE_KEY,
        logging=command.local.Logging.NONE,
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(additional_secret_outputs=["stdout"])
        ),
    )
    return pulumi.Output.secret(made.stdout).apply(str.strip)


def program(*scripts: str) -> str:
    """Scripts of components/cluster/scripts as a program of its own on a node."""
    parts = ["lib.sh", *scripts]
    return "\n".join(["#!/usr/bin/env bash", *(read_script(part) for part in parts)])


def keep(
    node: Node,
    key: pulumi.Input[str],
    settings: ClusterSettings,
    opts: pulumi.ResourceOptions,
    *,
    has_peers: bool = False,
) -> command.remote.Command:
    """A control plane's timers, and the programs that `make backup` and `make restore` call.

    has_peers: one of several.
    """
    return run_step(
        f"{node.name}-keeper",
        node,
        "keeper.sh",
        {
            "SNAPSHOT": program(BACKUP, "snapshot.sh"),
            "RESTORE": program(BACKUP, "etcd_lib.sh", "restore.sh"),
            "CERTIFICATES": program("certificates.sh"),
            "NODES": program("nodes.sh"),
            "BACKUP_KEY": key,
            "SNAPSHOT_MINUTES": settings.backup_minutes,
            "SNAPSHOTS_KEPT": settings.backup_keep,
            "SNAPSHOT_DAYS": settings.backup_days,
            "CERTIFICATE_DAYS": settings.certificate_days,
            **({"LEADS": program(BACKUP, "etcd_lib.sh", "leads.sh")} if has_peers else {}),
        },
        opts=opts,
    )
