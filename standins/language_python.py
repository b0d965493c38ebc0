"""Stand-in of pulumi-language-python: the plugin with which the engine runs Python programs.

Pulumi's Python SDK has the protocol's server for programs given as a function (its automation
API). This adds what the engine asks of a plugin: run the program of a directory, say which
resource plugins the installed packages need, and stop quietly.

    python -m standins.language_python [flags] ENGINE_ADDRESS     prints its port
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import importlib.metadata
import json
import os
import runpy
import site
import sys
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pulumi
from pulumi import log
from pulumi.automation._server import LanguageServer
from pulumi.errors import InputPropertiesError, InputPropertyError, RunError
from pulumi.runtime import reset_options, run_in_stack, set_all_config
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from standins.process import watch_for_the_end

# Frames of these are the machinery's, not the program's: a traceback reads better without them.
_MACHINERY = (
    str(Path(pulumi.__file__).parent),
    os.path.join(sysconfig.get_path("stdlib"), "asyncio"),
    "<frozen runpy>",
    runpy.__file__,
    __file__,
)


class PythonLanguage(LanguageServer):
    """The language host: one program run at a time, in this process."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self._running = threading.Lock()

    def Handshake(self, request, context):
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi"))

    def RuntimeOptionsPrompts(self, request, context):
        return language_pb2.RuntimeOptionsResponse()

    def GetRequiredPackages(self, request, context):
        return language_pb2.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(kind="resource", **plugin)
                for plugin in required_plugins()
            ]
        )

    def GetRequiredPlugins(self, request, context):
        return language_pb2.GetRequiredPluginsResponse(
            plugins=[
                plugin_pb2.PluginDependency(kind="resource", **plugin)
                for plugin in required_plugins()
            ]
        )

    def GetProgramDependencies(self, request, context):
        found = sorted(
            (item.metadata["Name"], item.version) for item in importlib.metadata.distributions()
        )
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=name, version=version) for name, version in found
            ]
        )

    def InstallDependencies(self, request, context):
        text = f"This stand-in installs nothing: packages come from {sys.prefix}\n"
        yield language_pb2.InstallDependenciesResponse(stdout=text.encode())

    def Run(self, request, context):
        with self._running:
            return contextvars.copy_context().run(self._run, request)

    def _run(self, request: Any) -> Any:
        reset_options(
            project=request.project,
            monitor_address=request.monitor_address,
            engine_address=request.args[0] if request.args else "",
            stack=request.stack,
            parallel=request.parallel,
            preview=request.dryRun,
            organization=request.organization or "organization",
        )
        set_all_config(dict(request.config), list(request.configSecretKeys))
        _warn_of_other_environment(request)
        problem = _run_program(request)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if problem:
            log.error(problem)
        # The problem was shown already; `bail` tells the engine to stop without another word.
        return language_pb2.RunResponse(bail=bool(problem))


def _run_program(request: Any) -> str:
    """Run the program to its end; what went wrong, in words for its author, or nothing."""
    folder = request.info.program_directory or request.pwd
    entry = os.path.join(folder, request.info.entry_point or ".")
    os.chdir(request.pwd or folder)
    _forget_modules_of(folder)
    sys.argv = [entry, *request.args[1:]]
    sys.path.insert(0, folder)
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=max(request.parallel, 1) * 4))
    # Resources live until the program ends: looking for garbage among them is time for nothing.
    gc.disable()
    try:
        loop.run_until_complete(run_in_stack(lambda: _execute(entry)))
    except RunError as error:
        return str(error)
    except (InputPropertyError, InputPropertiesError) as error:
        return f"Program failed: {_describe_input_error(error)}"
    except grpc.RpcError as rpc_error:
        error: Any = rpc_error  # what the client raises is a grpc.Call too
        # The engine's monitor is gone: it is shutting down and has told why itself.
        unavailable = error.code() == grpc.StatusCode.UNAVAILABLE
        return "" if unavailable else f"the engine refused a request: {error.details()}"
    except SystemExit as stop:
        return _describe_exit(stop)
    except BaseException as error:  # the program may raise anything; all of it is for its author
        return f"Program failed with an unhandled exception:\n{readable_traceback(error)}"
    finally:
        gc.enable()
        _finish(loop)
        with suppress(ValueError):
            sys.path.remove(folder)
    return ""


def _execute(entry: str) -> None:
    runpy.run_path(entry, run_name="__main__")


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Close `loop`, first ending the tasks that a failed program left behind."""
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.close()


def _forget_modules_of(folder: str) -> None:
    """Drop the program's own modules: a second run in this process must see their files anew."""
    inside = os.path.join(os.path.realpath(folder), "")
    packages = os.path.realpath(sys.prefix)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or module.__name__ == __name__ or name == "__main__":
            continue
        file = os.path.realpath(file)
        own = file.startswith(inside) and not file.startswith(packages)
        if own and not file.startswith(os.path.dirname(os.path.realpath(__file__))):
            del sys.modules[name]


def _describe_input_error(error: InputPropertyError | InputPropertiesError) -> str:
    if isinstance(error, InputPropertyError):
        return f"{error.property_path}: {error.reason}"
    details = [f"{item['property_path']}: {item['reason']}" for item in error.errors or []]
    return "\n  ".join([error.message, *details])


def _describe_exit(stop: SystemExit) -> str:
    if stop.code in (None, 0):
        return ""
    if isinstance(stop.code, str):
        return stop.code
    return f"Program exited with non-zero exit code: {stop.code}"


def readable_traceback(error: BaseException) -> str:
    """The traceback of `error` with the program's frames only, or with all if there are none."""
    report = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = report
    while part is not None:
        own = [frame for frame in part.stack if not frame.filename.startswith(_MACHINERY)]
        if own:
            part.stack = traceback.StackSummary.from_list(own)
        part = part.__cause__ or part.__context__
    return "".join(report.format())


def _warn_of_other_environment(request: Any) -> None:
    """Say so when the project names a virtual environment that is not the one this runs in."""
    options = request.info.options.fields
    wanted = options["virtualenv"].string_value if "virtualenv" in options else ""
    if not wanted:
        return
    folder = os.path.join(request.info.root_directory or request.pwd, wanted)
    if os.path.realpath(folder) != os.path.realpath(sys.prefix):
        log.warn(f"stand-in of pulumi-language-python: runs in {sys.prefix}, not in {folder}")


def required_plugins() -> list[dict[str, Any]]:
    """name, version and server of each resource plugin that an installed package asks for."""
    return sorted(_installed_plugins(), key=lambda plugin: plugin["name"])


def _installed_plugins() -> Iterator[dict[str, Any]]:
    folders = {os.path.realpath(folder) for folder in site.getsitepackages()}
    for folder in sorted(folders):
        for file in Path(folder).glob("*/pulumi-plugin.json"):
            about = json.loads(file.read_text())
            if not about.get("resource"):
                continue
            package = file.parent.name
            yield {
                "name": about.get("name") or package.removeprefix("pulumi_"),
                "version": about.get("version") or importlib.metadata.version(package),
                "server": about.get("server", ""),
            }


def start() -> tuple[grpc.Server, int]:
    """A running language host on loopback: the server and its port."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=_GRPC_CHANNEL_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(PythonLanguage(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main() -> None:
    """Serve the engine until it sends SIGINT or is gone; then leave without a word."""
    wait_for_the_end = watch_for_the_end()
    server, port = start()
    print(port, flush=True)
    wait_for_the_end()
    server.stop(grace=0)
    sys.stdout.flush()
    # A program that hangs in a call must not keep the process alive.
    os._exit(0)


if __name__ == "__main__":
    main()
