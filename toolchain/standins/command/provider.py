"""The provider: no configuration, three resources, no functions."""

from __future__ import annotations

from ..base import Provider
from .local import LocalCommand
from .remote import RemoteCommand
from .upload import CopyToRemote


class CommandProvider(Provider):
    """Stand-in of pulumi-command, at the version of the installed SDK."""

    name = "command"
    handlers = (RemoteCommand, CopyToRemote, LocalCommand)
