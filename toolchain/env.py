"""The environment that our programs and all that they start run in."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from toolchain import paths
from toolchain.errors import ToolchainError
from toolchain.local import API_ADDRESS, HOST_ADDRESS, PUBLIC_NETWORK

#: What `python3 -m toolchain tools` chose for this checkout.
CHOSEN = paths.SCRATCH / "tools.json"

# Variables of the caller's that would make the tools that we call work otherwise: which cluster and
# which Spark they take, how interpreters, shells and compilers behave. (A key for each connection
# is in the stack; an agent's are none of its business.)
_NEVER = (
    *("PYTHON*", "VIRTUAL_ENV*", "PIP_TARGET", "PIP_USER", "PIP_PREFIX", "PERL5*", "SSH_AUTH_SOCK"),
    *("BASH*", "ENV", "SHELLOPTS", "CDPATH", "GLOBIGNORE", "GREP_*", "POSIXLY_CORRECT"),
    *("TAR_OPTIONS", "MAKEFLAGS", "MAKEOVERRIDES", "MAKEFILES", "MAKELEVEL", "MFLAGS"),
    *("GO111MODULE", "GOOS", "GOARCH", "GOAMD64", "GOEXPERIMENT", "CGO_*"),
    *("KUBE*", "HELM_KUBE*", "HELM_NAMESPACE", "HELM_DRIVER", "HELM_DEBUG", "HELM_MAX_HISTORY"),
    *("SPARK_*", "PYSPARK_*", "HADOOP_*", "YARN_*"),
)
# The local cloud needs no account, no login and no backend of anybody's, so what it finds of these
# is another project's. On AWS they are how the user says which account and backend to take.
_NEVER_LOCAL = (
    *("AWS_*", "PULUMI_*", "HELM_*"),
    *("MOTO_*", "REGISTRY_*", "BUILDAH_*", "CONTAINERS_*", "STORAGE_*", "SYSTEMD_*"),
    *("LISTEN_*", "NOTIFY_SOCKET"),
)
# The plugins that `make tools` found there.
_STAYS = ("PULUMI_HOME",)
_LOCAL = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
# Python's files are UTF-8 whatever the terminal is, and what it compiles lies in one place.
_ALWAYS = {"PYTHONUTF8": "1", "PYTHONPYCACHEPREFIX": str(paths.COMPILED)}
# What a daemon has of its maker's environment, which it outlives.
_DAEMON = ("PATH", "HOME", "XDG_CACHE_HOME", "TINDERBOX_*")
_LOOPBACK = ("localhost", API_ADDRESS, "::1")


def chosen() -> dict[str, Any]:
    """The choices of the last `tools`: {stamp, home (or null), choices: [...]}.

    Raises ToolchainError where `tools` has not run yet.
    """
    try:
        return json.loads(CHOSEN.read_text("utf-8"))
    except (OSError, ValueError):
        raise ToolchainError("the tools are not there yet; run `make tools` first") from None


def changes(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the tools need to be found and used, such as PATH and PULUMI_HOME."""
    home = chosen()["home"]
    first = [str(paths.BIN), str(paths.VENV / "bin")]
    rest = [p for p in base.get("PATH", os.defpath).split(os.pathsep) if p not in first]
    result = {
        "PATH": os.pathsep.join([*first, *rest]),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    if home is not None:
        result["PULUMI_HOME"] = home
        # The engine would otherwise try the internet for what lies in that home.
        result["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return result


def ours(base: Mapping[str, str], *, local: bool = False) -> dict[str, str]:
    """`base` without what is another project's, and with ways around the user's proxies.

    local: for the local cloud. Proxies stay for what is downloaded; what is on this machine is
    asked directly.
    """
    never = (*_NEVER, *_NEVER_LOCAL) if local else _NEVER
    kept = {
        name: value for name, value in base.items() if name in _STAYS or not _is_one_of(name, never)
    }
    for name in ("TMPDIR", "TMP", "TEMP"):
        if name in kept and not os.access(kept[name], os.W_OK | os.X_OK):
            del kept[name]
    if "JAVA_HOME" in kept and not os.access(Path(kept["JAVA_HOME"], "bin", "java"), os.X_OK):
        del kept["JAVA_HOME"]
    direct = [*_LOOPBACK, *((HOST_ADDRESS, PUBLIC_NETWORK) if local else ())]
    given = ",".join(base.get(name, "") for name in ("NO_PROXY", "no_proxy")).split(",")
    no_proxy = ",".join(dict.fromkeys([*filter(None, map(str.strip, given)), *direct]))
    return {
        "HOME": os.path.expanduser("~"),
        **kept,
        **_ALWAYS,
        **(_LOCAL if local else {}),
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


def environment(base: Mapping[str, str] = os.environ, *, local: bool = False) -> dict[str, str]:
    """The whole environment for a child process that uses the tools."""
    return {**ours(base, local=local), **changes(base)}


def daemon(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The whole environment for a daemon of the local cloud: nothing of the caller's shell."""
    kept = {name: value for name, value in base.items() if _is_one_of(name, _DAEMON)}
    return {"PATH": os.defpath, **kept, **_ALWAYS, **_LOCAL, "LANG": "C.UTF-8"}


def enter(*, local: bool = False) -> None:
    """Makes this process's environment one of `ours`, and so that of all that it starts.

    local: what is made here is also read by machines and pods, so a umask that hides files from
    others is put aside; what nobody else may read is made so by name.
    """
    entered = ours(os.environ, local=local)
    os.environ.clear()
    os.environ.update(entered)
    sys.dont_write_bytecode, sys.pycache_prefix = False, entered["PYTHONPYCACHEPREFIX"]
    if local:
        os.umask(0o022)


def shell() -> str:
    """The changes as lines for a shell: eval "$(python3 -m toolchain env)"."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in changes().items())


def _is_one_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
