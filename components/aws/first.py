"""Of several control planes that become one, the first stays: so it has to be there.

Where it is lost, a machine in its place would know of no other, and bring a snapshot back beside a
cluster that lives. How many there were, the state tells by a tag of the first one's address.
"""

from __future__ import annotations

import pulumi

_TAG = "ControlPlanes"


class First:
    """What the first control plane's address and instance need for it.

    name: of the hooks, once in a program. count: of control planes that are asked for.
    """

    def __init__(self, name: str, count: int) -> None:
        self._count = count
        self._is_made_anew = False
        self._instance: pulumi.CustomResource | None = None
        on_dry_run = pulumi.ResourceHookOptions(on_dry_run=True)
        note = pulumi.ResourceHook(f"{name}-is-made", self._note, on_dry_run)
        refuse = pulumi.ResourceHook(f"{name}-stays", self._refuse, on_dry_run)
        #: Tags and options of its address, options of its instance.
        self.tags = {_TAG: str(count)} if count > 1 else {}
        self.of_address = pulumi.ResourceOptions(
            hooks=pulumi.ResourceHookBinding(before_update=[refuse])
        )
        self.of_instance = pulumi.ResourceOptions(
            hooks=pulumi.ResourceHookBinding(before_create=[note])
        )

    def is_(self, instance: pulumi.CustomResource) -> None:
        """Says which one it is."""
        self._instance = instance

    def _note(self, _: pulumi.ResourceHookArgs) -> None:
        self._is_made_anew = True

    async def _refuse(self, update: pulumi.ResourceHookArgs) -> None:
        """Raises ValueError where one is asked for that is not there any more."""
        was = ((update.old_inputs or {}).get("tags") or {}).get(_TAG)
        if was is None or self._count > 1:
            return
        if self._instance is not None:
            await self._instance.id.future()  # by then it is known whether it is another one
        if self._is_made_anew:
            raise ValueError(
                f"nodes.controlPlanes is {was} in this cluster, and 1 is asked for: it would be the"
                f" first one, which is lost; set it back, make up REFRESH=1, and then ask for 1"
            )
