"""What a key takes: numbers, texts and the rest, each as words for people and as a check.

`pulumi config set --path` stores a number with a point as a text, so numbers and switches are
taken from texts; never a text from a number, which may have lost something on its way (1.30).
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import core_schema

from components.settings import java_pattern
from components.settings.kubeconfig import KubeconfigError, current
from spark_jobs.texts import encoding_name
from submission import cron
from submission.errors import ApplicationError
from submission.nodes import require_node_label, taint

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?[0-9]{1,17}(\.[0-9]{1,17})?([eE][-+]?[0-9]{1,3})?")
_BOM = "\ufeff"
_EMPTY = "a text that is not empty"
# No address in these is anybody's: this host, the link, multicast, reserved.
_NOBODYS = [
    ipaddress.IPv4Network(net)
    for net in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
]
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = rf"(?:{_HOST}/)?{_PATH}(?:/{_PATH})*"
_TAG, _DIGEST = r":\w[\w.-]{0,127}", r"@sha256:[0-9a-f]{64}"


class Unfit(ValueError):
    """A value that a key can't take; the message is what it would have to be."""


@dataclass(frozen=True)
class Kind:
    """words: what is taken, for people. take: the value as the program has it, or raises Unfit."""

    words: str
    take: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def _check(self, value: object) -> object:
        try:
            return self.take(value)
        except Unfit:
            raise
        except (ValueError, RecursionError):  # a parser's, which may tell what it has read
            raise Unfit(self.words) from None


def near(word: str, known: Iterable[str]) -> str:
    """In brackets, the one that the word is nearest to by its last part; empty if it is to none."""
    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(_folded(name), name)
    found = difflib.get_close_matches(_folded(word), folded, n=1)
    return f" (did you mean {folded[found[0]]}?)" if found else ""


def _folded(name: str) -> str:
    return re.sub(r"[-_\s]", "", name.rpartition(".")[2]).casefold()


def _trimmed(value: str) -> str:
    """Without what a file or a shell left around it."""
    return value.strip().removeprefix(_BOM).strip()


def whole(least: int, most: int, unit: str = "") -> Kind:
    """A whole number within bounds."""

    def take(value: object) -> int:
        if isinstance(value, str) and _WHOLE.fullmatch(_trimmed(value)):
            value = int(_trimmed(value))
        # bool is an int to Python, not to a person.
        if not isinstance(value, int) or isinstance(value, bool):
            raise Unfit("a whole number")
        if value < least:
            raise Unfit(f"a whole number of at least {least}")
        if value > most:
            raise Unfit(f"a whole number of at most {most}")
        return value

    return Kind(f"{least} to {most} {unit}".strip(), take)


def _take_majority(value: object) -> int:
    count = whole(1, 5).take(value)
    if count % 2 == 0:
        raise Unfit(f"1, 3 or 5: of {count}, etcd can lose no more than of {count - 1}")
    return count


MAJORITY = Kind("1, 3 or 5", _take_majority)


def number(least: float, most: float, unit: str) -> Kind:
    """A number within bounds."""

    def take(value: object) -> float:
        if isinstance(value, str) and _NUMBER.fullmatch(_trimmed(value)):
            value = float(_trimmed(value))
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Unfit("a number")
        if not least <= value <= most:  # nor is NaN
            raise Unfit(f"a number above 0, from {least:g} to {most:g} ({unit})")
        return float(value)

    return Kind(f"{least:g} to {most:g} {unit}", take)


def _take_switch(value: object) -> bool:
    if isinstance(value, str) and _trimmed(value).lower() in ("true", "false"):
        value = _trimmed(value).lower() == "true"
    if not isinstance(value, bool):
        raise Unfit("true or false")
    return value


SWITCH = Kind("true or false", _take_switch)


def _lines(value: object, words: str = "a text") -> str:
    """A text, as its file would have it on this system: no byte order mark, no CR LF."""
    if not isinstance(value, str):
        number = isinstance(value, int | float)
        raise Unfit(f"{words}, in quotes" if number else "a text")
    value = value.removeprefix(_BOM).replace("\r\n", "\n").rstrip("\r")
    if not value:
        raise Unfit(_EMPTY)
    if re.search("[\0\ud800-\udfff]", value):
        raise Unfit("a text in Unicode, without NUL")
    return value


def _line(value: object, words: str = "a text") -> str:
    """A text on one line, without what was around it by accident."""
    line = _trimmed(_lines(value, words))
    if not line:
        raise Unfit(_EMPTY)
    return line


def text(words: str, shape: str = r"[!-~]+") -> Kind:
    """A text of that shape (a regular expression of ASCII)."""

    def take(value: object) -> str:
        line = _line(value, words)
        if not re.fullmatch(shape, line, re.ASCII):
            raise Unfit(words)
        return line

    return Kind(words, take)


def _take_path(value: object) -> str:
    """Blanks may be part of a name; line ends and what can't be printed are not."""
    path = _lines(value).rstrip("\n")
    if not path.strip():
        raise Unfit(_EMPTY)
    if not path.isprintable():
        raise Unfit("a path, without characters that can't be printed")
    return path


def path(words: str) -> Kind:
    """A path, here or elsewhere."""
    return Kind(words, _take_path)


def choice(*names: str) -> Kind:
    """One of these."""
    words = " or ".join(names)

    def take(value: object) -> str:
        line = _line(value, words)
        if line not in names:
            raise Unfit(words + near(line, names))
        return line

    return Kind(words, take)


def ipv4_range(words: str, largest: int, smallest: int) -> Kind:
    """An IPv4 range as AWS and Kubernetes write it: address/bits, no bits of a host."""

    def take(value: object) -> str:
        like = "an IPv4 range such as 10.42.0.0/16"
        line = _line(value, like)
        try:
            net = ipaddress.IPv4Network(line, strict=False)
        except ValueError:
            raise Unfit(like) from None
        if str(net) != line:
            has_host_bits = line == f"{line.partition('/')[0]}/{net.prefixlen}"
            why = f"{line} has host bits set; " if has_host_bits else ""
            raise Unfit(f"{like} ({why}did you mean {net}?)")
        if not largest <= net.prefixlen <= smallest:
            raise Unfit(words)
        if any(net.subnet_of(special) for special in _NOBODYS):
            raise Unfit(f"{words}, of addresses that hosts can have")
        return line

    return Kind(words, take)


def _take_url(value: object) -> str:
    line = _line(value, URL.words)
    try:
        # The port is looked at only when it is asked for.
        whole = bool(urlsplit(line).hostname) and urlsplit(line).port != 0
    except ValueError:
        whole = False
    if not whole or not re.fullmatch(r"https?://[!-~]+", line) or re.search(r"""['"\\?#]""", line):
        raise Unfit(URL.words)
    return line


URL = Kind("an http or https URL", _take_url)
IMAGE = text(
    "an image with a tag (name:1.2) or a digest (name@sha256:...)",
    rf"{_IMAGE}(?:{_TAG}(?:{_DIGEST})?|{_DIGEST})",
)
SECRET = text("a key, without blanks")


def _take_kubeconfig(value: object) -> str:
    content = _lines(value)
    try:
        current(content)
    except KubeconfigError as error:
        raise Unfit(str(error)) from None
    return content


KUBECONFIG = Kind("a kubeconfig file's content", _take_kubeconfig)


def _take_pattern(value: object) -> str:
    pattern = _lines(value).rstrip("\n")
    if not pattern:
        raise Unfit(_EMPTY)
    if problem := java_pattern.problem(pattern):
        raise Unfit(f"a regular expression of Java's ({problem})")
    return pattern


PATTERN = Kind("a regular expression of Java's", _take_pattern)


def _take_encoding(value: object) -> str:
    line = _line(value)
    try:
        encoding_name(line)
    except ValueError:
        raise Unfit(ENCODING.words) from None
    return line


ENCODING = Kind("the name of a text encoding such as iso-8859-1", _take_encoding)


def _word(value: object) -> str:
    """A text as it stands. Of a number or a switch `pulumi config set` makes what YAML has."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise Unfit("a text, in quotes")
    if re.search("[\0\ud800-\udfff]", value):
        raise Unfit("a text in Unicode, without NUL")
    return value


def texts(words: str) -> Kind:
    """A list of texts, as a tuple."""

    def take(value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise Unfit(words)
        return tuple(map(_word, value))

    return Kind(words, take)


def _named_texts(value: object, words: str, one: str) -> dict[str, str]:
    """A text by each name; one: how to write a name that has points in it."""
    if not isinstance(value, Mapping):
        raise Unfit(words)
    for name, text_ in value.items():
        if isinstance(text_, Mapping):  # a path took the points of a name for its own
            raise Unfit(f'a text for each: write {one}["{name}...."]')
    return {str(name): _word(text_) for name, text_ in value.items()}


def _take_properties(value: object) -> dict[str, str]:
    return _named_texts(value, PROPERTIES.words, "conf")


PROPERTIES = Kind("properties of Spark, each with its text", _take_properties)


def _take_labels(value: object) -> dict[str, str]:
    found = _named_texts(value, LABELS.words, "labels")
    try:
        for name, text_ in found.items():
            require_node_label(name, text_)
    except ApplicationError as error:
        raise Unfit(f"{LABELS.words}; {error}") from None
    return found


LABELS = Kind("labels of Kubernetes, each with its text", _take_labels)


def _take_taints(value: object) -> tuple[str, ...]:
    found = texts(TAINTS.words).take(value)
    try:
        taints = [taint(text) for text in found]
    except ApplicationError as error:
        raise Unfit(f"{TAINTS.words}; {error}") from None
    kinds = {(one["key"], one["effect"]) for one in taints}
    if len(kinds) < len(taints):
        raise Unfit(f"{TAINTS.words}, each key and effect once")
    return found


TAINTS = Kind("a list of taints, each KEY[=VALUE]:EFFECT", _take_taints)


def _take_schedule(value: object) -> str:
    line = _line(value, SCHEDULE.words)
    try:
        cron.read(line)
    except ApplicationError as error:
        raise Unfit(f"{SCHEDULE.words}; {error}") from None
    return line


SCHEDULE = Kind('a schedule of cron\'s such as "0 3 * * *" or @daily', _take_schedule)


def _take_zone(value: object) -> str:
    line = _line(value, ZONE.words)
    if line not in cron.zones():
        raise Unfit(ZONE.words + near(line, sorted(cron.zones())))
    return line


ZONE = Kind("a time zone such as Europe/Paris", _take_zone)
