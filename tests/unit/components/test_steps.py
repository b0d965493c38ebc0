"""What a step sends to a node: values, functions and script, read whole before any of it runs."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from components.cluster.steps import _SCRIPTS, read_script, shell_input

NASTY = [
    "plain",
    "",
    "it's",
    'say "hi"',
    "two\nlines\n",
    "$HOME `id` $(id) ${x} \\ \\n",
    "*; rm -rf / #",
    "-n",
    " spaces  and\ttabs ",
    "ünïcödé ✓",
    "END\nEOF\n}\n",
]


@pytest.mark.parametrize("value", NASTY)
def test_a_value_arrives_as_it_is(sandbox, value):
    ran = sandbox.run(shell_input('printf "%s|" "$VALUE"', {"VALUE": value}))
    assert (ran.stdout, ran.stderr, ran.returncode) == (f"{value}|", "", 0)


def test_programs_that_a_step_starts_see_its_values(sandbox):
    ran = sandbox.run(shell_input("bash -c 'echo $VALUE'", {"VALUE": 5}))
    assert ran.stdout == "5\n"


def test_no_program_can_eat_the_rest_of_the_script(sandbox):
    ran = sandbox.run(shell_input("echo before\ncat\nread -r line || true\necho after", {}))
    assert ran.stdout == "before\nafter\n"


def test_a_command_that_fails_ends_the_step(sandbox):
    ran = sandbox.run(shell_input("echo before\nfalse\necho after", {}))
    assert (ran.stdout, ran.returncode) == ("before\n", 1)


def test_so_does_one_within_a_pipe(sandbox):
    ran = sandbox.run(shell_input("(exit 7) | cat\necho after", {}))
    assert (ran.stdout, ran.returncode) == ("", 7)


def test_and_a_value_that_nobody_gave(sandbox):
    ran = sandbox.run(shell_input('echo "$NO_SUCH_VALUE"', {}))
    assert ran.returncode != 0
    assert "NO_SUCH_VALUE" in ran.stderr


def test_a_step_may_end_early(sandbox):
    ran = sandbox.run(shell_input("echo done\nexit 0\necho not reached", {}))
    assert (ran.stdout, ran.returncode) == ("done\n", 0)


def test_what_fails_names_itself(sandbox):
    ran = sandbox.run(shell_input('fail "no such thing: $X"', {"X": "y"}))
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "no such thing: y\n", 1)


def test_a_step_is_told_that_it_is_to_be_undone(sandbox):
    script = shell_input('echo "${1:-create}"', {})
    assert sandbox.run(script).stdout == "create\n"
    assert sandbox.run(script, "delete").stdout == "delete\n"


def test_what_a_script_leaves_behind_is_cleared_up_at_its_end(sandbox):
    script = shell_input("trap 'echo cleared' EXIT\necho working\nfalse", {})
    ran = sandbox.run(script)
    assert (ran.stdout, ran.returncode) == ("working\ncleared\n", 1)


# Notes its process and that of a child which is deaf to SIGTERM if asked to, and hangs.
HANGING = """trap 'echo cleared >&2' EXIT
bash -c 'trap "$0" TERM; sleep 1000 & wait; wait' "${DEAF--}" &
printf "%s\\n" "$BASHPID" "$!" >&2
echo started
wait
echo not reached"""


def ended(stderr: str) -> bool:
    """Whether none of the processes that were noted is left."""
    noted = [int(line) for line in stderr.splitlines() if line.isdigit()]
    assert len(noted) == 2, stderr
    return not any(Path(f"/proc/{process}").exists() for process in noted)


def test_a_step_that_hangs_is_ended_with_its_children_and_says_so(sandbox):
    ran = sandbox.run(shell_input(HANGING, {}, limit=1))
    assert (ran.stdout, ran.returncode) == ("started\n", 128 + signal.SIGTERM)
    assert "\nnot done within 1 s: ended\n" in ran.stderr
    assert "\ncleared\n" in ran.stderr
    assert ended(ran.stderr)


def test_and_so_is_one_whose_children_do_not_listen(sandbox):
    ran = sandbox.run(shell_input(HANGING, {"DEAF": ""}, limit=1))
    assert ran.returncode == 128 + signal.SIGTERM
    assert ended(ran.stderr)


def hang_up(process: subprocess.Popen[str]) -> None:
    """As sshd does when the connection is gone."""
    assert process.stdout is not None
    process.stdout.close()


def terminate(process: subprocess.Popen[str]) -> None:
    """As a client's signal comes."""
    process.terminate()


@pytest.mark.parametrize("stop", [hang_up, terminate])
def test_a_step_ends_when_nobody_listens_any_more(stop, tmp_path):
    errors = tmp_path / "errors"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            ["bash", "-c", shell_input(HANGING, {})],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    stop(process)
    process.wait(timeout=20)
    assert ended(errors.read_text())


def test_what_a_step_leaves_running_ends_with_it(sandbox):
    ran = sandbox.run(shell_input("sleep 1000 &\necho $! $!", {}))
    assert ran.returncode == 0
    assert not Path(f"/proc/{ran.stdout.split()[0]}").exists()


def test_the_same_values_make_the_same_script_in_whatever_order():
    assert shell_input("x", {"A": 1, "B": 2}) == shell_input("x", {"B": 2, "A": 1})


def test_a_value_is_written_before_the_script():
    text = shell_input("echo", {"SECRET": "s3cr3t"})
    assert text.startswith("export SECRET=s3cr3t\n")
    assert text.count("s3cr3t") == 1


STEPS = [path.name for path in sorted(_SCRIPTS.iterdir()) if path.name.endswith(".sh")]


@pytest.mark.parametrize("name", STEPS)
def test_every_script_stops_at_the_first_error_and_says_what_it_is_for(name):
    lines = read_script(name).splitlines()
    assert lines[0] in ("#!/usr/bin/env bash", "# shellcheck shell=bash")
    assert lines[1].startswith("# ")
    if lines[0].startswith("#!"):
        assert "set -euo pipefail" in lines


@pytest.mark.parametrize("name", [name for name in STEPS if name != "lib.sh"])
def test_no_script_sleeps_for_luck(name):
    assert "sleep" not in read_script(name)
