"""One parser: each verb has a file, a help with examples and exit codes, and its own options."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from console import verbs
from console.__main__ import VERBS, main, verb_of
from console.stack import ConsoleError, Stack
from console.verbs import outputs
from localcloud import cloud
from localcloud.errors import CloudError
from toolchain import terminal

ROOT = Path(__file__).parents[3]


def test_each_file_is_a_verb_and_make_has_them_all() -> None:
    files = {file.stem.replace("_", "-") for file in Path(verbs.__path__[0]).glob("[!_]*.py")}
    assert files == set(VERBS)
    called = re.findall(r"\$\(console\) ([a-z-]+) (.*)", (ROOT / "Makefile").read_text())
    assert {verb for verb, _ in called} == set(VERBS)
    for verb, options in called:
        assert ("--stack=" in options) == verb_of(verb).of_stack, verb


@pytest.mark.parametrize("name", VERBS)
def test_the_help_has_examples_that_are_taken_and_exit_codes(name: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "exit codes:\n  0 " in said
    examples = re.findall(rf"^  \.venv/bin/python -m console {name}\b(.*)$", said, re.M)
    assert examples
    for example in examples:
        given = shlex.split(example.partition("|")[0])
        assert verb_of(name).parser(name).parse_args(given)


@pytest.mark.parametrize(
    "arguments", [[], ["nope"], ["--stack=x", "up"], ["up", "more"], ["status", "--input=x"]]
)
def test_a_wrong_command_line_is_one_line_and_code_2(arguments: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m console")


def test_an_error_is_one_line_and_code_1(monkeypatch, capsys) -> None:
    def fails(options: object) -> None:
        raise ConsoleError("no \x1b[2J stack")

    monkeypatch.setattr(terminal, "_prepare", lambda: None)
    monkeypatch.setattr(outputs, "VERB", dataclasses.replace(outputs.VERB, run=fails))
    assert main(["outputs", "--stack=dev"]) == 1
    assert capsys.readouterr().err == "outputs: no \\x1b[2J stack\n"


@pytest.mark.parametrize("verb", ["outputs", "preview"])
def test_only_the_verb_that_is_asked_for_is_loaded(verb: str) -> None:
    check = (
        f"import sys, console.__main__ as m; m.verb_of('{verb}');"
        "assert not {'kubernetes', 'pulumi', 'matplotlib', 'rich'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT)


@pytest.mark.parametrize("verb", ["destroy", "sweep", "stop", "start", "backup", "restore"])
def test_the_local_stack_of_another_checkout_is_left_alone(verb, monkeypatch, capsys):
    def refuse() -> None:
        raise CloudError("a local cloud of /other runs on this host")

    monkeypatch.setattr(cloud, "refuse_foreign", refuse)
    monkeypatch.setattr(Stack, "pulumi", lambda *_, **__: pytest.fail("pulumi was called"))
    assert main([verb]) == 1
    assert capsys.readouterr().err == f"{verb}: a local cloud of /other runs on this host\n"
