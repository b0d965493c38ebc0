"""The plugin process: `python -m standins.command ENGINE_ADDRESS`."""

from standins.command.provider import CommandProvider
from standins.server import run

run(CommandProvider())
