"""The current time, and times as text."""

from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    return datetime.now(UTC)


def moment_text(moment: datetime) -> str:
    """Return a moment as text in UTC: `2026-01-15T10:30:00.123Z`. Such texts sort in the order of time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_of(milliseconds: int) -> datetime:
    """Return the moment that is `milliseconds` after the start of 1970 in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def cutoff_day(now: datetime, age: timedelta) -> str:
    """Return the day of the moment `now - age`. Buckets of earlier days may be evicted.

    Returns the first day of the calendar when the moment lies before the calendar.
    """
    try:
        return (now - age).date().isoformat()
    except OverflowError:
        return "0001-01-01"
