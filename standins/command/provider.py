"""The provider: no configuration, three resources, no functions."""

from __future__ import annotations

from standins.base import Provider
from standins.command.local import LocalCommand
from standins.command.remote import RemoteCommand
from standins.command.upload import CopyToRemote


class CommandProvider(Provider):
    """Stand-in of pulumi-command, at the version of the installed SDK."""

    name = "command"
    handlers = (RemoteCommand, CopyToRemote, LocalCommand)
