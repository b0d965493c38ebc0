"""Settings that stay as they are while the cluster stands: another value is refused in the preview.

Of one that may change, what becomes of it is said there.

What the cluster was made with is in Pulumi's state, which a program does not see; a hook does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import pulumi

#: Finds a setting's value in a resource's inputs; None where it is not there, or not known yet.
Find = Callable[[Mapping[str, Any]], object]


def fixed(
    name: str,
    settings: Mapping[str, Find],
    *,
    grows: Collection[str] = (),
) -> pulumi.ResourceOptions:
    """For resources that hold these settings (key -> where): no update changes them.

    name: of the hook, once in a program. grows: those that may become more, but not less.
    """

    async def refuse(update: pulumi.ResourceHookArgs) -> None:
        old, new = [await _known(inputs or {}) for inputs in (update.old_inputs, update.new_inputs)]
        for key, find in settings.items():
            was, wanted = _plain(find(old)), _plain(find(new))
            if None in (was, wanted) or was == wanted:
                continue
            says = f"{key} is {was} in this cluster, and {wanted} is asked for"
            if key not in grows:
                # As the nodes themselves say it (scripts/lib.sh).
                raise ValueError(f"{says}: set it back, or make destroy and make up anew")
            if was > wanted:  # ty: ignore[unsupported-operator]
                raise ValueError(f"{says}: it can only grow; set {was} or more")

    hook = pulumi.ResourceHook(name, refuse, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(before_update=[hook]))


def told(
    name: str, find: Find, wanted: object, say: Callable[[Any], str]
) -> pulumi.ResourceOptions:
    """For a resource that holds a setting which may change: the preview says so, too.

    name: of the hook, once in a program. wanted: what is asked for, which the new inputs may not
    tell in a preview. say: the line, given what it was.
    """

    async def tell(update: pulumi.ResourceHookArgs) -> None:
        was = _plain(find(await _known(update.old_inputs or {})))
        if was not in (None, wanted):
            pulumi.log.info(say(was))

    hook = pulumi.ResourceHook(name, tell, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(before_update=[hook]))


async def _known(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """With the values of those that are secret; None where one is not known yet."""
    return {
        name: await value.future() if isinstance(value, pulumi.Output) else value
        for name, value in inputs.items()
    }


def _plain(value: object) -> object:
    """The engine has no whole numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
