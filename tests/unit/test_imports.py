"""What may import what: a folder is named by what its code knows (docs/design.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.unit.plan import ROOT

ROOMS = ("components", "console", "localcloud", "standins", "submission", "toolchain")

# Who must not know of whom. No import runs up: __main__ and the console, then the program and the
# local cloud, then submission and toolchain.
NEVER = {
    "submission": (*ROOMS[:4], "toolchain", "pulumi", "pulumi_aws", "pulumi_kubernetes"),
    "toolchain": ROOMS[:5],
    "components": ("console", "localcloud", "toolchain", "standins"),
    "components.settings": ("components.aws", "components.cluster", "components.spark"),
    "components.cluster": ("pulumi_aws", "components.aws", "components.spark"),
    "components.spark": ("pulumi_aws", "components.aws"),
    "localcloud": ("components", "console", "standins", "submission", "pulumi"),
    "standins": ("components", "console", "localcloud", "submission", "toolchain"),
}


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(file): file for room in ROOMS for file in (ROOT / room).rglob("*.py")} | {
    "__main__": ROOT / "__main__.py"
}


def imports(module: str) -> Iterator[str]:
    """What a file imports, wherever in it, by whole names."""
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level and node.module, f"{module}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in FILES else node.module


def is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


@pytest.mark.parametrize("room", NEVER)
def test_no_room_knows_what_it_must_not(room):
    here = [module for module in FILES if is_in(module, room)]
    assert here
    known = [
        f"{module} imports {name}"
        for module in here
        for name in imports(module)
        if any(is_in(name, other) for other in NEVER[room])
    ]
    assert known == []


def test_no_two_files_need_each_other():
    graph = {
        module: {name for name in imports(module) if name in FILES and name != module}
        for module in FILES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_no_two_rooms_need_each_other():
    """Nor do the rooms within a room, as whole folders."""
    graph: dict[str, set[str]] = {}
    for module in FILES:
        for name in imports(module):
            mine, other = (FILES[m].parent for m in (module, name if name in FILES else module))
            if mine != other and mine not in other.parents and other not in mine.parents:
                graph.setdefault(str(mine.relative_to(ROOT)), set()).add(
                    str(other.relative_to(ROOT))
                )
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_a_stack_on_an_existing_cluster_loads_nothing_of_aws():
    looks = (
        "import pulumi, sys, runpy; from pulumi.runtime import mocks;"
        "from tests.unit import plan;"
        "plan.plan(plan.EXISTING);"
        "assert 'components.spark.release' in sys.modules;"
        "print([name for name in sys.modules if name.startswith(('pulumi_aws', 'components.aws'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", looks], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
