"""A step on a node: one script of components/cluster/scripts, run over SSH as root.

A step runs again when its script or its values change, and anew on another instance; every script
is idempotent, so an interrupted update is finished by the next one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pulumi
import pulumi_command as command

from components.engine.fixed import Find
from components.node import Node

_SCRIPTS = Path(__file__).parent / "scripts"
# How long a step may take: Pulumi's plugin keeps to it while it dials, the node while it runs.
_LIMIT_MINUTES = 10


def read_script(name: str) -> str:
    """The text of one script of components/cluster/scripts."""
    return (_SCRIPTS / name).read_text()


def shell_input(script: str, values: Mapping[str, object], limit: int = 60 * _LIMIT_MINUTES) -> str:
    """What `bash -s` reads: the values as variables, the common functions, then the script.

    The script becomes a function, so that bash has read all of it before it starts and no command
    in it can eat the rest as its standard input. Values stay off the command line, where every
    user of the machine could read them.

    limit: seconds after which the node itself ends it.
    """
    variables = "".join(
        f"export {key}={shlex.quote(str(value))}\n" for key, value in sorted(values.items())
    )
    return (
        f"{variables}{read_script('lib.sh')}\n"
        f'step() {{\n{script}\n}}\nrun_step {limit} "$@" </dev/null\n'
    )


def value_of(variable: str) -> Find:
    """Where a variable of one plain line is in a step's inputs."""

    def find(inputs: Mapping[str, Any]) -> object:
        text = inputs.get("stdin")
        known = text if isinstance(text, str) else ""
        line = re.search(rf"^export {variable}=(.*)$", known, re.M)
        return shlex.split(line[1])[0] if line else None

    return find


def same_trigger(index: int) -> pulumi.ResourceOptions:
    """The trigger at that index stays what it was: the instance is no reason to do it anew."""
    return pulumi.ResourceOptions(ignore_changes=[f"triggers[{index}]"])


def run_step(
    name: str,
    node: Node,
    script: str | Sequence[str],
    values: Mapping[str, pulumi.Input[object]] | None = None,
    *,
    undoes: bool = False,
    triggers: Sequence[pulumi.Input[object]] = (),
    secret_output: bool = False,
    quiet: bool = False,
    undo_minutes: int = _LIMIT_MINUTES,
    opts: pulumi.ResourceOptions | None = None,
) -> command.remote.Command:
    """Runs `components/cluster/scripts/<script>` on the node, or several as one.

    name: of the resource; begins with the node's, so that progress reads well.
    values: variables of the script. They reach it by standard input, so they may be secret.
    undoes: the script, given the argument "delete", takes the step back.
    triggers: run anew when one of these changes, besides the instance.
    secret_output: the step prints a secret; it is kept as one and never logged.
    quiet: nor is this; Pulumi's plugin hangs on logging a line of more than 64 KiB.
    undo_minutes: how long taking it back may take.
    """
    text = "\n".join(
        read_script(part) for part in ([script] if isinstance(script, str) else script)
    )
    logging = command.remote.Logging.NONE if secret_output or quiet else None
    limit = f"{_LIMIT_MINUTES}m"
    defaults = pulumi.ResourceOptions(
        additional_secret_outputs=["stdout"] if secret_output else None,
        custom_timeouts=pulumi.CustomTimeouts(
            create=limit, update=limit, delete=f"{undo_minutes}m"
        ),
    )
    return command.remote.Command(
        name,
        connection=node.connection,
        create="sudo bash -s",
        stdin=pulumi.Output.from_input(dict(values or {})).apply(
            lambda known: shell_input(text, known, 60 * undo_minutes)
        ),
        delete="sudo bash -s delete" if undoes else None,
        triggers=[node.instance_id, *triggers],
        logging=logging,
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions.merge(defaults, opts),
    )
