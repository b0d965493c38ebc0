"""What is asked of each application, beside what each of its keys takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

from components.settings.applications import ApplicationSettings
from components.settings.checks import Check
from components.settings.errors import SettingsError, Unrunnable
from components.settings.group import key_of
from components.settings.groups import Groups
from components.settings.kinds import near
from submission.application import Application
from submission.check import check
from submission.errors import ApplicationError
from submission.files import read_files

Fits = Callable[[Groups, str], None]
"""Raises ApplicationError where the application of that name can't run in its place."""

_ELSEWHERE = Application("none", "local:///none.py")


def only_check(settings: Groups, name: str) -> None:
    """As far as it can be told without a place."""
    check(settings.applications[name].application(name))


def of_applications(settings: Groups, fits: Fits) -> Iterator[Check]:
    """The checks of all that there are."""
    for name in settings.applications:
        key = f"applications.{name}"
        yield Check(partial(_require_app, name), f"{key}.app")
        for field in ("app", "files", "pyFiles", "jars", "archives"):
            yield Check(partial(_require_files, name, field), f"{key}.{field}")
        yield Check(partial(_require_namespace, name), f"{key}.namespace", "namespaces")
        for field in ("timeZone", "keep"):
            yield Check(
                partial(_require_schedule, name, field), f"{key}.{field}", f"{key}.schedule"
            )
        others = ("namespaces", "spark", "s3", "storage", "nodes.count", "workers")
        yield Check(partial(_require_fit, name, fits), key, *others)


def _field(key: str) -> str:
    return next(name for name in ApplicationSettings.model_fields if key_of(name) == key)


def _require_app(name: str, settings: Groups) -> None:
    if settings.applications[name].app is None:
        wanted = "set: what runs, a .py, .jar or .R here or a URL"
        raise SettingsError(f"applications.{name}.app", None, wanted)


def _require_files(name: str, key: str, settings: Groups) -> None:
    value: str | tuple[str, ...] = getattr(settings.applications[name], _field(key))
    try:
        read_files(dataclasses.replace(_ELSEWHERE, **{_field(key): value}))
    except ApplicationError as error:
        found = value if isinstance(value, str) else ", ".join(value)
        wanted = f"what is here or a URL; {error}"
        raise SettingsError(f"applications.{name}.{key}", found, wanted) from None


def _require_namespace(name: str, settings: Groups) -> None:
    wanted = settings.applications[name].namespace
    if wanted is None or wanted in settings.namespaces:
        return
    known = ", ".join(sorted(settings.namespaces)) or "none"
    raise SettingsError(
        f"applications.{name}.namespace",
        wanted,
        f"one of the setting `namespaces`{near(wanted, settings.namespaces)}; known: {known}",
    )


def _require_schedule(name: str, key: str, settings: Groups) -> None:
    made = settings.applications[name]
    if made.schedule is None and _field(key) in made.model_fields_set:
        wanted = f"left out without applications.{name}.schedule"
        raise SettingsError(f"applications.{name}.{key}", getattr(made, _field(key)), wanted)


def _require_fit(name: str, fits: Fits, settings: Groups) -> None:
    try:
        fits(settings, name)
    except ApplicationError as error:
        raise Unrunnable(f"applications.{name}", error) from None
