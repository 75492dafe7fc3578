"""Time, in one place."""

from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    return datetime.now(UTC)


def cutoff_day(now: datetime, age: timedelta) -> str:
    """Older days than this one are served from the archive; computed on moments, then cut to a day."""
    try:
        return (now - age).date().isoformat()
    except OverflowError:
        return "0001-01-01"
