"""Whether Java takes a regular expression: Spark's workers would say so only when all is there.

Follows java.util.regex.Pattern. What it can't judge it takes: names of characters, scripts, blocks
and binary properties (Java's Unicode is not Python's), the length of look-behinds (Java's releases
differ there), and what comes after the flag x.
"""

from __future__ import annotations

import math
import re

_NAME = r"[A-Za-z][A-Za-z0-9]*"
_CATEGORIES = (
    "L|M|N|Z|C|P|S|Cn|Lu|Ll|Lt|Lm|Lo|Mn|Me|Mc|Nd|Nl|No|Zs|Zl|Zp|Cc|Cf|Co|Cs|Pd|Ps|Pe|Pc|Po|Sm|Sc|Sk"
    "|So|Pi|Pf|LC|LD|L1|all|ASCII"
)
# Their case doesn't count under the flag U, which spark_jobs/wordcount.py sets.
_POSIX = "Alnum|Alpha|Blank|Cntrl|Digit|Graph|Lower|Print|Punct|Space|Upper|XDigit"
_PROPERTY = (
    rf"[pP](?:[LMNZCPS]|\{{(?:{_CATEGORIES}|(?i:{_POSIX})|(?:In|Is|java)[^}}=]+"
    r"|(?i:script|sc|block|blk|general_category|gc)=[^}]+)\})"
)
_CHARACTER = (
    r"0(?P<octal>[0-3]?[0-7]{1,2})|[xu](?P<hex>(?<=x)[0-9A-Fa-f]{2}|(?<=u)[0-9A-Fa-f]{4})"
    r"|x\{(?P<point>[0-9A-Fa-f]+)\}|c(?P<control>.)|(?P<named>N\{[^}]+\})|(?P<itself>[aefnrt]|[^A-Za-z0-9])"
)
_IN_CLASS = re.compile(rf"\\(?:{_CHARACTER}|(?P<set>[DHSVWdhsvw]|{_PROPERTY}))", re.S)
_OUTSIDE = re.compile(
    rf"\\(?:{_CHARACTER}|[ABDGHRSVWZdhsvwz]|b(?:\{{g\}})?|{_PROPERTY}"
    rf"|X|[1-9]|k<(?P<name>{_NAME})>)",
    re.S,
)
_GROUP = re.compile(
    rf"\((?:\?(?:<?[=!]|[:>]|<(?P<name>{_NAME})>"
    r"|(?P<on>[imsducxU]*)(?:-[imsducxU]*)?(?P<end>[:)])))?"
)
_TIMES = re.compile(r"(?:[?*+]|\{([0-9]+)(?:,([0-9]*))?\})[?+]?")
_LITERAL = {"a": 7, "e": 27, "f": 12, "n": 10, "r": 13, "t": 9}
_MOST = 2**31 - 1
_LAST = 0x10FFFF


def problem(pattern: str) -> str | None:
    """What is wrong with the pattern, in words; None for one that Java takes."""
    try:
        _Reader(_unquoted(pattern)).read()
    except _Wrong as wrong:
        return str(wrong)
    except RecursionError:
        return "its groups are too deep"
    except _Unsure:
        pass
    return None


class _Wrong(Exception):
    """Java would not take it."""


class _Unsure(Exception):
    """What follows can't be judged here."""


def _unquoted(pattern: str) -> str:
    r"""What is between \Q and \E (or the end) as so many characters that mean themselves."""

    def plain(found: re.Match[str]) -> str:
        if found["quoted"] is None:
            return found[0]
        marked = re.sub(r"[^A-Za-z0-9\x80-\U0010ffff]", r"\\\g<0>", found["quoted"])
        return re.sub(r"[0-9]", r"\\x3\g<0>", marked)

    return re.sub(r"\\Q(?P<quoted>.*?)(?:\\E|\Z)|\\.", plain, pattern, flags=re.S)


class _Reader:
    """Reads a pattern from left to right, as Java does."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._names: set[str] = set()

    def read(self) -> None:
        self._alternatives()
        if self._at < len(self._text):
            raise _Wrong("a ) without its (")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, shape: re.Pattern[str], wrong: str) -> re.Match[str]:
        found = shape.match(self._text, self._at)
        if not found:
            raise _Wrong(wrong)
        self._at = found.end()
        return found

    def _alternatives(self) -> None:
        """Reads up to the end or a )."""
        while self._peek() not in ("", ")"):
            self._item()

    def _item(self) -> None:
        first = self._peek()
        if first in "*+?":
            raise _Wrong(f"nothing that {first} could repeat")
        if first == "(":
            found = self._take(_GROUP, "")
            if found["end"] == ")":
                self._flags(found)
                return
            self._group(found)
        elif first == "[":
            self._class()
        elif first == "\\":
            self._escape()
        elif first != "{":
            self._at += 1
        if first != "|" and self._peek() in ("?", "*", "+", "{"):
            self._times()

    def _times(self) -> None:
        found = self._take(_TIMES, "a { that begins no {number} or {from,to}")
        least, most = found[1], found[2]
        if least and int(most or least) < int(least) or int(most or least or 0) > _MOST:
            raise _Wrong(f"{found[0]} repeats from more to less, or too often")

    def _flags(self, found: re.Match[str]) -> None:
        if "x" in (found["on"] or ""):
            raise _Unsure

    def _group(self, found: re.Match[str]) -> None:
        if found[0] == "(" and self._peek() == "?":
            raise _Wrong("a (? that begins no kind of group")
        self._flags(found)
        if name := found["name"]:
            if name in self._names:
                raise _Wrong(f"two groups named {name}")
            self._names.add(name)
        self._alternatives()
        if self._peek() != ")":
            raise _Wrong("a ( without its )")
        self._at += 1

    def _escape(self) -> None:
        found = self._take(_OUTSIDE, self._no_escape())
        if found["name"] and found["name"] not in self._names:
            raise _Wrong(f"no group named {found['name']} before \\k")
        self._value(found)

    def _no_escape(self) -> str:
        return f"{self._text[self._at : self._at + 2]} is no escape there"

    def _class(self, closes: bool = True) -> None:
        """Reads a class; closes: with its ], which else the class around it reads."""
        self._at += 1
        if self._text[self._at - 1] == "[" and self._peek() == "^":
            self._at += 1
        has_members = False
        while True:
            first = self._peek()
            if not first:
                raise _Wrong("a [ without its ]")
            if first == "]" and has_members:
                self._at += closes
                return
            if first == "[":
                self._class()
            elif self._text.startswith("&&", self._at):
                self._at += 2
                if not self._other_side() and not has_members:
                    raise _Wrong("a && with nothing beside it")
            else:
                self._range()
            has_members = True

    def _other_side(self) -> bool:
        """Reads what is after &&; whether there is anything."""
        has_members = False
        while self._peek() not in ("]", "&"):
            opens = self._peek() == "["
            if not opens:
                self._at -= 1  # as if there were one
            self._class(closes=opens)
            has_members = True
        return has_members

    def _range(self) -> None:
        low = self._member()
        after = self._text[self._at + 1 : self._at + 2]
        if low is None or self._peek() != "-" or after in ("[", "]"):
            return
        self._at += 1
        high = self._member()
        if high is None or high < low:
            raise _Wrong("a range in [] from more to less, or to no character")

    def _member(self) -> float | None:
        """The character that is read, or None for a set of them."""
        if self._peek() != "\\":
            self._at += 1
            return ord(self._text[self._at - 1 : self._at] or "\0")
        before = self._text[self._at : self._at + 3]
        found = self._take(_IN_CLASS, self._no_escape())
        if before == "\\v-":
            return 11  # a tab, and no set, where a range begins
        return self._value(found)

    @staticmethod
    def _value(found: re.Match[str]) -> float | None:
        """The character that an escape is; None for a set."""
        if found["named"]:
            return math.nan  # in no order with others
        if found["octal"]:
            return int(found["octal"], 8)
        if digits := found["hex"] or found["point"]:
            if int(digits, 16) > _LAST:
                raise _Wrong(f"{found[0]} is no character")
            return int(digits, 16)
        if found["control"]:
            return ord(found["control"]) ^ 64
        if found["itself"]:
            return _LITERAL.get(found["itself"], ord(found["itself"]))
        return None
