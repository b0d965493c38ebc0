"""The files of an application: which go along with it, and where its pods have them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from spark_jobs.texts import open_text
from submission.application import Application
from submission.errors import ApplicationError

FILES_PATH = "/opt/tinderbox/app"
"""Where the driver's pod has the files that came from here."""
DRIVER_TEMPLATE, EXECUTOR_TEMPLATE = "driver-pod.json", "executor-pod.json"
_OWN_FILES = (DRIVER_TEMPLATE, EXECUTOR_TEMPLATE)
_SCHEMES = ("local", "file", "http", "https", "s3a", "hdfs")


def dependencies(application: Application) -> dict[str, tuple[str, ...]]:
    """spark-submit's options for what an application brings along."""
    return {
        "--files": application.files,
        "--py-files": (*application.py_files, *_imported(application)),
        "--jars": application.jars,
        "--archives": application.archives,
    }


def _imported(application: Application) -> tuple[str, ...]:
    """The modules beside a Python program here that it imports, as it finds them by hand."""
    if is_url(application.app) or Path(application.app).suffix != ".py":
        return ()
    found = [Path(application.app)]
    for file in found:  # which grows
        beside = (file.with_name(f"{name}.py") for name in _imports(file))
        found += [module for module in dict.fromkeys(beside) if module not in found]
    named = {_here(name).name for name in application.py_files}
    return tuple(str(file) for file in found[1:] if file.name not in named)


def _imports(file: Path) -> Iterator[str]:
    """The modules beside a Python file that it imports."""
    try:
        with open_text(str(file)) as stream:
            names = _imported_names(stream.read())
    except (OSError, SyntaxError, ValueError):
        return  # Whoever needs the file says what is wrong with it.
    yield from (name for name in names if file.with_name(f"{name}.py").is_file())


@cache
def _imported_names(source: bytes) -> tuple[str, ...]:
    """The modules that a program imports, by their first names; remembered, as it is asked often.

    Raises SyntaxError or ValueError where it is no Python.
    """
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return tuple(name.partition(".")[0] for name in names)


def is_url(name: str) -> bool:
    """True for what Spark fetches or finds by itself, false for a file here."""
    scheme, found, _ = name.partition("://")
    return bool(found) and scheme in _SCHEMES


def _here(name: str) -> Path:
    """The file that a name means; `#NAME`, which archives may end with, is Spark's."""
    return Path(name.partition("#")[0])


def inside(name: str) -> str:
    """What a file here, or a URL, is called in the driver's pod."""
    if is_url(name):
        return name
    path, mark, alias = name.partition("#")
    return f"{FILES_PATH}/{Path(path).name}{mark}{alias}"


def read_files(application: Application) -> dict[str, bytes]:
    """The content of all files here that the application needs, by name.

    Raises ApplicationError for one that is not there, or has a name that can't be taken along.
    """
    names = [application.app, *(n for names in dependencies(application).values() for n in names)]
    carried: dict[str, bytes] = {}
    for name in names:
        if is_url(name):
            continue
        if "://" in name:
            known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
            raise ApplicationError(f"{name} is no file here and none of {known}")
        file = _here(name)
        if not re.fullmatch(r"[-._a-zA-Z0-9]+", file.name) or file.name in _OWN_FILES:
            raise ApplicationError(f"{name}: a ConfigMap takes no such name; rename the file")
        try:
            with open_text(str(file)) as stream:
                content = stream.read()
        except OSError as error:
            raise ApplicationError(f"{name} can't be read: {error.strerror}") from None
        if carried.setdefault(file.name, content) != content:
            raise ApplicationError(f"{name}: another file here has the name {file.name}, too")
    return carried
