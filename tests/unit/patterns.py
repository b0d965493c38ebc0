"""Regular expressions that Java takes and such that it does not (tests/jobs asks Java itself)."""

from __future__ import annotations

import random

GOOD = (
    r"\p{L}+",
    r"[\p{L}\p{Nd}'’-]+",
    r"\p{IsAlphabetic}++",
    r"\p{javaLetter}\pL\P{script=Latin}\p{alpha}",
    r"(?<word>\w+)-\k<word>",
    r"(?i)(?:a|b)*?(?=c)(?!d)(?<=e)(?<!f)(?>g)",
    r"(?i-s:a)\b{g}\R\h\H\v\V\X\G\A\z\Z",
    r"[a-z&&[^aeiou]&&[a-m]]",
    r"[]a](b]})",
    r"[^]\-\]^a-]",
    r"[a[b-d[e]]&&f]",
    r"\Q(*[\E+",
    r"[\Q]^\E]\Q1",
    r"\x41\x{1F600}\u00e9\0101\cA\e\t\-\é",
    r"a{2}{3}b{2,}?c{1,2}+",
    r"^*$+|",
    r"(|a|)()",
    r"\1\9(a)",
    r"(?x) a # ( opens nothing",
    r"\N{LATIN SMALL LETTER A}[\N{DIGIT ONE}-\x{ffff}]",
    "é+😀?[😀-😂]",
    "",
)
BAD = (
    "(",
    "a)",
    "(?<a>b",
    "[a",
    "[]",
    "[^]",
    "[a&&",
    "[&&]",
    "*a",
    "a|+",
    "a**",
    "(?i)*",
    "{a",
    "a{",
    "a{1",
    "a{,2}",
    "a{2,1}",
    "a{99999999999}",
    "(?",
    "(?y)",
    "(?P<a>b)",
    "(?#c)",
    "(?<1>b)",
    "(?<a>b)(?<a>c)",
    r"\k<a>",
    r"(?'a'b)",
    r"\g<1>",
    r"\y",
    "a\\",
    r"\E",
    r"\x4",
    r"\x{110000}",
    r"\u12",
    r"\08",
    r"\c",
    r"\p",
    r"\p{",
    r"\p{}",
    r"\p{Foo}",
    r"\pX",
    r"\b{w}",
    r"\N",
    r"[z-a]",
    r"[a-\d]",
    r"[\b]",
    r"[\1]",
    r"[\x{110000}]",
)
_PARTS = (
    *"abAZ019-.^$|()[]{}*+?\\,<>=!:&# é😀",
    *("(?:", "(?=", "(?!", "(?>", "(?<n>", "(?<m1>", "(?i)", "(?i-s:", "(?", "(?<", "[^", "&&"),
    *("{2}", "{2,}", "{2,3}", "{3,2}", "{,3}", "*+", "??", r"\d", r"\W", r"\p{L}", r"\pL", r"\p{"),
    *(r"\p{Alpha}", r"\p{Foo}", r"\b", r"\b{g}", r"\Q", r"\E", r"\x41", r"\x{1F600}", r"\u0041"),
    *(r"\01", r"\0", r"\cA", r"\1", r"\k<n>", r"\k<q>", r"\h", r"\v", r"\R", r"\y", r"\-", r"\]"),
)
_AROUND = ("{}", "({})", "[{}]", "(?<n>{})+", "[^{}]*", "[a&&{}]", "[{}&&[^b]]", "[a-{}]", "[{}-z]")


def made_up(count: int) -> list[str]:
    """Patterns by chance, the same ones each time."""
    chance = random.Random(1)
    return [
        chance.choice(_AROUND).replace(
            "{}", "".join(chance.choices(_PARTS, k=chance.randint(1, 6)))
        )
        for _ in range(count)
    ]
