"""The plugin process: `python -m standins.command ENGINE_ADDRESS`."""

from ..base import serve
from .provider import CommandProvider

serve(CommandProvider())
