"""python -m tests.warm: prints its socket, and runs Python's commands until its input ends."""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
from typing import NoReturn

#: What runs, from folders of its own: imported for what it imports, and forgotten again.
OWN = ("components", "standins", "submission", "patience", "tests")
#: What Pulumi's SDKs import only when it is used.
LATE = ("pulumi_aws.lb", "pulumi_aws.vpc", "pulumi_kubernetes.rbac.v1", "boto3", "kubernetes")


def main() -> None:
    """Serves until nobody holds the other end of the standard input any more."""
    load()
    path = os.path.join(tempfile.gettempdir(), "warm.socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print(path, flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
        gc.freeze()
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            client, _ = listener.accept()
            if not os.fork():
                listener.close()
                run(client)
            client.close()


def load() -> None:
    """Imports all that stand-ins and the program do, but for their own files."""
    for name in ("components", "standins"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)
    for name in [*sys.modules]:
        if name.partition(".")[0] in OWN:
            del sys.modules[name]


def run(client: socket.socket) -> NoReturn:
    """Is what the client was called as: `-P -m MODULE ARGUMENTS...`, with its surroundings."""
    _, files, *_ = socket.recv_fds(client, 1, 3)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    (_, _, *sys.argv), environ, folder = json.loads(client.makefile().readline())
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def watch() -> None:
        client.recv(1)  # that the engine ends the client, or that it is gone
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    sys.path[0] = environ["PYTHONPATH"]
    sys.pycache_prefix = f"{tempfile.gettempdir()}/compiled"  # of copies that go with the run
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    main()
