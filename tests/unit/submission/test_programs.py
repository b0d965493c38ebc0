"""The shell of charts/spark/files, as it reaches a pod: the text of a command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from submission.programs import FOLDER, body_of, script


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.sh")), ids=lambda file: file.name)
def test_what_is_sent_has_no_comments_at_its_top(file: Path):
    text = script(file.name)
    assert not text.startswith(("#", "\n"))
    assert file.read_text().endswith(text) and text


def test_a_script_of_comments_alone_is_nothing(tmp_path: Path):
    file = tmp_path / "x.sh"
    file.write_text("#!/bin/sh\n\n# Nothing.\n")
    assert body_of(file) == ""


def test_a_file_is_received_to_its_last_byte_and_no_further(tmp_path: Path):
    target = tmp_path / "it's $x"
    command = ["sh", "-c", script("receive.sh"), "receive", str(target), "5"]
    subprocess.run(command, input=b"12\x0045 and more", check=True)
    assert target.read_bytes() == b"12\x0045"


def test_a_file_is_waited_for(tmp_path: Path):
    done = tmp_path / "a b"
    command = ["sh", "-c", script("wait_for_file.sh"), "wait", str(done)]
    with subprocess.Popen(command) as waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.5)
        done.touch()
        assert waiting.wait(30) == 0
