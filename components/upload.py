"""Brings files of the user's to a folder on the shared volume, over SSH to the control plane."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

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
    """Copies the files, under their name, into `folder`, made for them and removed with them.

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
    return command.remote.CopyToRemote(
        name,
        connection=node.connection,
        # With the slash at the end what is in it goes, not itself.
        source=pulumi.FileArchive(f"{_lay_out(name, files)}/"),
        remote_path=folder,
        triggers=[node.instance_id],
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=[place],
            custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m"),
        ),
    )


def _lay_out(name: str, files: LocalFiles) -> Path:
    """A folder of links to just these files, since CopyToRemote takes no list of them.

    It is relative, and named after the content, so that the state is the same for every clone; and
    never like an archive, which Pulumi would open.
    """
    place = Path(".tinderbox", pulumi.get_stack(), "uploads", name, files.digest)
    (place / files.name if files.is_folder else place).mkdir(parents=True, exist_ok=True)
    for other in place.parent.iterdir():
        if other.is_symlink():
            other.unlink()
        elif other != place:
            shutil.rmtree(other)
    for inner, file in files.files.items():
        link, target = place / files.name / inner, file.absolute()
        if link.is_symlink() and link.readlink() == target:
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        # In one step: an update may be reading it.
        draft = place.parent / "draft"
        draft.symlink_to(target)
        os.replace(draft, link)
    return place
