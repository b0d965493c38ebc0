"""When a schedule comes, by Kubernetes' grammar, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from submission.cron import read, zones
from submission.errors import ApplicationError

START = datetime(2026, 3, 27, 12, 0, 30, tzinfo=UTC)  # a Friday


def times(schedule: str, zone: str = "UTC", count: int = 3, start: datetime = START) -> list[str]:
    """The next times, in UTC."""
    found, cron = [], read(schedule, zone)
    for _ in range(count):
        start = cron.after(start) or start
        found.append(f"{start:%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("* * * * *", ["03-27 12:01", "03-27 12:02", "03-27 12:03"]),
        ("*/20 * * * *", ["03-27 12:20", "03-27 12:40", "03-27 13:00"]),
        ("5/25 * * * *", ["03-27 12:05", "03-27 12:30", "03-27 12:55"]),
        ("10-40/15 * ? * ?", ["03-27 12:10", "03-27 12:25", "03-27 12:40"]),
        ("0 3 * * *", ["03-28 03:00", "03-29 03:00", "03-30 03:00"]),
        ("0,30 23 * * *", ["03-27 23:00", "03-27 23:30", "03-28 23:00"]),
        ("0 0 * * MON-wed", ["03-30 00:00", "03-31 00:00", "04-01 00:00"]),
        ("0 0 1 feb,Apr *", ["04-01 00:00", "02-01 00:00", "04-01 00:00"]),
        # Either day is enough where both are restricted, both count where one is not.
        ("0 0 13 * 5", ["04-03 00:00", "04-10 00:00", "04-13 00:00"]),
        ("0 0 13 * *", ["04-13 00:00", "05-13 00:00", "06-13 00:00"]),
        ("0 0 */10 * 1", ["03-30 00:00", "03-31 00:00", "04-01 00:00"]),
        ("0 0 29 2 *", ["02-29 00:00", "02-29 00:00", "02-29 00:00"]),
        ("@hourly", ["03-27 13:00", "03-27 14:00", "03-27 15:00"]),
        ("@daily", ["03-28 00:00", "03-29 00:00", "03-30 00:00"]),
        ("@weekly", ["03-29 00:00", "04-05 00:00", "04-12 00:00"]),
        ("@monthly", ["04-01 00:00", "05-01 00:00", "06-01 00:00"]),
        ("@yearly", ["01-01 00:00", "01-01 00:00", "01-01 00:00"]),
    ],
)
def test_when_it_comes(schedule: str, wanted: list[str]) -> None:
    assert times(schedule) == wanted


def test_an_hour_that_a_night_lacks_is_left_out_and_one_that_comes_twice_counts_twice() -> None:
    assert times("30 2 * * *", "Europe/Berlin") == ["03-28 01:30", "03-30 00:30", "03-31 00:30"]
    autumn = datetime(2026, 10, 24, 12, tzinfo=UTC)
    twice = ["10-25 00:30", "10-25 01:30", "10-26 01:30"]
    assert times("30 2 * * *", "Europe/Berlin", start=autumn) == twice


def test_a_day_begins_when_it_does_in_its_zone() -> None:
    assert times("0 0 * * sat", "Asia/Kolkata", 1) == ["03-27 18:30"]
    # Where midnight is left out, the day begins at one.
    cairo = datetime(2026, 4, 23, 20, tzinfo=UTC)
    assert times("0 * * * fri", "Africa/Cairo", 1, cairo) == ["04-23 22:00"]


def test_what_is_between_two_moments() -> None:
    found = list(read("*/30 * * * *").between(START, START + timedelta(hours=1)))
    assert [f"{at:%H:%M}" for at in found] == ["12:30", "13:00"]


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("", "it has 0 fields and not five: minute, hour, day of the month, month, day of the"),
        ("0 0 3 * * *", "it has 6 fields"),
        ("60 * * * *", "minute 60 is not within 0 to 59"),
        ("* 24 * * *", "hour 24 is not within 0 to 23"),
        ("* * 0 * *", "day of the month 0 is not within 1 to 31"),
        ("* * * 13 *", "month 13 is not within 1 to 12, jan, feb"),
        ("* * * * 7", "day of the week 7 is not within 0 to 6, sun, mon"),
        ("* * * * monday", "day of the week monday is not"),
        ("30-10 * * * *", "minute 30-10 ends before it begins"),
        ("*/0 * * * *", "minute */0 has no step"),
        ("5/ * * * *", "minute 5/ has no step"),
        ("1,,2 * * * *", "minute  is not within"),
        ("-1 * * * *", "minute -1 is not within"),
        ("*-5 * * * *", "minute *-5 is not within"),
        ("1-2-3 * * * *", "minute 1-2-3 is not within"),
        ("٣ * * * *", "minute ٣ is not within"),
        ("@reboot", "@reboot is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight"),
        ("@every 5m", "@every 5m is none of"),
        ("CRON_TZ=Europe/Paris 0 3 * * *", "a setting of its own"),
        ("0 0 31 2,4 *", "such a day never comes"),
    ],
)
def test_what_is_no_schedule(schedule: str, said: str) -> None:
    with pytest.raises(ApplicationError) as caught:
        read(schedule)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_zones_are_those_that_any_machine_has() -> None:
    assert {"UTC", "Europe/Paris", "America/Argentina/Buenos_Aires"} <= zones()
    assert not {"localtime", "Local", "posixrules"} & zones()
