"""The engine's side of the plugin protocol, for tests: a gRPC client, and a server for the log."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from standins.base import Provider
from standins.server import start
from standins.values import Empty, from_struct, to_struct


@dataclass
class Failed(Exception):
    """A request that the plugin refused; `kept` is the half made resource, if it left one."""

    message: str
    kept_id: str = ""
    kept: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


@dataclass
class DiffResult:
    """What a Diff answered: path to kind such as "UPDATE_REPLACE"."""

    paths: dict[str, str]
    replaces: list[str]
    changes: bool


class LogServer(engine_pb2_grpc.EngineServicer):
    """Collects what plugins log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bool]] = []
        self.arrived = threading.Event()

    def Log(self, request: Any, context: Any) -> Empty:
        self.lines.append((request.message, request.ephemeral))
        self.arrived.set()
        return Empty()


class Engine:
    """Asks a plugin what the engine would ask, in plain Python values."""

    def __init__(self, port: int, log: LogServer) -> None:
        options = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
        self.stub = provider_pb2_grpc.ResourceProviderStub(channel)
        self.log = log

    def urn(self, token: str, name: str = "thing") -> str:
        return f"urn:pulumi:test::project::{token}::{name}"

    def configure(self, token: str = "pulumi:providers:x", **args: Any) -> None:
        request = provider_pb2.ConfigureRequest(
            urn=self.urn(token), args=to_struct(args), acceptSecrets=True
        )
        self._ask(self.stub.Configure, request)

    def check_config(self, news: dict[str, Any]) -> list[tuple[str, str]]:
        request = provider_pb2.CheckRequest(
            urn=self.urn("pulumi:providers:x"), news=to_struct(news)
        )
        answer = self._ask(self.stub.CheckConfig, request)
        return [(f.property, f.reason) for f in answer.failures]

    def check(
        self,
        token: str,
        news: dict[str, Any],
        olds: dict[str, Any] | None = None,
        seed: bytes = b"s",
    ) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        request = provider_pb2.CheckRequest(
            urn=self.urn(token),
            news=to_struct(news),
            olds=to_struct(olds or {}),
            randomSeed=seed,
        )
        answer = self._ask(self.stub.Check, request)
        return from_struct(answer.inputs), [(f.property, f.reason) for f in answer.failures]

    def diff(
        self, token: str, old: dict[str, Any], new: dict[str, Any], state: Any = None
    ) -> DiffResult:
        request = provider_pb2.DiffRequest(
            id="id",
            urn=self.urn(token),
            old_inputs=to_struct(old),
            olds=to_struct(old if state is None else state),
            news=to_struct(new),
        )
        answer = self._ask(self.stub.Diff, request)
        kinds = provider_pb2.PropertyDiff.Kind
        return DiffResult(
            {path: kinds.Name(item.kind) for path, item in answer.detailedDiff.items()},
            list(answer.replaces),
            answer.changes == provider_pb2.DiffResponse.DIFF_SOME,
        )

    def create(
        self,
        token: str,
        inputs: dict[str, Any],
        preview: bool = False,
        timeout: float = 0,
        name: str = "thing",
    ) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.CreateRequest(
            urn=self.urn(token, name),
            properties=to_struct(inputs),
            preview=preview,
            timeout=timeout,
        )
        answer = self._ask(self.stub.Create, request)
        return answer.id, from_struct(answer.properties)

    def make(self, token: str, **inputs: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Check and create: id, inputs, outputs."""
        checked, failures = self.check(token, inputs, seed=os.urandom(16))
        assert failures == []
        resource_id, outputs = self.create(token, checked)
        return resource_id, checked, outputs

    def read(
        self, token: str, resource_id: str, inputs: dict[str, Any], state: dict[str, Any]
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        request = provider_pb2.ReadRequest(
            id=resource_id,
            urn=self.urn(token),
            inputs=to_struct(inputs),
            properties=to_struct(state),
        )
        answer = self._ask(self.stub.Read, request)
        return answer.id, from_struct(answer.inputs), from_struct(answer.properties)

    def update(
        self,
        token: str,
        resource_id: str,
        old: dict[str, Any],
        state: dict[str, Any],
        new: dict[str, Any],
        preview: bool = False,
    ) -> dict[str, Any]:
        request = provider_pb2.UpdateRequest(
            id=resource_id,
            urn=self.urn(token),
            old_inputs=to_struct(old),
            olds=to_struct(state),
            news=to_struct(new),
            preview=preview,
        )
        return from_struct(self._ask(self.stub.Update, request).properties)

    def delete(
        self, token: str, resource_id: str, inputs: dict[str, Any], state: dict[str, Any]
    ) -> None:
        request = provider_pb2.DeleteRequest(
            id=resource_id,
            urn=self.urn(token),
            old_inputs=to_struct(inputs),
            properties=to_struct(state),
        )
        self._ask(self.stub.Delete, request)

    def invoke(self, token: str, **arguments: Any) -> dict[str, Any]:
        request = provider_pb2.InvokeRequest(tok=token, args=to_struct(arguments))
        answer = self._ask(self.stub.Invoke, request)
        return from_struct(getattr(answer, "return"))

    def cancel(self) -> None:
        self.stub.Cancel(Empty())

    def _ask(self, method: Any, request: Any) -> Any:
        try:
            return method(request)
        except grpc.RpcError as error:
            raise _failed(error) from None


def _failed(error: Any) -> Failed:
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        status = status_pb2.Status.FromString(value)
        for detail in status.details:
            kept = provider_pb2.ErrorResourceInitFailed()
            detail.Unpack(kept)
            return Failed(error.details(), kept.id, from_struct(kept.properties))
    return Failed(error.details())


@contextmanager
def log_server() -> Generator[tuple[LogServer, str]]:
    """A running log server and its address."""
    log = LogServer()
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    engine_pb2_grpc.add_EngineServicer_to_server(log, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield log, f"127.0.0.1:{port}"
    server.stop(grace=0)


@contextmanager
def engine_for(provider: Provider) -> Generator[Engine]:
    """An engine that talks to `provider`, which is served in this process."""
    with log_server() as (log, address):
        server, _, port = start(provider)
        engine = Engine(port, log)
        engine.stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address=address))
        yield engine
        server.stop(grace=0)


__all__ = ["DiffResult", "Engine", "Failed", "LogServer", "engine_for", "engine_pb2", "log_server"]
