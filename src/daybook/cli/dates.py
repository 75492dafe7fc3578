"""Days and months as people write them."""

import calendar
import re
from datetime import date
from typing import NamedTuple

_ISO = re.compile(r"(\d{4})-(\d{1,2})(?:-(\d{1,2}))?", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})[./](\d{1,2})(?:[./](\d{1,2}))?", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})", re.ASCII)
_MONTH_YEAR = re.compile(r"(\d{1,2})[./-](\d{4})", re.ASCII)
_YEAR = re.compile(r"\d{4}", re.ASCII)
_NAMED_MONTH = re.compile(r"([a-z]{3,9})\.? +(\d{4})|(\d{4}) +([a-z]{3,9})", re.ASCII)
_NAMED_DAY = re.compile(r"(\d{1,2})\.? +([a-z]{3,9})\.?,? +(\d{4})|([a-z]{3,9})\.? +(\d{1,2}),? +(\d{4})", re.ASCII)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_FORMS = "write a day as 2026-01-31, a month as 2026-01, a year as 2026"


class Span(NamedTuple):
    """A run of days, both ends included."""

    first: date
    last: date


def parse(text: str) -> Span:
    """Return the day, month or year that `text` names: `2026-01-31`, `2026-01`, `January 2026`, `31.1.2026`, `2026`.

    Raises ValueError with the right form for any other text, and for one that names one day in Europe and another in
    America, such as 1.2.2026.
    """
    words = text.strip().lower()
    try:
        found = _numbers(words) or _names(words)
    except ValueError as error:
        if str(error).startswith("which"):
            raise ValueError(f"{text!r}: {error}") from None
        raise ValueError(f"{text!r}: there is no such day; {_FORMS}") from None
    if found is None:
        raise ValueError(f"{text!r}: {_FORMS}")
    return found


def _numbers(words: str) -> Span | None:
    if match := _ISO.fullmatch(words) or _YEAR_FIRST.fullmatch(words):
        year, month, day = (int(part or 0) for part in match.groups())
        return _day(year, month, day) if day else _month(year, month)
    if match := _YEAR_LAST.fullmatch(words):
        return _year_last(*map(int, match.groups()))
    if match := _MONTH_YEAR.fullmatch(words):
        return _month(int(match[2]), int(match[1]))
    if _YEAR.fullmatch(words):
        return Span(date(int(words), 1, 1), date(int(words), 12, 31))
    return None


def _names(words: str) -> Span | None:
    if match := _NAMED_MONTH.fullmatch(words):
        name, year = (match[1], match[2]) if match[1] else (match[4], match[3])
        month = _number_of(name)
        return _month(int(year), month) if month else None
    if match := _NAMED_DAY.fullmatch(words):
        day, name, year = match.groups()[:3] if match[1] else (match[5], match[4], match[6])
        month = _number_of(name)
        return _day(int(year), month, int(day)) if month else None
    return None


def _year_last(first: int, second: int, year: int) -> Span:
    """Return the day of two numbers and a year, which some write with the day first and some with the month."""
    months = {(first, second), (second, first)}
    possible = sorted((month, day) for month, day in months if month <= len(_MONTHS))
    if len(possible) > 1:
        forms = " or ".join(_day(year, *each).first.isoformat() for each in possible)
        raise ValueError(f"which is the month? Write {forms}")
    return _day(year, *(possible or [(first, second)])[0])


def _number_of(name: str) -> int:
    """Return the number of a month's name or of its beginning, 1 to 12; 0 for any other word."""
    return next((number for number, month in enumerate(_MONTHS, 1) if month.startswith(name)), 0)


def _day(year: int, month: int, day: int) -> Span:
    return Span(date(year, month, day), date(year, month, day))


def _month(year: int, month: int) -> Span:
    first = date(year, month, 1)
    return Span(first, first.replace(day=calendar.monthrange(year, month)[1]))


def month_of(day: date) -> Span:
    """Return the month that a day is in."""
    return _month(day.year, day.month)
