"""The plugin process: `python -m standins.aws ENGINE_ADDRESS`."""

from standins.aws.provider import AwsProvider
from standins.server import run

run(AwsProvider())
