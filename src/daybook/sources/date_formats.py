"""Timestamps in a form that a profile tells: a format of `strptime`, or an epoch; and local times of a zone."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from daybook.domain.transaction import in_utc, parse_local

EPOCH, EPOCH_MS = "epoch", "epoch-ms"
_UNITS = {EPOCH: 1, EPOCH_MS: 1000}
_WIDTHS = {"d": 2, "m": 2, "Y": 4, "y": 2, "H": 2, "I": 2, "M": 2, "S": 2, "j": 3, "f": 6}
"""Directives for numbers, with their usual number of digits."""
_WORDS = ("b", "B", "a", "A", "p", "z")
_TIMES = ("H", "I")
_ISO_DATE_LENGTH = len("2026-01-15")
_START = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"(-?[0-9]{1,15})(?:\.[0-9]{1,9})?", re.ASCII)


def check_date_format(text: str) -> None:
    """Raise ValueError unless `text` is empty, an epoch, or a format that names one day and leaves nothing to guess."""
    if not text or text in _UNITS:
        return
    parts = _directives(text)
    if not parts:
        raise ValueError(f"date-format {text!r} has no directives such as %d.%m.%Y, and is neither epoch nor epoch-ms")
    for part in parts:
        if part not in (*_WIDTHS, *_WORDS, "%"):
            raise ValueError(f"date-format {text!r}: %{part} is not supported: use {_listed()}")
    year, month, day = (any(part in parts for part in each) for each in (("Y", "y"), ("m", "b", "B"), ("d",)))
    if not year or not ((month and day) or "j" in parts):
        raise ValueError(f"date-format {text!r} does not name a day: it needs a year, a month and a day")
    _check_together(text, parts)
    if len(set(parts) - {"%"}) != len([part for part in parts if part != "%"]):
        raise ValueError(f"date-format {text!r} names the same part twice")
    example = datetime(2026, 1, 15, 22, 30, 45, tzinfo=UTC)
    try:
        datetime.strptime(example.strftime(text), text)  # noqa: DTZ007 - only to see whether it can be parsed
    except (ValueError, re.error) as error:
        raise ValueError(f"date-format {text!r} cannot be parsed: {error}") from None


def _check_together(text: str, parts: Sequence[str]) -> None:
    """Raise ValueError for directives of which `strptime` would ignore one, or that may contradict each other."""
    if "I" in parts and "p" not in parts:
        raise ValueError(f"date-format {text!r}: %I needs %p, else nobody knows morning from evening")
    if "p" in parts and "I" not in parts:
        raise ValueError(f"date-format {text!r}: %p needs %I: beside %H it would be ignored, and evening be morning")
    if "j" in parts and {"m", "b", "B", "d"} & {*parts}:
        raise ValueError(f"date-format {text!r}: %j beside a month or a day may contradict it: take one of the two")


def _listed() -> str:
    return " ".join(f"%{part}" for part in (*_WIDTHS, *_WORDS))


def _directives(text: str) -> list[str]:
    return [found[1:] for found in re.findall(r"%.?", text, re.DOTALL)]


def moment_reader(date_format: str, zone_name: str) -> Callable[[str], datetime]:
    """Return a function from a timestamp to its moment in UTC, which raises ValueError with the reason.

    A timestamp without a time of day names its day itself, whatever the zone.
    """
    zone = ZoneInfo(zone_name) if zone_name else None
    if date_format in _UNITS:
        per_second = _UNITS[date_format]
        return lambda text: _from_epoch(text, per_second)
    if not date_format:
        return lambda text: _moment_in(parse_local(text), zone if len(text) > _ISO_DATE_LENGTH else None)
    exact = _is_exact(date_format)
    zone = zone if any(part in _TIMES for part in _directives(date_format)) else None
    return lambda text: _moment_in(_parsed(text, date_format, exact=exact), zone)


def _is_exact(date_format: str) -> bool:
    """Return whether two numbers stand side by side: they are told apart only if each has all its digits."""
    numbers = "".join(_WIDTHS)
    return re.search(f"%[{numbers}]%[{numbers}]", date_format) is not None


def _from_epoch(text: str, per_second: int) -> datetime:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError("timestamp is not an epoch, a number")
    try:
        return _START + timedelta(seconds=int(match[1]) // per_second)
    except OverflowError:
        raise ValueError("timestamp is not a date that exists") from None


def _parsed(text: str, date_format: str, *, exact: bool) -> datetime:
    if not text.isascii():
        raise ValueError(f"timestamp does not have the form {date_format}")
    try:
        moment = datetime.strptime(text, date_format)  # noqa: DTZ007 - the zone comes from the profile
    except ValueError:
        raise ValueError(f"timestamp does not have the form {date_format}, or is not a date that exists") from None
    if exact and moment.strftime(date_format).lower() != text.lower():
        raise ValueError(f"timestamp does not have the form {date_format} with all its digits")
    return moment


def _moment_in(moment: datetime, zone: tzinfo | None) -> datetime:
    if moment.tzinfo is not None or zone is None:
        return in_utc(moment)
    try:
        return in_utc(_in_zone(moment, zone))
    except OverflowError:
        raise ValueError("timestamp is not a date that exists") from None


def _in_zone(moment: datetime, zone: tzinfo) -> datetime:
    """Return a local time with its zone. Raises ValueError in the hours when clocks are set."""
    first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None, fold=0) == moment:
        raise ValueError(f"timestamp is ambiguous: {zone} has this hour twice, because clocks are set back")
    raise ValueError(f"timestamp does not exist: {zone} leaves this hour out, because clocks are set forward")
