"""The stand-in of Pulumi's Python language host: a process, asked what the engine asks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    language_pb2,
    language_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

from standins.language_python import readable_traceback, required_plugins
from standins.values import Empty, Struct
from tests.unit.standins.engine import LogServer

ROOT = Path(__file__).resolve().parents[3]


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Takes what the program registers."""

    def __init__(self) -> None:
        self.registered: list[str] = []
        self.outputs: dict[str, Any] = {}

    def SupportsFeature(self, request: Any, context: Any) -> Any:
        return resource_pb2.SupportsFeatureResponse(hasSupport=True)

    def RegisterResource(self, request: Any, context: Any) -> Any:
        self.registered.append(request.type)
        urn = f"urn:pulumi:{request.type}::{request.name}"
        return resource_pb2.RegisterResourceResponse(urn=urn, id="id", object=request.object)

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:
        self.outputs = dict(request.outputs.items())
        return Empty()

    def GetDeploymentInfo(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this test")

    def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:
        return Empty()


class EngineLog(LogServer):
    """What a person sees of the log, and which resource is the root."""

    root = ""

    def Log(self, request: Any, context: Any) -> Any:
        if request.severity >= engine_pb2.WARNING:
            self.lines.append((request.message, request.ephemeral))
        return Empty()

    def SetRootResource(self, request: Any, context: Any) -> Any:
        self.root = request.urn
        return engine_pb2.SetRootResourceResponse()

    def GetRootResource(self, request: Any, context: Any) -> Any:
        return engine_pb2.GetRootResourceResponse(urn=self.root)


@dataclass
class Host:
    """A running language host with an engine around it."""

    process: subprocess.Popen[str]
    stub: Any
    address: str
    folder: Path
    monitor: Monitor = field(default_factory=Monitor)
    log: EngineLog = field(default_factory=EngineLog)

    def run(self, program: str, virtualenv: str = "", **config: str) -> Any:
        """Run a program text as a project; the answer of Run."""
        (self.folder / "__main__.py").write_text(textwrap.dedent(program))
        options = Struct()
        if virtualenv:
            options["virtualenv"] = virtualenv
        folder = str(self.folder)
        info = language_pb2.ProgramInfo(
            root_directory=folder, program_directory=folder, entry_point=".", options=options
        )
        request = language_pb2.RunRequest(
            project="p",
            stack="s",
            pwd=folder,
            args=[self.address],
            monitor_address=self.address,
            dryRun=True,
            parallel=4,
            config={f"p:{key}": value for key, value in config.items()},
            configSecretKeys=["p:hidden"],
            info=info,
        )
        return self.stub.Run(request, timeout=30)

    @property
    def errors(self) -> str:
        return "\n".join(line for line, _ in self.log.lines)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    server = grpc.server(ThreadPoolExecutor(max_workers=16))
    monitor, log = Monitor(), EngineLog()
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
    engine_pb2_grpc.add_EngineServicer_to_server(log, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "standins.language_python", address],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    stub = language_pb2_grpc.LanguageRuntimeStub(channel)
    folder = tmp_path / "project"
    folder.mkdir()
    yield Host(process, stub, address, folder, monitor, log)
    process.kill()
    process.wait()
    server.stop(grace=0)


def test_it_runs_the_program_of_a_folder(host: Host) -> None:
    (host.folder / "parts").mkdir()
    (host.folder / "parts" / "names.py").write_text("NAME = 'first'\n")
    program = """
        import os, sys
        import pulumi
        from parts.names import NAME
        config = pulumi.Config()
        class Box(pulumi.CustomResource):
            def __init__(self, name): super().__init__("toy:index:Box", name, {"size": 1})
        Box(NAME)
        pulumi.export("size", config.require("size"))
        pulumi.export("where", os.getcwd())
        pulumi.export("name", NAME)
        print("a word of the program")
    """
    answer = host.run(program, size="3")
    assert (answer.error, answer.bail, host.errors) == ("", False, "")
    assert host.monitor.registered == ["pulumi:pulumi:Stack", "toy:index:Box"]
    assert host.monitor.outputs["size"] == "3"
    assert host.monitor.outputs["where"] == str(host.folder)
    # A second run sees files that changed since.
    (host.folder / "parts" / "names.py").write_text("NAME = 'another'\n")
    os.utime(host.folder / "parts" / "names.py", (1, 1))
    assert not host.run(program, size="3").bail
    assert host.monitor.outputs["name"] == "another"


def test_a_run_error_is_shown_without_a_traceback(host: Host) -> None:
    answer = host.run("""
        import pulumi
        raise pulumi.RunError("nodes.count: must be at least 1")
    """)
    assert (answer.bail, answer.error) == (True, "")
    assert host.errors == "nodes.count: must be at least 1"


def test_an_error_shows_the_programs_own_frames(host: Host) -> None:
    answer = host.run("""
        def divide(by):
            return 1 / by
        divide(0)
    """)
    assert answer.bail
    assert host.errors.startswith("Program failed with an unhandled exception:\nTraceback")
    assert "in divide" in host.errors and "return 1 / by" in host.errors
    assert "ZeroDivisionError: division by zero" in host.errors
    assert "runpy" not in host.errors and "asyncio" not in host.errors
    assert "language_python" not in host.errors


def test_an_error_in_an_apply_is_the_programs_too(host: Host) -> None:
    answer = host.run("""
        import pulumi
        pulumi.export("x", pulumi.Output.from_input(1).apply(lambda n: n / 0))
    """)
    assert answer.bail
    assert "ZeroDivisionError" in host.errors


@pytest.mark.parametrize(
    ("leave", "bail", "shown"),
    [
        ("sys.exit(0)", False, ""),
        ("sys.exit(3)", True, "Program exited with non-zero exit code: 3"),
        ("sys.exit('enough')", True, "enough"),
    ],
)
def test_a_program_may_leave_by_itself(host: Host, leave: str, bail: bool, shown: str) -> None:
    answer = host.run(f"import sys\n{leave}\n")
    assert (answer.bail, host.errors) == (bail, shown)


def test_a_program_that_is_not_there(host: Host) -> None:
    answer = host.run("import no_such_module\n")
    assert answer.bail
    assert "ModuleNotFoundError: No module named 'no_such_module'" in host.errors


def test_another_virtual_environment_is_told(host: Host) -> None:
    host.run("", virtualenv="elsewhere")
    assert "stand-in of pulumi-language-python: runs in" in host.errors
    host.log.lines.clear()
    host.run("", virtualenv=sys.prefix)
    assert host.errors == ""


def test_it_names_the_plugins_that_installed_packages_need(host: Host) -> None:
    answer = host.stub.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest())
    found = {package.name: package.version for package in answer.packages}
    assert {package.kind for package in answer.packages} == {"resource"}
    for name in ("aws", "command", "kubernetes"):
        folder = Path(sys.prefix, "lib").glob(f"*/site-packages/pulumi_{name}/pulumi-plugin.json")
        assert found[name] == json.loads(next(folder).read_text())["version"]
    assert [plugin["name"] for plugin in required_plugins()] == sorted(found)


def test_it_says_what_it_is(host: Host) -> None:
    assert host.stub.GetPluginInfo(Empty()).version.startswith("3.")
    about = host.stub.About(language_pb2.AboutRequest())
    assert about.executable == sys.executable
    packages = host.stub.GetProgramDependencies(language_pb2.GetProgramDependenciesRequest())
    assert "pulumi" in {item.name for item in packages.dependencies}
    install = host.stub.InstallDependencies(language_pb2.InstallDependenciesRequest())
    assert b"installs nothing" in b"".join(item.stdout for item in install)


def test_it_leaves_without_a_word(host: Host) -> None:
    host.process.send_signal(signal.SIGINT)
    out, err = host.process.communicate(timeout=5)
    assert (host.process.returncode, out, err) == (0, "", "")


def test_a_traceback_without_own_frames_is_shown_whole() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        assert "json" in readable_traceback(error)
