"""Java's regular expressions for words: which are right, and what they may match.

Only pyspark and the standard library, Python 3.10: it goes into a cluster beside the job.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from careful import UserError, causes, java, root_cause
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

#: What a pattern may be made of, so that it surely matches no whitespace and looks at none.
_PIECE = r"""(?x:
    [^\s\\\[\](){}^$.|?*+]                              # a character
  | \\[wdSbB\\.\-+*?|(){}\[\]^$]
  | \[ (?: \\[wdS\\.\-\]\[] | [a-zA-Z0-9]-[a-zA-Z0-9] | [^\s\\\[\]^&-] )+ -? \]
  | \(\?: | \( (?!\?) | \) | \| | [*+?] | \{\d+(?:,\d*)?\}
)"""


def may_match_whitespace(pattern: str) -> bool:
    """Whether a text must not be cut at whitespace to find this pattern; True in case of doubt."""
    return re.fullmatch(f"{_PIECE}+", pattern) is None


def check_pattern(spark: SparkSession, pattern: str) -> None:
    """UserError unless Java takes the regex."""
    try:
        java(spark).java.util.regex.Pattern.compile(f"(?U){pattern}")
    except (Py4JJavaError, PySparkException) as error:
        # The index in the message counts the prefix, too: of no use to the user.
        reason = root_cause(error).partition(" near index")[0]
        raise UserError(f"--pattern {pattern}: {reason}") from error


@contextmanager
def about_the_pattern(pattern: str) -> Generator[None]:
    """Java's regex engine goes one call deeper for each round of a group; that is the pattern's."""
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        if any("StackOverflowError" in message for message in causes(error)):
            raise UserError(
                f"--pattern {pattern}: a word of this text is too long for Java, which runs out of"
                r" stack in a group that repeats; [\w-]+ does what (?:\w|-)+ does, without a group"
            ) from error
        raise
