"""The clock of rounds: five fields as cron reads them, in UTC."""

from __future__ import annotations

import re
from datetime import UTC

from apscheduler.triggers.cron import CronTrigger

from nhan.errors import SettingsError

# As cron counts; the scheduler begins with Monday, so it is given names.
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?P<first>\*|[0-7]|[a-z]{3})(?:-(?P<last>[0-7]|[a-z]{3}))?(?:/(?P<step>\d+))?")


def cron_trigger(text: str) -> CronTrigger:
    """A trigger for `minute hour day month weekday`, in UTC; 0 and 7 are Sunday.

    Where both day and weekday are given, both must fit.

    Raises:
        SettingsError: it is none.
    """
    try:
        fields = text.split()
        fields[4:5] = map(_named, fields[4:5])  # their number is checked below
        return CronTrigger.from_crontab(" ".join(fields), timezone=UTC)
    except ValueError as error:
        raise SettingsError(
            f"loop.cron = {text!r}: {error}",
            hint='minute hour day month weekday, in UTC, e.g. "0 2 * * mon"',
        ) from error


def _named(field: str) -> str:
    """The weekdays of a field by name.

    Raises:
        ValueError: it names none.
    """
    if field == "*":
        return field
    days = [day for part in field.lower().split(",") for day in _days(part)]
    return ",".join(_DAYS[day] for day in sorted({day % 7 for day in days}))


def _days(part: str) -> range:
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(f"{part!r} is no weekday; 0 to 7, sun to sat, a range or a step of them")
    first, last, step = found["first"], found["last"], int(found["step"] or 1)
    if not step:
        raise ValueError(f"{part!r} has a step of 0")
    if first == "*":
        return range(0, 7, step)
    begin = _number(first)
    # As cron does: a first day with a step goes on to the end of the week.
    end = _number(last) if last else 6 if found["step"] else begin
    if end < begin:  # sat-mon, or fri-sun
        end += 7
    return range(begin, end + 1, step)


def _number(day: str) -> int:
    if day.isdigit():
        return int(day)
    if day not in _DAYS:
        raise ValueError(f"{day!r} is no weekday; sun to sat")
    return _DAYS.index(day)
