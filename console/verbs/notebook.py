"""`make notebook`: JupyterLab on this machine, with the stack's Spark behind it.

Its environment lies in the cache: pyspark's client of the version that the server has, and the
Python of the image's version where there is one here. It listens on loopback only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from console.cluster import LOOPBACK, connect_spark
from console.session import forwarded
from console.stack import Stack
from console.verb import Verb
from toolchain import paths, terminal, venv

EXAMPLES = paths.CHECKOUT / "notebook"
REQUIREMENTS = EXAMPLES / "requirements.txt"
# What a person keeps: examples go in once, and nothing goes out.
_NOTEBOOKS = paths.SCRATCH / "notebooks"


def run(options: argparse.Namespace) -> int:
    """Runs JupyterLab until it is interrupted; its exit code."""
    stack = Stack(options.stack)
    cluster, _ = connect_spark(stack)
    with forwarded(stack, cluster) as server:
        python = venv.python_of(server.python)
        if python is None:
            here = "{}.{}".format(*sys.version_info[:2])
            print(
                f"Functions of your own in Python can't run on Spark: its image has Python"
                f" {server.python}, and here is {here}; all else works (python{server.python} on"
                " PATH would be used)",
                flush=True,
            )
        home = environment(server.spark, python)
        for example in EXAMPLES.glob("*.ipynb"):
            _NOTEBOOKS.mkdir(parents=True, exist_ok=True)
            if not (_NOTEBOOKS / example.name).exists():
                shutil.copy(example, _NOTEBOOKS)
        return terminal.attend(jupyter(home, _NOTEBOOKS), env=surroundings(stack.env, server.url))[
            0
        ]


def environment(spark: str, python: str | None = None) -> Path:
    """The folder of an environment with JupyterLab and the client of that Spark. Made if need be.

    python: the interpreter; else the one that we run with.
    """
    client, python = f"pyspark-client=={spark}", python or venv.base_python()
    digest = paths.digest_of(REQUIREMENTS, client, os.path.realpath(python))
    home = paths.cache_dir() / "notebook" / digest[:12]
    venv.ensure(home, REQUIREMENTS, client, python=python)
    return home


def jupyter(home: Path, notebooks: Path) -> list[str]:
    """The command line of JupyterLab for a folder of notebooks."""
    return [
        str(home / "bin" / "python"),
        *("-m", "jupyterlab", "--no-browser", f"--ServerApp.ip={LOOPBACK}"),
        f"--ServerApp.root_dir={notebooks}",
        # The local cloud is root's.
        *(["--allow-root"] if os.geteuid() == 0 else []),
    ]


def surroundings(env: Mapping[str, str], url: str) -> dict[str, str]:
    """What notebooks have of the environment: nothing of the stack's state; the way to Spark."""
    never = ("AWS_", "PULUMI_", "JUPYTER")
    kept = {name: value for name, value in env.items() if not name.startswith(never)}
    # A person's own settings might open it to others, or do without its token.
    own = paths.SCRATCH / "jupyter"
    folders = {f"JUPYTER_{kind}_DIR": str(own / kind.lower()) for kind in ("CONFIG", "DATA")}
    return {**kept, **folders, "SPARK_REMOTE": url}


VERB = Verb(
    what="JupyterLab on this machine, with the stack's Spark behind it, until Ctrl-C.",
    examples=("", "--stack dev"),
    run=run,
    shows=True,
)
