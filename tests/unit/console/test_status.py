"""What the console asks of a cluster: a kubectl of the test's answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console import status
from console.stack import ConsoleError, Stack

# Fails as often as the file says, then answers.
KUBECTL = """#!/bin/sh
left=$(cat {count})
echo $((left - 1)) >{count}
[ "$left" -gt 0 ] || exit 0
echo "E1126 memcache.go: noise" >&2
echo "The connection to the server 10.43.0.10:6443 was refused" >&2
exit 1
"""


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    (tmp_path / "kubectl").write_text(KUBECTL.format(count=tmp_path / "count"))
    (tmp_path / "kubectl").chmod(0o755)
    made = Stack("dev", env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    monkeypatch.setenv("PATH", made.env["PATH"])
    outputs: dict[str, Any] = {"kubeconfig": "secret"}
    monkeypatch.setattr(Stack, "outputs", lambda *_, **__: outputs)
    return made


def test_an_update_ends_well_only_beside_a_cluster_that_answers(stack, tmp_path) -> None:
    (tmp_path / "count").write_text("99")
    with pytest.raises(ConsoleError) as refused:
        status.require_answer(stack, seconds=0)
    assert "does not answer (The connection to the server 10.43.0.10:6443" in str(refused.value)
    assert "`make status`" in str(refused.value) and "noise" not in str(refused.value)


def test_a_cluster_that_is_only_slow_is_waited_for(stack, tmp_path) -> None:
    (tmp_path / "count").write_text("1")
    status.require_answer(stack)
    assert (tmp_path / "count").read_text().strip() == "-1"


def test_a_stack_without_a_cluster_is_told(stack, monkeypatch) -> None:
    monkeypatch.setattr(Stack, "outputs", lambda *_, **__: {})
    with pytest.raises(ConsoleError, match="stack dev has no cluster"):
        status.require_answer(stack)
