"""Stretches the limits of a program that runs against an emulated machine; otherwise does nothing.

One transformation of the stack does it, so no component has to know.
"""

from __future__ import annotations

import copy
import re
from typing import Any, TypeVar

import pulumi
import pulumi_command as command

from patience import factor

_Connection = TypeVar(
    "_Connection", command.remote.ConnectionArgs, command.remote.ProxyConnectionArgs
)
# Seconds that the command plugin gives an attempt where nothing is said.
_DIAL = 15


def stretch_limits() -> None:
    """Multiply the limits of all resources that come after by TINDERBOX_PATIENCE."""
    times = factor()
    if times > 1:
        pulumi.runtime.register_stack_transformation(lambda args: _stretch(args, times))


def _stretch(
    args: pulumi.ResourceTransformationArgs, times: int
) -> pulumi.ResourceTransformationResult:
    props: dict[str, Any] = dict(args.props)
    opts = args.opts
    limits = opts.custom_timeouts
    if isinstance(limits, pulumi.CustomTimeouts):
        verbs = ("create", "update", "delete")
        longer = {verb: _longer(getattr(limits, verb), times) for verb in verbs}
        mine = pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(**longer))
        opts = pulumi.ResourceOptions.merge(opts, mine)
    if isinstance(timeout := props.get("timeout"), int):
        props["timeout"] = timeout * times
    if str(props.get("chart", "")).startswith("./charts/"):
        props["values"] = {**props["values"], "global": {"patience": times}}
    if args.name == "metrics-server":
        # Its chart's probe gives an answer a second; after three it is killed, and so on for ever.
        values = props["values"]
        probes = {
            name: {**values.get(name, {}), "timeoutSeconds": times}
            for name in ("livenessProbe", "readinessProbe")
        }
        props["values"] = {**values, **probes}
    if args.type_ == "command:remote:Command":
        connection, script = (pulumi.Output.from_input(props[n]) for n in ("connection", "stdin"))
        props["connection"] = connection.apply(lambda known: _longer_dial(known, times))
        props["stdin"] = script.apply(lambda text: f"export PATIENCE={times}\n{text}")
    return pulumi.ResourceTransformationResult(props, opts)


def _longer_dial(connection: _Connection, times: int) -> _Connection:
    """The same connection, of all the node's steps, with more time for each attempt."""
    longer = copy.copy(connection)
    longer.per_dial_timeout = pulumi.Output.from_input(connection.per_dial_timeout).apply(
        lambda seconds: (seconds or _DIAL) * times
    )
    if isinstance(longer, command.remote.ConnectionArgs) and longer.proxy is not None:
        longer.proxy = pulumi.Output.from_input(longer.proxy).apply(
            lambda known: _longer_dial(known, times)
        )
    return longer


def _longer(limit: str | None, times: int) -> str | None:
    """ "10m" twice as long is "20m"."""
    return limit and re.sub(r"\d+", lambda number: str(int(number[0]) * times), limit)
