"""The gRPC side of a stand-in: the engine's ResourceProvider protocol on top of base.Provider."""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
)

from standins.base import Call, InitFailed, Provider, ResourceHandler, StandinError
from standins.messages import (
    as_secret,
    check_response,
    diff_response,
    error_status,
    mark,
    schema,
    subject,
)
from standins.process import watch_for_the_end
from standins.values import Empty, Secret, carry_secrets, from_struct, has_secret, to_struct

# As large as the engine's own limit: states with big assets must pass.
_MAX_MESSAGE = 400 * 1024 * 1024
# More than the engine ever has under way at once, so that a Cancel always finds a thread.
_WORKERS = 256
# How long calls that were cancelled get to end by themselves before the process goes.
_GRACE_SECONDS = 10.0

_SEVERITIES = {
    "debug": engine_pb2.DEBUG,
    "info": engine_pb2.INFO,
    "warning": engine_pb2.WARNING,
    "error": engine_pb2.ERROR,
}


class EngineLog:
    """Sends log messages to the engine; without an engine (tests, `python -m`) to stderr."""

    def __init__(self) -> None:
        self._stub: engine_pb2_grpc.EngineStub | None = None

    def connect(self, address: str) -> None:
        """Send from now on to the engine at `address` (host:port)."""
        options = [("grpc.max_receive_message_length", _MAX_MESSAGE)]
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address, options=options))

    def send(self, urn: str, severity: str, message: str, ephemeral: bool) -> None:
        """Log `message`; a log that can't be sent is no reason for an operation to fail."""
        if self._stub is None:
            print(message, file=sys.stderr)
            return
        request = engine_pb2.LogRequest(
            severity=_SEVERITIES[severity], message=message, urn=urn, ephemeral=ephemeral
        )
        try:
            self._stub.Log(request, timeout=10)
        except grpc.RpcError:
            print(message, file=sys.stderr)


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Turns the engine's requests into calls of a Provider's handlers."""

    def __init__(self, provider: Provider, log: EngineLog) -> None:
        self.provider = provider
        self.log = log
        self.cancelled = threading.Event()
        self._events: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    # -- the process itself ------------------------------------------------------------------

    def Handshake(self, request, context):
        self.log.connect(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, supports_autonaming_configuration=True
        )

    def Attach(self, request, context):
        self.log.connect(request.address)
        return Empty()

    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version=self.provider.version)

    def GetSchema(self, request, context):
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema(self.provider)))

    def GetMapping(self, request, context):
        return provider_pb2.GetMappingResponse()

    def GetMappings(self, request, context):
        return provider_pb2.GetMappingsResponse()

    def Cancel(self, request, context):
        self.cancel_all()
        return Empty()

    def cancel_all(self) -> None:
        """Make every call that is under way stop soon."""
        self.cancelled.set()
        with self._lock:
            events = list(self._events.values())
        for event in events:
            event.set()
        self.provider.cancel()

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        with self._lock:
            return bool(self._events)

    # -- the provider's configuration --------------------------------------------------------

    def CheckConfig(self, request, context):
        with self._call(context, request.urn, news=request.news, olds=request.olds) as call:
            inputs, failures = self.provider.check_config(call)
            return check_response(carry_secrets(inputs, call.marked_inputs), failures)

    def DiffConfig(self, request, context):
        with self._call(
            context, request.urn, news=request.news, olds=request.old_inputs, state=request.olds
        ) as call:
            return diff_response(self.provider.diff_config(call))

    def Configure(self, request, context):
        with self._call(context, request.urn, news=request.args) as call:
            given = {k: v for k, v in call.inputs.items() if not k.startswith("__")}
            self.provider.configure(self.provider.decode_config(given))
            return provider_pb2.ConfigureResponse(
                acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
            )

    # -- functions ---------------------------------------------------------------------------

    def Invoke(self, request, context):
        with self._call(context, "", news=request.args, what=request.tok) as call:
            call.preview = request.preview
            function = self.provider.functions.get(request.tok)
            if function is None:
                raise StandinError(self.provider.refusal(f"function {request.tok}"))
            result = function(call)
            if has_secret(call.marked_inputs):
                result = {name: Secret(value) for name, value in result.items()}
            answer: Any = provider_pb2.InvokeResponse()
            # `return` is a word of Python's own.
            getattr(answer, "return").CopyFrom(to_struct(result))
            return answer

    # -- resources ---------------------------------------------------------------------------

    def Check(self, request, context):
        with self._call(context, request.urn, news=request.news, olds=request.olds) as call:
            handler = self.provider.handler(call.type)
            call.random_seed = request.randomSeed
            if request.HasField("autonaming"):
                mode = provider_pb2.CheckRequest.AutonamingOptions.Mode.Name(
                    request.autonaming.mode
                )
                call.autonaming = (mode.lower(), request.autonaming.proposed_name)
            inputs, failures = handler.check(call)
            marked = carry_secrets(inputs, call.marked_inputs)
            for name in handler.secret_inputs & marked.keys():
                marked[name] = as_secret(marked[name])
            return check_response(marked, failures)

    def Diff(self, request, context):
        with self._call(
            context,
            request.urn,
            request.id,
            news=request.news,
            olds=request.old_inputs,
            state=request.olds,
        ) as call:
            return diff_response(self.provider.handler(call.type).diff(call))

    def Create(self, request, context):
        with self._call(context, request.urn, news=request.properties, doing="creating") as call:
            call.preview, call.timeout = request.preview, request.timeout or None
            handler = self.provider.handler(call.type)
            if call.preview:
                resource_id, outputs = "", handler.preview_create(call)
            else:
                call.check_cancelled()
                resource_id, outputs = self._keeping(handler, call, lambda: handler.create(call))
            properties = to_struct(mark(handler, outputs, call.marked_inputs))
            return provider_pb2.CreateResponse(id=resource_id, properties=properties)

    def Read(self, request, context):
        with self._call(
            context,
            request.urn,
            request.id,
            olds=request.inputs,
            state=request.properties,
            doing="reading",
        ) as call:
            call.timeout = request.timeout or None
            handler = self.provider.handler(call.type)
            found = handler.read(call)
            if found is None:
                return provider_pb2.ReadResponse()
            inputs = carry_secrets(found.inputs, call.marked_old_inputs)
            outputs = mark(handler, found.outputs, {**call.marked_state, **inputs})
            return provider_pb2.ReadResponse(
                id=found.id, inputs=to_struct(inputs), properties=to_struct(outputs)
            )

    def Update(self, request, context):
        with self._call(
            context,
            request.urn,
            request.id,
            news=request.news,
            olds=request.old_inputs,
            state=request.olds,
            doing="updating",
        ) as call:
            call.preview, call.timeout = request.preview, request.timeout or None
            handler = self.provider.handler(call.type)
            if call.preview:
                outputs = handler.preview_update(call)
            else:
                call.check_cancelled()
                _, outputs = self._keeping(handler, call, lambda: (call.id, handler.update(call)))
            properties = to_struct(mark(handler, outputs, call.marked_inputs))
            return provider_pb2.UpdateResponse(properties=properties)

    def Delete(self, request, context):
        with self._call(
            context,
            request.urn,
            request.id,
            olds=request.old_inputs,
            state=request.properties,
            doing="deleting",
        ) as call:
            call.timeout = request.timeout or None
            call.check_cancelled()
            self.provider.handler(call.type).delete(call)
            return Empty()

    # -- helpers -----------------------------------------------------------------------------

    def _keeping(
        self,
        handler: ResourceHandler,
        call: Call,
        operate: Callable[[], tuple[str, dict[str, Any]]],
    ) -> tuple[str, dict[str, Any]]:
        """`operate()`; where it leaves a half made resource, its outputs get their marks back."""
        try:
            return operate()
        except InitFailed as error:
            error.outputs = mark(handler, error.outputs, call.marked_inputs)
            raise

    @contextmanager
    def _call(
        self,
        context: grpc.ServicerContext,
        urn: str,
        resource_id: str = "",
        news: Any = None,
        olds: Any = None,
        state: Any = None,
        what: str = "",
        doing: str = "",
    ) -> Generator[Call]:
        """A Call for a request; what its block raises goes to the engine as the request's error."""
        call = Call(
            urn=urn,
            id=resource_id,
            marked_inputs=from_struct(news),
            marked_old_inputs=from_struct(olds),
            marked_state=from_struct(state),
            send_log=lambda severity, text, ephemeral: self.log.send(
                urn, severity, text, ephemeral
            ),
        )
        with self._lock:
            self._events[id(call)] = call.cancelled
        if self.cancelled.is_set():
            call.cancelled.set()
        status = None
        try:
            yield call
        except Exception as error:  # every failure must reach the engine, in words
            status = error_status(error, what or subject(call), doing)
        finally:
            with self._lock:
                del self._events[id(call)]
        if status is not None:
            context.abort_with_status(status)


def start(provider: Provider) -> tuple[grpc.Server, Servicer, int]:
    """A running server for `provider` on loopback: the server, its servicer, and its port."""
    options = [
        ("grpc.max_receive_message_length", _MAX_MESSAGE),
        ("grpc.max_send_message_length", _MAX_MESSAGE),
    ]
    server = grpc.server(ThreadPoolExecutor(max_workers=_WORKERS), options=options)
    servicer = Servicer(provider, EngineLog())
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, servicer, port


def run(provider: Provider) -> None:
    """Serve until SIGINT or SIGTERM, or until the engine is gone; then leave without a word."""
    # AWS's API as boto3 reads it is big and stays: looking through it for garbage is for nothing.
    gc.set_threshold(100_000)
    wait_for_the_end = watch_for_the_end()
    server, servicer, port = start(provider)
    if len(sys.argv) > 1:
        servicer.log.connect(sys.argv[-1])
    print(port, flush=True)
    wait_for_the_end()
    servicer.cancel_all()
    deadline = time.monotonic() + _GRACE_SECONDS
    while servicer.busy and time.monotonic() < deadline:
        time.sleep(0.05)
    server.stop(grace=0)
    sys.stdout.flush()
    # Threads that hang in a connection must not keep the process alive.
    os._exit(0)
