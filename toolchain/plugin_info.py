"""plugin_info.py FILE: prints the version that a Pulumi plugin tells, asked as Pulumi asks it.

The official ones refuse --version. Runs in the Python environment, for the sake of gRPC.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2_grpc

#: Seconds that it has: pulumi-aws is large, and disks are slow.
ANSWER_WITHIN = 60.0
# Its classes are made when it is loaded.
_empty: Any = empty_pb2
# A proxy is not for this machine.
_DIRECT = (("grpc.enable_http_proxy", 0),)


def ask(path: str) -> str:
    """The plugin's version. Raises ValueError or grpc.RpcError where it tells none."""
    # A plugin looks whether its engine is there, and ends when it isn't.
    engine = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    port = engine.add_insecure_port("127.0.0.1:0")
    engine.start()
    plugin = subprocess.Popen(
        [path, f"127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    limit = threading.Timer(ANSWER_WITHIN, os.killpg, (plugin.pid, signal.SIGKILL))
    limit.start()
    try:
        assert plugin.stdout is not None
        address = f"127.0.0.1:{int(plugin.stdout.readline())}"
        with grpc.insecure_channel(address, _DIRECT) as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            return stub.GetPluginInfo(_empty.Empty(), timeout=ANSWER_WITHIN).version
    finally:
        limit.cancel()
        os.killpg(plugin.pid, signal.SIGKILL)
        plugin.wait()
        engine.stop(None)


if __name__ == "__main__":
    try:
        print(ask(sys.argv[1]))
    except (OSError, ValueError, grpc.RpcError) as error:
        sys.exit(f"{sys.argv[1]} does not tell its version: {error}")
