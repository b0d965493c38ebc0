"""official_plugin.py FOLDER VERSION ENGINE: answers as Pulumi's own plugins do.

They take no option --version, print their port, end when the engine is not there, and tell their
version by gRPC. In place of VERSION: what goes wrong. FOLDER/pid: that of its process.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent import futures
from pathlib import Path

import grpc
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    def __init__(self, version: str) -> None:
        self.version = version

    def GetPluginInfo(self, request, context):
        if self.version == "stalls":
            threading.Event().wait()
        if self.version == "refuses":
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        return plugin_pb2.PluginInfo(version=self.version)


def main(folder: str, version: str, *arguments: str) -> None:
    if not arguments or arguments[0].startswith("-"):
        sys.exit("flag provided but not defined: -version")
    (Path(folder) / "pid").write_text(str(os.getpid()))
    if version == "dies":
        sys.exit("no licence")
    if version == "babbles":
        print("hello", flush=True)
    if version not in ("hangs", "babbles"):
        with grpc.insecure_channel(arguments[0], (("grpc.enable_http_proxy", 0),)) as engine:
            grpc.channel_ready_future(engine).result(timeout=20)
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(version), server)
        print(server.add_insecure_port("127.0.0.1:0"), flush=True)
        server.start()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
