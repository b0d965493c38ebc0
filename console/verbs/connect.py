"""`make connect`: forwards Spark Connect to this machine, and says how Python gets there."""

from __future__ import annotations

import argparse
import threading

from console.cluster import connect_spark
from console.session import Server, forwarded
from console.stack import Stack
from console.verb import Verb


def run(options: argparse.Namespace) -> None:
    """Forwards until it is interrupted. Raises ConsoleError where there is no server."""
    stack = Stack(options.stack)
    cluster, _ = connect_spark(stack)
    try:
        with forwarded(stack, cluster) as server:
            print(told(server), flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        print()


def told(server: Server) -> str:
    """What Python needs to get there. The token is shown here, as it is asked for, and nowhere."""
    return f"""\
Spark Connect of Spark {server.spark}, here until Ctrl-C:
{server.url}

In Python, after pip install pyspark-client=={server.spark} (functions of yours that Spark is to run
need Python {server.python}, as the image has it):

from pyspark.sql import SparkSession
spark = SparkSession.builder.remote("{server.url}").getOrCreate()
"""


VERB = Verb(
    what="Forwards Spark Connect to this machine and prints how Python gets there, until Ctrl-C.",
    examples=("", "--stack dev"),
    run=run,
    shows=True,
)
