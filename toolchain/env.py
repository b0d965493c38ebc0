"""The environment that pulumi, helm, kubectl and the program run in."""

from __future__ import annotations

import json
import os
import shlex
from typing import Any

from toolchain import paths
from toolchain.errors import ToolchainError

#: What `python3 -m toolchain tools` chose for this checkout.
CHOSEN = paths.SCRATCH / "tools.json"


def chosen() -> dict[str, Any]:
    """The choices of the last `tools`: {stamp, home (or null), choices: [...]}.

    Raises ToolchainError where `tools` has not run yet.
    """
    try:
        return json.loads(CHOSEN.read_text("utf-8"))
    except (OSError, ValueError):
        raise ToolchainError("the tools are not there yet; run `make tools` first") from None


def changes() -> dict[str, str]:
    """The variables that differ from the caller's environment, such as PATH and PULUMI_HOME."""
    home = chosen()["home"]
    first = [str(paths.BIN), str(paths.VENV / "bin")]
    rest = [p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if p not in first]
    result = {
        "PATH": os.pathsep.join([*first, *rest]),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    if home is not None:
        result["PULUMI_HOME"] = home
        # The engine would otherwise try the internet for what the stand-ins stand in for.
        result["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return result


def environment() -> dict[str, str]:
    """The whole environment for a child process: the caller's with `changes` in it."""
    return {**os.environ, **changes()}


def shell() -> str:
    """The changes as lines for a shell: eval "$(python3 -m toolchain env)"."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in changes().items())
