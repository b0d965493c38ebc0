"""For all tests: they run as if a person had started them, whatever did."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests import jvm
from tests.processes import ALIVE
from toolchain.env import enter

# A shell starts what runs in the background with SIGINT ignored, nohup with SIGHUP, and children
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Of the person's own shell there is nothing that a test could hang on.
enter(local=True)
if "PYTEST_XDIST_WORKER" not in os.environ:
    # What tests and what they start leave goes with this process, by another where it is killed.
    # What pytest itself keeps of failed tests stays where it is.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="tinderbox-tests-")
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)
    os.mkfifo(os.path.join(tempfile.tempdir, ALIVE))
    _alive = os.open(os.path.join(tempfile.tempdir, ALIVE), os.O_RDWR)
    later = ["sh", "-c", 'cat; sleep 3; rm -rf "$0"', tempfile.tempdir]
    with open(os.path.join(tempfile.tempdir, ALIVE), "rb") as _end:
        _remover = subprocess.Popen(later, stdin=_end, start_new_session=True)
jvm.use(os.environ)
# Programs of Go live for seconds as well, and have memory enough.
os.environ["GOGC"] = "400"

#: Files that take longest, so that none of them is what all wait for at the end.
LONGEST = (
    "charts/test_daemons.py",
    "engine/test_aws_part.py",
    "charts/test_connect.py",
    "jobs/test_s3.py",
    "jobs/test_processes.py",
    "jobs/test_wordcount.py",
    "engine/test_applications.py",
    "engine/test_namespaces.py",
    "engine/test_kubernetes_plugin.py",
    "engine/test_spark_properties.py",
    "unit/test_changes.py",
    "unit/components/test_wordcount.py",
    "unit/test_lint.py",
)

#: Those that share one Spark session, whose start costs more than they do.
SESSION = ("jobs/test_wordcount.py", "jobs/test_pi.py", "jobs/test_patterns.py")


class ByFile(LoadFileScheduling):
    """A file's tests run in one process, and all that use the session."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "the session" if file.endswith(SESSION) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Of tests that several processes run."""
    return ByFile(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Pulumi's SDKs warn of their own old names whenever they are imported."""
    for package in ("pulumi_aws", "pulumi_command"):
        config.addinivalue_line("filterwarnings", f"ignore::DeprecationWarning:{package}.*")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest first."""
    order = {Path(__file__).parent / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish() -> None:
    """What was imported stays: looking through it for garbage took half of what a plan takes."""
    gc.collect()
    gc.freeze()
