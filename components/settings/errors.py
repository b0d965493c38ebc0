"""A wrong setting in one line: its key, what was found, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pulumi

PROJECT = "tinderbox"
# What is found there must be in no message, whatever is wrong with it.
SECRETS = (
    "aws.accessKey",
    "aws.secretKey",
    "cluster.kubeconfig",
    "s3.accessKey",
    "s3.secretKey",
)
# More of a value than this tells nobody more.
_LONGEST = 200


class Hidden:
    """In place of a value that the user keeps encrypted."""


class SettingsError(pulumi.RunError):
    """A setting is wrong. Pulumi prints it as one line, without a traceback."""

    def __init__(self, key: str, found: object, wanted: str) -> None:
        super().__init__(f"{PROJECT}:{key} is {_shown(key, found)}; it must be {wanted}")
        self.key, self.wanted = key, wanted


class UnknownSetting(SettingsError):
    """There is no such key."""

    def __init__(self, key: str, known: Iterable[str], hint: str, why: str) -> None:
        line = f"{PROJECT}:{key} is not a setting{hint}; known here: {', '.join(known)}{why}"
        pulumi.RunError.__init__(self, line)
        self.key = key


class Unrunnable(SettingsError):
    """An application whose keys are each right, and that can't be run all the same."""

    def __init__(self, key: str, why: Exception) -> None:
        pulumi.RunError.__init__(self, f"{PROJECT}:{key} can't be run: {why}")
        self.key = key


class WrongSettings(SettingsError):
    """All settings that are wrong, a line for each."""

    def __init__(self, errors: Iterable[pulumi.RunError]) -> None:
        pulumi.RunError.__init__(self, "\n".join(str(error) for error in errors))


def _shown(key: str, found: object) -> str:
    if found is not None and (key in SECRETS or found is Hidden):
        return "not right"
    if isinstance(found, Mapping):
        return "an object"
    # A URL may hold a password, too.
    text = re.sub(r"//[^/@\s]*@", "//...@", repr(found))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
