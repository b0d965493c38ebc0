"""Brings files of the user's to a folder on the shared volume, over SSH to the control plane."""

from __future__ import annotations

import pulumi
import pulumi_command as command

from components.cluster import Cluster
from components.nodes import Node
from components.steps import run_step
from components.text import LocalFiles


def upload(
    name: str,
    files: LocalFiles,
    folder: str,
    cluster: Cluster,
    node: Node,
    parent: pulumi.Resource,
) -> pulumi.Resource:
    """Copies a file or a folder into `folder`, made for it and removed with it.

    An interrupted copy is written over by the next one.
    """
    made_for: list[pulumi.Input[object]] = [node.instance_id, folder]
    # A name for this very copy: the folder follows from the content, so another one may be for it.
    owner = command.local.Command(
        f"{name}-owner",
        create="od -An -N8 -tx8 /dev/urandom",
        triggers=made_for,
        add_previous_output_in_env=False,
        logging=command.local.Logging.NONE,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    place = run_step(
        f"{name}-folder",
        node,
        "input.sh",
        {"FOLDER": folder, "OWNER": owner.stdout.apply(str.strip)},
        undoes=True,
        triggers=[folder],
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(cluster.storage_ready),
            deleted_with=node.instance,
        ),
    )
    source = (
        pulumi.FileArchive(str(files.path))
        if files.is_folder
        else pulumi.FileAsset(str(files.path))
    )
    return command.remote.CopyToRemote(
        name,
        connection=node.connection,
        source=source,
        remote_path=folder,
        triggers=[node.instance_id],
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=[place],
            custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m"),
        ),
    )
