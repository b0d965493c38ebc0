"""What remote.Command and local.Command have in common: when which command runs."""

from __future__ import annotations

import secrets
from typing import Any

from standins.base import Call, Failure, ResourceHandler, has_unknown

LOGGING_VALUES = ("none", "stdout", "stderr", "stdoutAndStderr")


class CommandResource(ResourceHandler):
    """A command for create, one for update (else create again), one for delete.

    A change of `triggers` replaces the resource; any other changed input is an update.
    """

    outputs = frozenset({"stdout", "stderr"})
    force_new = frozenset({"triggers"})
    defaults = {"addPreviousOutputInEnv": True}

    def check(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        inputs, failures = super().check(call)
        logging = inputs.get("logging")
        if not has_unknown(logging) and logging not in (None, *LOGGING_VALUES):
            failures.append(Failure("logging", f"must be one of {', '.join(LOGGING_VALUES)}"))
        return inputs, failures

    def preview_update(self, call: Call) -> dict[str, Any]:
        return self.preview_create(call)

    def create(self, call: Call) -> tuple[str, dict[str, Any]]:
        outputs = {**call.inputs, "stdout": "", "stderr": ""}
        if call.inputs.get("create") is not None:
            outputs |= self.run(call, call.inputs["create"], call.inputs, {})
        return new_id(call), outputs

    def update(self, call: Call) -> dict[str, Any]:
        inputs = call.inputs
        before = {name: call.state.get(name) or "" for name in ("stdout", "stderr")}
        command = inputs["update"] if inputs.get("update") is not None else inputs.get("create")
        ran = {} if command is None else self.run(call, command, inputs, before)
        kept = {name: call.marked_state[name] for name in before if name in call.marked_state}
        return {**inputs, **kept, **ran}

    def delete(self, call: Call) -> None:
        state = call.state
        if state.get("delete") is not None:
            before = {name: state.get(name) or "" for name in ("stdout", "stderr")}
            self.run(call, state["delete"], state, before)

    def run(
        self, call: Call, command: str, properties: dict[str, Any], before: dict[str, Any]
    ) -> dict[str, Any]:
        """Run `command` with the resource's `properties`; its stdout and stderr as outputs.

        `before` has the outputs of the run before this one. Raises StandinError where it fails.
        """
        raise NotImplementedError

    def environment(
        self, properties: dict[str, Any], before: dict[str, Any]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The variables that the program set, and those that hold the run before."""
        own = dict(properties.get("environment") or {})
        previous = {}
        if properties.get("addPreviousOutputInEnv") is not False:
            for name, value in before.items():
                if value:
                    previous[f"PULUMI_COMMAND_{name.upper()}"] = value
        return own, previous


def new_id(call: Call) -> str:
    """A new resource's id: its name and eight random hex digits."""
    return f"{call.name}{secrets.token_hex(4)}"
