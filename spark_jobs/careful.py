"""What any careful Spark job needs around its algorithm.

One line on stderr for each thing that is to be said, failures in words, an exit code that tells
whose fault it is, an output that is whole or not there, an end when a signal asks for it, and a JVM
with a locale of its own. `run` runs a job; it tells what the exit codes mean.

Only pyspark and the standard library, Python 3.10: it goes into a cluster beside the job.
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, MutableMapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, TextIO, TypeVar

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from texts import TextError, shown

#: Set where nobody has set them.
CONF = {
    # A task that runs out of stack or memory fails, and says so; by default its JVM dies, and in
    # local mode that is all of Spark.
    "spark.executor.killOnFatalError.depth": "0",
    # Files that are named one by one are looked up here; a task for each takes ten times as long.
    "spark.sql.sources.parallelPartitionDiscovery.threshold": str(2**31 - 1),
}

#: These log stack traces of what ends, once, in the job's own line.
TRACES = (
    "org.apache.spark.executor.Executor",
    "org.apache.spark.scheduler.TaskSetManager",
    "org.apache.spark.sql.execution.datasources.FileFormatWriter",
)

#: Seconds from one line of progress to the next.
PROGRESS_EVERY = 5.0

#: Seconds that tasks get to end after a failure, before what they wrote is taken away.
TASKS_END_WITHIN = 15.0

Args = TypeVar("Args")


class UserError(Exception):
    """The input, the output or an argument is wrong; the message names it. Exit code 2."""


class Stopped(BaseException):
    """SIGTERM. As KeyboardInterrupt, no Exception: only `run` may take it for handled."""


class _Program:
    """Which job runs here, for what is said."""

    name = "job"


def say(message: str) -> None:
    """One line on stderr; nothing where stderr takes none."""
    line = f"{_Program.name}: {' '.join(message.split())}"
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        # spark-submit started this Python and sends its stderr to stdout: go by the JVM's own.
        with suppress(Exception):
            SparkContext._ensure_initialized()
            jvm: Any = SparkContext._jvm
            jvm.System.err.println(line)
            return
    _printed(line, sys.stderr)


def _printed(line: str, stream: TextIO) -> str:
    """Print a line; why the stream did not take it, empty if it did."""
    try:
        print(line, file=stream, flush=True)
        return ""
    except OSError as error:
        with suppress(Exception):  # Or Python tries again at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error.strerror or str(error)


# -- arguments


class Parser(argparse.ArgumentParser):
    """argparse, with its errors in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def checked(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """argparse type: what a function makes of a text; its ValueError says what is wrong."""

    def value(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def whole_number(first: int, last: int) -> Callable[[str], int]:
    """argparse type: a number from `first` to `last`."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and first <= int(text[:20]) <= last):
            raise ValueError(f"{text[:20]!r} is not a number from {first} to {last}")
        return int(text)

    return checked(number)


# -- failures, in words


def causes(error: Exception) -> list[str]:
    """The messages of a Java exception and its causes, the root cause last."""
    current = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    if current is None:
        return [str(error) or type(error).__name__]
    messages = []
    while current is not None:
        messages.append(str(current.getMessage() or current.getClass().getSimpleName()))
        current = current.getCause()
    return messages


def root_cause(error: Exception) -> str:
    """The first line of the root cause's message."""
    return causes(error)[-1].strip().partition("\n")[0]


@contextmanager
def about(name: str) -> Generator[None]:
    """Whatever Java throws in this block is the fault of the file or folder `name`."""
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        raise UserError(f"{shown(name)}: {root_cause(error)}") from error


def failure(error: Exception) -> str:
    """What to say of a failure that is nobody's fault in particular."""
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        return str(error)
    with suppress(Py4JError, ConnectionError):  # The JVM may have gone.
        told = causes(error)
        if any("OutOfMemoryError" in message for message in told):
            return "a task ran out of memory; give Spark more by --driver-memory, --executor-memory"
        return told[-1].strip().partition("\n")[0]
    return "Spark's own process has ended; what it last said is above"


# -- the JVM


def java(spark: SparkSession) -> Any:
    """The JVM's classes by their names."""
    return spark.sparkContext._jvm


def java_context(spark: SparkSession) -> Any:
    """The JavaSparkContext behind the session."""
    return spark.sparkContext._jsc


@contextmanager
def _overheard() -> Generator[deque[str]]:
    """The last lines that programs which are started in this block write to stderr.

    They get there all the same, for as long as such a program runs.
    """
    lines: deque[str] = deque(maxlen=100)
    reading, writing = os.pipe()
    real = os.dup(2)

    def relay() -> None:
        with open(reading, "rb") as told:
            for line in told:
                lines.append(line.decode(errors="replace").strip())
                with suppress(OSError):
                    os.write(real, line)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    os.dup2(writing, 2)
    os.close(writing)
    try:
        yield lines
    except Exception:
        os.dup2(real, 2)
        thread.join(5)  # What it said last may still be on its way.
        raise
    finally:
        os.dup2(real, 2)


def _reason(lines: deque[str]) -> str:
    """Why a JVM did not start, as it put it."""
    told = [line for line in lines if line and not re.match("Picked up |WARNING|Using ", line)]
    fault = re.compile("error|exception|not set|no such|cannot|unrecognized", re.IGNORECASE)
    return next(filter(fault.search, told), told[-1] if told else "it said nothing")


def _start_java() -> None:
    """Start the JVM, unless spark-submit has."""
    if "PYSPARK_GATEWAY_PORT" in os.environ or SparkContext._gateway is not None:
        return
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    locale = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C.UTF-8"  # File names are Unicode whatever the user's locale says.
    heard: deque[str] = deque()
    try:
        with _overheard() as heard:
            SparkContext._ensure_initialized()
    except PySparkException as error:
        raise OSError(f"Java did not start: {_reason(heard)}") from error
    finally:
        del os.environ["LC_ALL"]
        if locale is not None:
            os.environ["LC_ALL"] = locale


def leave_others_alone(environ: MutableMapping[str, str]) -> None:
    """Spark is that of the pyspark that was imported, and Java one that is there, even where the
    shell names those of another project."""
    environ.pop("SPARK_HOME", None)
    java_home = environ.get("JAVA_HOME")
    if java_home is not None and not os.access(os.path.join(java_home, "bin", "java"), os.X_OK):
        if java_home:
            say(f"there is no java in JAVA_HOME={java_home}; the one on PATH is used")
        del environ["JAVA_HOME"]


def _new_session(title: str) -> SparkSession:
    """The session that spark-submit configured; under plain python one on all local cores."""
    # Only pyspark's own start of a JVM reads these; under spark-submit there is one already.
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        leave_others_alone(os.environ)
    os.environ.setdefault(
        "PYSPARK_SUBMIT_ARGS",
        f"--name {title} --conf spark.ui.showConsoleProgress=false pyspark-shell",
    )
    _start_java()
    SparkContext._ensure_initialized()
    conf = SparkConf()
    for key, value in CONF.items():
        conf.setIfMissing(key, value)
    if not conf.get("spark.master", "").startswith("k8s"):  # whose pods bring their own
        conf.setIfMissing("spark.executorEnv.LC_ALL", "C.UTF-8")
    spark = SparkSession.builder.config(conf=conf).getOrCreate()
    # Who set a level wants to see all that it shows.
    if spark.conf.get("spark.log.level", None) is None:
        spark.sparkContext.setLogLevel("WARN")
        log4j = java(spark).org.apache.logging.log4j
        for name in TRACES:
            log4j.core.config.Configurator.setLevel(name, log4j.Level.OFF)
    return spark


# -- a run


def run(
    title: str,
    parse: Callable[[], Args],
    job: Callable[[SparkSession, Args], str],
    spark: SparkSession | None = None,
) -> int:
    """Run a job, print the line that it returns, and give the exit code.

    0: done. 2: the input, the output or an argument is wrong, said in one line on stderr.
    1: anything else. That the line did not get to stdout is such a thing; all else is done then.
    A session that is given is used and not stopped.
    """
    _Program.name = title.lower()
    try:
        args = parse()
        line = job(spark, args) if spark else _stoppable(title, job, args)
    except (UserError, TextError) as error:
        say(str(error))
        return 2
    except (KeyboardInterrupt, Stopped) as error:
        say(f"stopped by {error or 'SIGINT'}")
        return 1
    except (PySparkException, Py4JError, OSError) as error:
        say(f"failed: {_nameless_user() or failure(error)}")
        return 1
    if why := _printed(line, sys.stdout):
        say(f"all is done, but its last line did not get to stdout: {why}")
        return 1
    return 0


def _nameless_user() -> str | None:
    """What is wrong with a user id that this machine has no name for; Hadoop's login wants one."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return f"the user id {os.getuid()} has no name in /etc/passwd, and Hadoop's login wants one"
    return None


def _alone(title: str, job: Callable[[SparkSession, Args], str], args: Args) -> str:
    """The job with a session of its own."""
    spark = _new_session(title)
    try:
        return job(spark, args)
    finally:
        with suppress(Exception):  # The JVM may be what died.
            spark.stop()


def _on_sigterm(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped("SIGTERM")


def _stoppable(title: str, job: Callable[[SparkSession, Args], str], args: Args) -> str:
    """`_alone`; a signal cancels what it does, and it takes away what it wrote.

    In a thread: an exception out of a signal handler, amid an exchange with the JVM, would leave
    that exchange broken, and nothing could be taken away any more.
    """
    signal.signal(signal.SIGTERM, _on_sigterm)
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(_alone, title, job, args)
        try:
            return future.result()
        except (KeyboardInterrupt, Stopped):
            for signum in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, signal.SIG_IGN)
            while not wait([future], timeout=0.2).done:
                # Again and again: the next job may only be about to start.
                if context := SparkContext._active_spark_context:
                    with suppress(Exception):
                        context.cancelAllJobs()
            if future.exception() is None:
                return future.result()  # It was done before it could be stopped.
            raise


@contextmanager
def progress(spark: SparkSession, what: str) -> Generator[None]:
    """Say now and then on stderr how many tasks are done while the block runs."""
    tracker = spark.sparkContext.statusTracker()
    started = time.monotonic()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(PROGRESS_EVERY):
            with suppress(Exception):  # No progress is worth a failure.
                stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
                tasks = sum(stage.numTasks for stage in stages if stage)
                ended = sum(stage.numCompletedTasks for stage in stages if stage)
                seconds = time.monotonic() - started
                say(f"{what}: {ended} of {tasks} tasks of this stage, {seconds:.0f} s")

    say(what)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _end_tasks(spark: SparkSession) -> None:
    """Cancel all jobs and wait until no task runs, or a task would write into what is removed."""
    spark.sparkContext.cancelAllJobs()
    tracker = java_context(spark).sc().statusTracker()
    limit = time.monotonic() + TASKS_END_WITHIN
    while time.monotonic() < limit:
        if not any(executor.numRunningTasks() for executor in tracker.getExecutorInfos()):
            return
        time.sleep(0.1)


# -- files: names as users write them, and the output


def local_path(spark: SparkSession, name: str) -> str | None:
    """The path of a name in this machine's own file system; None for one in another."""
    if not name:
        raise UserError("INPUT and OUTPUT: an empty string is no name")
    scheme, colon, path = name.partition(":/")
    if colon and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) and not os.path.lexists(name):
        return re.sub("^//[^/]*", "", f"/{path}") if scheme == "file" else None
    default = java_context(spark).hadoopConfiguration().get("fs.defaultFS", "file:///")
    return name if default.startswith("file:") else None


def locate(spark: SparkSession, name: str) -> tuple[Any, Any]:
    """Hadoop's (FileSystem, Path) of a name."""
    path = java(spark).org.apache.hadoop.fs.Path(name)
    return path.getFileSystem(java_context(spark).hadoopConfiguration()), path


def names_in_java(spark: SparkSession) -> str | None:
    """The encoding of Java's file names where that is not Unicode; spark-submit's user chose it."""
    encoding = java(spark).java.lang.System.getProperty("sun.jnu.encoding")
    return None if encoding == "UTF-8" else encoding


class Output:
    """A folder that must not exist, and is whole or not there.

    `uri` is its name for Spark; `local` its path, where it lies on this machine or a volume of it.
    """

    def __init__(self, spark: SparkSession, name: str) -> None:
        self.spark = spark
        self.name = name
        local = local_path(spark, name)
        self.local = local and os.path.abspath(local)
        self.uri = f"file://{self.local}" if self.local else name
        foreign = names_in_java(spark)
        try:
            name.encode(foreign or "utf-8")
        except UnicodeEncodeError:
            raise UserError(f"{shown(name)}: Spark can make no such name") from None
        if foreign and "?" in name:  # which stands for what did not get here
            raise UserError(f"{name}: Spark's JVM takes names as {foreign}; set LC_ALL=C.UTF-8")
        with about(name):
            self.system, self.path = locate(spark, self.uri)
            self._missing = self._find_missing()

    def _find_missing(self) -> list[Any]:
        """The Paths that are to be made, the folder itself first."""
        if self.system.exists(self.path):
            raise UserError(f"{shown(self.name)}: it exists already")
        missing, path = [], self.path
        while path is not None and not self.system.exists(path):
            missing.append(path)
            path = path.getParent()
        return missing

    @contextmanager
    def made(self) -> Generator[None]:
        """The folder is there in this block, and goes away again if the block fails."""
        try:
            with about(self.name):
                if not self.system.mkdirs(self.path):
                    raise UserError(f"{shown(self.name)}: it cannot be made")
            yield
        except Exception:
            with suppress(Exception):  # What counts is raised.
                _end_tasks(self.spark)
            with suppress(Exception):
                self._unmake()
            raise

    def _unmake(self) -> None:
        """Remove the folder, and those above it that were made and hold nothing else."""
        if self.local:  # That the JVM may be gone is no reason to leave it.
            shutil.rmtree(self.local)
            for _ in self._missing[1:]:
                self.local = os.path.dirname(self.local)
                os.rmdir(self.local)
            return
        self.system.delete(self.path, True)
        for parent in self._missing[1:]:
            self.system.delete(parent, False)

    def parts(self) -> list[str]:
        """The URIs of the part-* files, in their order."""
        found = [status.getPath() for status in self.system.listStatus(self.path)]
        return sorted(p.toString() for p in found if p.getName().startswith("part-"))

    def write(self, name: str, text: str = "") -> None:
        """Write a small file, so that others see it whole or not at all."""
        fs = java(self.spark).org.apache.hadoop.fs
        draft = fs.Path(self.path, f".{name.lstrip('_')}.part")
        stream = self.system.create(draft, True)
        stream.write(bytearray(text, "utf-8"))
        stream.close()
        if not self.system.rename(draft, fs.Path(self.path, name)):
            raise UserError(f"{shown(self.name)}: {name} cannot be written")
