"""Upgrades: which release the nodes are to have, and how those that have another come to it.

    control plane: release ─ (packages of every node)
    control plane: upgrade ─ (joins) ─ worker 1: drain ─ upgrade ─ return ─ worker 2: drain ─ …

Control planes besides the first come as workers do, before them.

Each step does nothing where the node is right, so they are steps of every update; what one leaves
undone, the next update goes on with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.cluster.steps import run_step
from components.node import Node
from components.settings.cluster import ClusterSettings

_SETTINGS = ("version", "containerd_version")
_DRAIN = ("drain_lib.sh", "away_lib.sh", "upgrade-drain.sh")
_UPGRADE = ("release_lib.sh", "upgrade_lib.sh", "upgrade-worker.sh")
_RETURN = ("away_lib.sh", "upgrade-return.sh")


@dataclass(frozen=True)
class UpgradeArgs:
    """The control plane, what is asked for, and where packages come from.

    repositories: variables of the scripts, as packages.sh takes them.
    after: options of a step that waits for these resources.
    """

    control_plane: Node
    settings: ClusterSettings
    repositories: Mapping[str, pulumi.Input[object]]
    after: Callable[[Sequence[pulumi.Resource]], pulumi.ResourceOptions]


class Upgrade:
    """The steps of one cluster. A release is a text: "KUBERNETES CONTAINERD"."""

    def __init__(self, args: UpgradeArgs) -> None:
        self._args = args

    def release(self, ready: pulumi.Resource) -> pulumi.Output[str]:
        """What every node is to have, known as soon as the control plane's machine is ready."""
        kubernetes = self._wanted("release", "kubernetes", "version", ready)
        containerd = self._wanted("containerd-release", "containerd", "containerd_version", ready)
        return pulumi.Output.concat(kubernetes, " ", containerd)

    def _wanted(
        self, name: str, part: str, setting: str, ready: pulumi.Resource
    ) -> pulumi.Output[str]:
        node, settings = self._args.control_plane, self._args.settings
        chosen = setting in settings.model_fields_set
        # A default is that of new clusters: a newer one does not even look at a node.
        kept = pulumi.ResourceOptions(ignore_changes=None if chosen else ["stdin"])
        step = run_step(
            f"{node.name}-{name}",
            node,
            ["release_lib.sh", "release.sh"],
            {"PART": part, "WANTED": getattr(settings, setting), "CHOSEN": str(chosen).lower()},
            opts=pulumi.ResourceOptions.merge(self._args.after([ready]), kept),
        )
        return step.stdout.apply(str.strip)

    def control_plane(
        self, release: pulumi.Input[str], after: Sequence[pulumi.Resource]
    ) -> command.remote.Command:
        """Brings the control plane to it; prints the release that the cluster has from then on."""
        node = self._args.control_plane
        hook = pulumi.ResourceHook(
            f"{node.name}-upgrade", self._look, pulumi.ResourceHookOptions(on_dry_run=True)
        )
        looked_at = pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(before_update=[hook]))
        return run_step(
            f"{node.name}-upgrade",
            node,
            ["release_lib.sh", "upgrade_lib.sh", "upgrade-control-plane.sh"],
            {"RELEASE": release, **self._args.repositories, "NODE_NAME": node.host_name},
            opts=pulumi.ResourceOptions.merge(self._args.after(after), looked_at),
        )

    def _look(self, update: pulumi.ResourceHookArgs) -> None:
        """Says in the preview which upgrade it is; refuses what Kubernetes can't do.

        What the control plane has is what it printed when it was last right: what failed since is
        tried again, or taken back.
        """
        printed = (update.old_outputs or {}).get("stdout")
        was = printed.split() if isinstance(printed, str) else []
        if len(was) != 2:
            return  # not known
        for part, setting, now in zip(("Kubernetes", "containerd"), _SETTINGS, was, strict=True):
            wanted = getattr(self._args.settings, setting)
            if setting in self._args.settings.model_fields_set and wanted != now:
                if part == "Kubernetes":
                    refuse_leap(now, wanted)
                pulumi.log.info(f"{part} {now} becomes {wanted}, one node after the other")

    def others(
        self,
        others: Sequence[Node],
        control_plane: command.remote.Command,
        members: Sequence[pulumi.Resource],
    ) -> list[pulumi.Resource]:
        """Brings these nodes to the control plane's release, one after the other.

        Returns what to wait for until the last one is back.
        """
        node, release = self._args.control_plane, control_plane.stdout.apply(str.strip)
        before: list[pulumi.Resource] = list(members)
        for worker in others:
            known = {
                "WORKER": worker.host_name,
                "NODE_NAME": node.host_name,
                "RELEASE": release,
            }
            drain = run_step(
                f"{worker.name}-drain",
                node,
                _DRAIN,
                known,
                triggers=[worker.instance_id],
                opts=self._args.after(before),
            )
            upgrade = run_step(
                f"{worker.name}-upgrade",
                worker,
                _UPGRADE,
                {"RELEASE": release, **self._args.repositories},
                opts=self._args.after([drain]),
            )
            back = run_step(
                f"{worker.name}-return",
                node,
                _RETURN,
                # It runs again for another type as well, and finishes what hooks did not (roll.py).
                {**known, "INSTANCE_TYPE": worker.machine.instance_type},
                triggers=[worker.instance_id],
                opts=self._args.after([upgrade]),
            )
            before = [back]
        return before


def refuse_leap(was: str, wanted: str) -> None:
    """Raises ValueError where Kubernetes can't go there in one step: back, or over a minor release.

    As the control plane says it (scripts/release.sh).
    """
    says = f"cluster.version is {was} in this cluster, and {wanted} is asked for"
    old, new = (tuple(map(int, version.split("."))) for version in (was, wanted))
    if new < old:
        raise ValueError(f"{says}: Kubernetes does not go back; set {was} or a newer one")
    if new[:2] > (old[0], old[1] + 1):
        raise ValueError(f"{says}: one minor release after the other; first {old[0]}.{old[1] + 1}")
