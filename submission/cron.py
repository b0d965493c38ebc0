"""When a schedule comes: Kubernetes' grammar of cron, read and reckoned as its controller does.

Five fields (minute, hour, day of the month, month, day of the week), each `*`, a number, a range, a
step or a list of such, months and days also by name; or a macro such as @daily.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache

from submission.errors import ApplicationError

_MACROS = {
    **dict.fromkeys(("@yearly", "@annually"), "0 0 1 1 *"),
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    **dict.fromkeys(("@daily", "@midnight"), "0 0 * * *"),
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MINUTE = timedelta(minutes=1)
_WITHIN = timedelta(days=5 * 366)
"""What does not come within so long never does, to Kubernetes' controller."""


@dataclass(frozen=True)
class _Field:
    name: str
    least: int
    most: int
    names: Mapping[str, int]


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of the month", 1, 31, {}),
    _Field("month", 1, 12, {name: at for at, name in enumerate(_MONTHS, 1)}),
    _Field("day of the week", 0, 6, {name: at for at, name in enumerate(_DAYS)}),
)


@dataclass(frozen=True)
class Cron:
    """A schedule in its time zone: which numbers each field takes.

    either_day: one of the two kinds of day is enough, since both are restricted.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    zone: zoneinfo.ZoneInfo

    def after(self, moment: datetime) -> datetime | None:
        """The first time after that moment, in UTC; None where none comes within five years."""
        at = moment.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
        end = at + _WITHIN
        while at < end:
            here = at.astimezone(self.zone)
            if not self._is_day(here):
                tomorrow = datetime.combine(here + timedelta(days=1), time(), self.zone)
                at = max(tomorrow.astimezone(UTC), at + _MINUTE)
            elif here.hour not in self.hours:
                at += timedelta(minutes=60 - here.minute)
            elif here.minute not in self.minutes:
                at += _MINUTE
            else:
                return at
        return None

    def between(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """All times after the one and not after the other."""
        at = self.after(first)
        while at is not None and at <= last:
            yield at
            at = self.after(at)

    def _is_day(self, here: datetime) -> bool:
        is_day = here.day in self.days, here.isoweekday() % 7 in self.weekdays
        return here.month in self.months and (any(is_day) if self.either_day else all(is_day))


@cache
def zones() -> frozenset[str]:
    """The names of all time zones, but for the machine's own."""
    return frozenset(zoneinfo.available_timezones() - {"localtime", "Factory"})


def read(schedule: str, zone: str = "UTC") -> Cron:
    """A schedule. Raises ApplicationError for what Kubernetes would refuse, or what never comes."""
    if "TZ" in schedule:
        raise ApplicationError("the time zone is a setting of its own (timeZone)")
    if schedule.startswith("@"):
        if schedule not in _MACROS:
            raise ApplicationError(f"{schedule} is none of {', '.join(_MACROS)}")
        schedule = _MACROS[schedule]
    texts = schedule.split()
    if len(texts) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        raise ApplicationError(f"it has {len(texts)} fields and not five: {names}")
    sets = [_numbers(text, field) for text, field in zip(texts, _FIELDS, strict=True)]
    either = not any(_is_any(texts[at]) for at in (2, 4))
    made = Cron(*sets, either, zoneinfo.ZoneInfo(zone))
    if made.after(datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise ApplicationError("such a day never comes")
    return made


def _is_any(text: str) -> bool:
    return any(part in ("*", "?", "*/1", "?/1") for part in text.split(","))


def _numbers(text: str, field: _Field) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span in ("*", "?"):
            least, most = field.least, field.most
        else:
            least = _number(first, part, field)
            most = _number(last, part, field) if dash else field.most if slash else least
        if least > most:
            raise ApplicationError(f"{field.name} {part} ends before it begins")
        if slash and not re.fullmatch(r"0*[1-9][0-9]{0,3}", step, re.ASCII):
            raise ApplicationError(f"{field.name} {part} has no step: write */5 or 10-40/5")
        found.update(range(least, most + 1, int(step or 1)))
    return frozenset(found)


def _number(text: str, part: str, field: _Field) -> int:
    number = field.names.get(text.lower())
    if number is None and re.fullmatch(r"[0-9]{1,4}", text, re.ASCII):
        number = int(text)
    if number is None or not field.least <= number <= field.most:
        named = f", {', '.join(field.names)}" if field.names else ""
        raise ApplicationError(
            f"{field.name} {part} is not within {field.least} to {field.most}{named}"
        )
    return number
