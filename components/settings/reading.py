"""Settings: read from Pulumi's configuration and checked; all that is wrong is said at once."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self

import pulumi
from pulumi.runtime import config as runtime_config
from pydantic import ValidationError

from components.settings import packages
from components.settings.application_checks import Fits, of_applications, only_check
from components.settings.checks import ACROSS, Check, faults
from components.settings.errors import (
    PROJECT,
    SECRETS,
    Hidden,
    SettingsError,
    UnknownSetting,
    WrongSettings,
)
from components.settings.groups import Groups, keys, named
from components.settings.kinds import near


class Settings(Groups):
    """All settings of a stack, checked one by one and against each other."""

    @classmethod
    def load(cls, fits: Fits = only_check) -> Self:
        """The settings of the stack that runs. Raises `SettingsError` that names all bad ones.

        fits: whether an application of theirs can run where it is to.
        """
        config = _project_config()
        # A secret among the values is why an object is encrypted; else any of them may be one.
        told = {key.partition(".")[0] for key in SECRETS if _has(config, key)}
        hidden = {
            name
            for name in config
            if runtime_config.is_config_secret(f"{PROJECT}:{name}") and name not in told
        }
        more = (_PLACEHOLDER, packages.CHECK, *([_PLAIN] if "applications" in hidden else []))
        return cls._checked(config, hidden, (*ACROSS, *more), fits)

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Self:
        """Settings from the project's configuration: {object: {key: value}}, as JSON has them."""
        return cls._checked(config, (), ACROSS)

    @classmethod
    def _checked(
        cls,
        config: Mapping[str, Any],
        hidden: Collection[str],
        checks: Iterable[Check],
        fits: Fits = only_check,
    ) -> Self:
        wrong: list[SettingsError] = []
        try:
            settings = cls.model_validate(config, by_alias=True, by_name=False)
        except ValidationError as error:
            found = error.errors(include_url=False)
            wrong = [_fault(fault, hidden) for fault in found]
            # What is right besides is checked as well.
            rest = _without(config, [_path(fault) for fault in found])
            settings = cls.model_validate(rest, by_alias=True, by_name=False)
        checks = (*checks, *of_applications(settings, fits))
        for error in faults(settings, checks, {error.key for error in wrong}):
            secret = error.key.partition(".")[0] in hidden
            wrong.append(SettingsError(error.key, Hidden, error.wanted) if secret else error)
        if wrong:
            raise WrongSettings(wrong)
        return settings


def _path(fault: Any) -> tuple[str, ...]:
    """Where in the configuration; a name of the user's choice is a key and no value there."""
    return tuple(str(part) for part in fault["loc"] if part != "[key]")


def _fault(fault: Any, hidden: Collection[str]) -> SettingsError:
    """pydantic's account of a fault, as a line of ours."""
    path, found = _path(fault), fault["input"]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        return _unknown(path)
    if fault["type"] != "value_error":
        # Not the value: there may be a secret in it.
        wanted = f"an object: pulumi config set --path {key}.KEY VALUE"
        return SettingsError(key, type(found).__name__, wanted)
    shown = path[0] if fault["loc"][-1] == "[key]" else key
    error = SettingsError(shown, Hidden if path[0] in hidden else found, str(fault["ctx"]["error"]))
    error.key = key  # of a name that is wrong nothing follows for the others
    return error


def _unknown(path: tuple[str, ...]) -> UnknownSetting:
    *above, name = path
    if len(above) > 1 and above[0] in named():
        above[1] = "NAME"
    prefix = "".join(f"{part}." for part in above)
    found = [key for key in keys() if key.startswith(prefix)]
    known = sorted(found if above else {key.partition(".")[0] for key in found})
    if len(path) == 1 and name.partition(".")[0] in known:
        hint, why = "", " (it was set without --path)"
    else:
        elsewhere = [key for key in keys() if key.endswith(f".{name}") and "NAME" not in key]
        hint = near(name, elsewhere) or near(name, known) or near(name, keys())
        why = ""
    return UnknownSetting(".".join(path), known, hint, why)


def _without(config: Any, paths: list[tuple[str, ...]]) -> Any:
    """The configuration without what is at these paths."""
    if not isinstance(config, Mapping):
        return config
    return {
        key: _without(value, [path[1:] for path in paths if path[0] == key])
        for key, value in config.items()
        if (key,) not in paths
    }


def _has(config: Mapping[str, Any], key: str) -> bool:
    group, _, name = key.partition(".")
    values = config.get(group)
    return isinstance(values, Mapping) and name in values


def _refuse_placeholder(settings: Groups) -> None:
    """A preview may show the shipped placeholder's plan; nothing may be created with it."""
    if settings.cluster.kubeconfig is not None or not settings.network.operator_is_a_placeholder:
        return
    error = SettingsError(
        "network.operatorCidr",
        settings.network.operator_cidr,
        "your own address: pulumi config set --path network.operatorCidr ADDRESS/32",
    )
    if not pulumi.runtime.is_dry_run():
        raise error
    pulumi.log.warn(str(error))


_PLACEHOLDER = Check(_refuse_placeholder, "network.operatorCidr", "cluster.kubeconfig")


def _refuse_encrypted(settings: Groups) -> None:
    """All of an application is in its Job, as it stands."""
    raise SettingsError(
        "applications",
        Hidden,
        "plain, with no secret in it: name the key of a Secret in the cluster, by"
        " spark.kubernetes.driver.secretKeyRef.VARIABLE=SECRET:KEY in conf",
    )


_PLAIN = Check(_refuse_encrypted)


def _project_config() -> dict[str, Any]:
    """The project's whole configuration, {object: {key: value}}, also keys that nobody asks for.

    Pulumi's Config answers for one key at a time, which lets a misspelt one pass unseen.
    """
    prefix = f"{PROJECT}:"
    known = {**runtime_config.get_config_env(), **runtime_config.CONFIG.get()}
    return {
        key.removeprefix(prefix): _from_json(text)
        for key, text in known.items()
        if key.startswith(prefix)
    }


def _from_json(text: str) -> object:
    """Objects come as JSON; what is no JSON is a text, which no setting of that name is."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of two keys of one name json itself would keep the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise pulumi.RunError(f"{PROJECT}: a setting has the key {twice} twice")
    return found
