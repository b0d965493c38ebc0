"""The plugin process: `python -m standins.aws ENGINE_ADDRESS`."""

from ..base import serve
from .provider import AwsProvider

serve(AwsProvider())
