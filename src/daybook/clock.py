"""Time, in one place."""

from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    return datetime.now(UTC)


def moment_text(moment: datetime) -> str:
    """`2026-01-15T10:30:00.123Z`, in UTC; such texts sort as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_of(milliseconds: int) -> datetime:
    """Of milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def cutoff_day(now: datetime, age: timedelta) -> str:
    """Older days than this one are served from the archive; computed on moments, then cut to a day."""
    try:
        return (now - age).date().isoformat()
    except OverflowError:
        return "0001-01-01"
