"""The Makefile hands names on as they were written, and runs nothing that stands in them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from console.__main__ import main
from console.stack import ConsoleError
from console.verb import words
from console.verbs import submit
from tests.unit.plan import ROOT

# In place of Python: notes how it was called.
NOTE = """#!{python}
import json, os, sys
with open({notes!r}, "a") as file:
    print(json.dumps([sys.argv[1:], dict(os.environ)]), file=file)
"""
# What has gone through make, a shell, or both of them.
NAMES = [
    "it's",
    '"quoted"',
    "a  b ",
    "$HOME",
    "$$",
    "${HOME}",
    "$(shell touch made)",
    "$(touch made)",
    "`touch made`",
    "a;touch made",
    "a&touch made",
    "-dash",
    "--help",
    "#hash",
    "back\\slash\\",
    "*",
    "~",
    "!x",
    "naïve語",
    "caf\udce9",
    "\x1b[31m",
    "a\tb",
]


class Made:
    """make in a folder of its own, with programs that note their calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        shutil.copy(ROOT / "Makefile", folder)
        for name in (".venv/bin/python", "bin/python3"):
            program = folder / name
            program.parent.mkdir(parents=True)
            program.write_text(NOTE.format(python=sys.executable, notes=str(self.notes)))
            program.chmod(0o755)

    def __call__(self, *arguments: str, **variables: str) -> tuple[list[str], dict[str, str]]:
        """The arguments and the environment of the last program that make calls."""
        env = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", **variables}
        self.notes.unlink(missing_ok=True)
        subprocess.run(["make", "--silent", *arguments], cwd=self.folder, env=env, check=True)
        assert not (self.folder / "made").exists()
        return json.loads(self.notes.read_text().splitlines()[-1])


@pytest.fixture
def make(tmp_path: Path) -> Made:
    return Made(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_arrives_as_it_was_written(make: Made, name: str) -> None:
    for call in (lambda: make("up", f"INPUT={name}"), lambda: make("up", INPUT=name)):
        assert call()[0] == ["-m", "console", "up", "--stack=local", f"--input={name}"]


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("up STACK", "-m console up --stack=X --input="),
        ("up REFRESH", "-m console up --stack=local --input= --refresh"),
        ("backup STACK", "-m console backup --stack=X"),
        ("restore SNAPSHOT", "-m console restore --stack=local --snapshot=X"),
        ("restore YES", "-m console restore --stack=local --snapshot= --yes"),
        ("rehearse STACK", "-m console rehearse --stack=X"),
        ("destroy STACK", "-m console destroy --stack=X"),
        ("sweep STACK", "-m console sweep --stack=X"),
        ("sweep YES", "-m console sweep --stack=local --yes"),
        ("stop STACK", "-m console stop --stack=X"),
        ("start STACK", "-m console start --stack=X"),
        ("connect STACK", "-m console connect --stack=X"),
        ("notebook STACK", "-m console notebook --stack=X"),
        ("usage RUN", "-m console usage --stack=local --run=X"),
        ("bill FROM", "-m console bill --stack=local --from=X --to= --by="),
        ("bill TO", "-m console bill --stack=local --from= --to=X --by="),
        ("bill BY", "-m console bill --stack=local --from= --to= --by=X"),
        ("prices STACK", "-m console prices --stack=X"),
        ("why RUN", "-m console why --stack=local --run=X"),
        ("logs RUN", "-m console logs --stack=local --run=X"),
        ("submit APP", "-m console submit --stack=local --options= --arguments= -- X"),
        (
            "submit ARGS",
            "-m console submit --stack=local --options= --arguments=X -- spark_jobs/pi.py",
        ),
        ("apps STACK", "-m console apps --stack=X"),
        ("run NAME", "-m console run --stack=local -- X"),
        ("image NAME", "-m console image --registry= -- X "),
        ("image CONTEXT", "-m console image --registry= --  X"),
        ("image REGISTRY", "-m console image --registry=X --  "),
        ("jars NAME", "-m toolchain jars --packages= -- X"),
        ("jars PACKAGES", "-m toolchain jars --packages=X -- s3"),
    ],
)
def test_every_variable_goes_the_same_way(make: Made, target: str, arguments: str) -> None:
    verb, _, variable = target.partition(" ")
    name = "-it's `touch made` $(shell touch made)"
    assert make(verb, f"{variable}={name}")[0] == [
        name if word == "X" else word.replace("=X", f"={name}") for word in arguments.split(" ")
    ]


@pytest.mark.parametrize(
    "name", ["PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONIOENCODING", "CDPATH", "BASH_ENV"]
)
def test_python_starts_whatever_the_shell_has_for_it(make: Made, name: str) -> None:
    _, env = make("up", **{name: "/elsewhere"})
    assert name not in env
    assert env["PYTHONUTF8"] == "1"
    assert env["PYTHONPYCACHEPREFIX"] == f"{Path(env['PWD']).resolve()}/.tinderbox/compiled"


def test_jobs_of_make_do_not_overtake_each_other(make: Made) -> None:
    assert make("up", MAKEFLAGS="-j8")[0][2] == "up"


# ---- what the console makes of it


def test_arguments_are_told_apart_and_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(submit, "submit", lambda told: called.append(told) or 7)
    arguments = ["--stack=dev", "--options=--name n", "--arguments=1 'a b' $(touch x) * -- -v"]
    assert main(["submit", *arguments, "--", "-x.py"]) == 7
    (told,) = called
    assert told.stack == "dev"
    assert (told.name, told.app) == ("n", "-x.py")
    assert told.arguments == ["1", "a b", "$(touch", "x)", "*", "--", "-v"]


def test_a_quote_that_stays_open_is_named() -> None:
    with pytest.raises(ConsoleError, match=r"^ARGS=it's: no closing quotation$"):
        words("ARGS", "it's")
