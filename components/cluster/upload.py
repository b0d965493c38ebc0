"""Brings files of the user's to a folder on the shared volume, over SSH to the control plane."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_command as command

from components.cluster.steps import run_step
from components.local_files import LocalFiles
from components.node import Node


@dataclass
class UploadArgs:
    """The files, the folder on the volume that is to have them, and the node that mounts it.

    depends_on: what has to be there before the volume is used.
    """

    files: LocalFiles
    folder: str
    node: Node
    depends_on: Sequence[pulumi.Resource]


class Upload(pulumi.ComponentResource):
    """The files, under their name, in a folder that is made for them and removed with them.

    An interrupted copy is written over by the next one.

    Outputs: path, of the file or folder on the volume, known once it is there.
    """

    path: pulumi.Output[str]

    def __init__(
        self, name: str, args: UploadArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:Upload", name, {}, opts)
        node, folder = args.node, args.folder
        mine = pulumi.ResourceOptions(
            parent=self,
            # The folder and what is in it outlive the instance that brought it there.
            ignore_changes=["triggers[0]"],
            # In stacks from before, its parts are its parent's own.
            aliases=[pulumi.Alias(parent=opts.parent)] if opts and opts.parent else None,
        )
        # A name for this very copy: the folder follows from the content, and another copy may be
        # for it, too.
        owner = command.local.Command(
            f"{name}-owner",
            create="od -An -N8 -tx8 /dev/urandom",
            triggers=[node.instance_id, folder],
            add_previous_output_in_env=False,
            logging=command.local.Logging.NONE,
            opts=mine,
        )
        place = run_step(
            f"{name}-folder",
            node,
            "input.sh",
            {"FOLDER": folder, "OWNER": owner.stdout.apply(str.strip)},
            undoes=True,
            triggers=[folder],
            opts=pulumi.ResourceOptions.merge(
                mine,
                pulumi.ResourceOptions(
                    depends_on=list(args.depends_on), deleted_with=node.instance
                ),
            ),
        )
        copied = command.remote.CopyToRemote(
            name,
            connection=node.connection,
            # With the slash at the end what is in it goes, not itself.
            source=pulumi.FileArchive(f"{_lay_out(name, args.files)}/"),
            remote_path=folder,
            triggers=[node.instance_id],
            opts=pulumi.ResourceOptions.merge(
                mine,
                pulumi.ResourceOptions(
                    depends_on=[place],
                    custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m"),
                ),
            ),
        )
        self.path = copied.id.apply(lambda _: f"{folder}/{args.files.name}")
        self.register_outputs({"path": self.path})


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
