"""Redis and the archive, read together for one answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

from daybook.domain.bucket import TYPES, Bucket
from daybook.errors import InvalidRangeError, RecoveringError
from daybook.stores.archive import Archive, ArchivedBucket
from daybook.stores.hot_aggregates import HotAggregates, ResidentBucket, Revision

HeldBucket = ResidentBucket | ArchivedBucket
"""A bucket as it is now, from the store that answers for it."""


def check_range(first: date, last: date) -> None:
    """Raises InvalidRangeError."""
    if first > last:
        raise InvalidRangeError("From parameter must be before or equal to To")


async def all_buckets(hot: HotAggregates, archive: Archive, first: date, last: date) -> dict[Bucket, HeldBucket]:
    """Every bucket of a range of days, both ends included.

    Redis is read before the archive: a bucket that is evicted in between is then still found. The archive is not
    asked when Redis has all. Raises InvalidRangeError, StoreUnavailableError.
    """
    check_range(first, last)
    days = first.isoformat(), last.isoformat()
    before = await hot.revision()
    found: dict[Bucket, HeldBucket] = {**await hot.read(await hot.resident(*days))}
    if len(found) < ((last - first).days + 1) * len(TYPES):
        async with fitting(hot, archive, before):
            async for bucket, archived in archive.days(*days):
                found.setdefault(bucket, archived)
    return found


@asynccontextmanager
async def fitting(hot: HotAggregates, archive: Archive, before: Revision) -> AsyncIterator[None]:
    """What is read from the archive inside fits what was read from Redis since `before`.

    It does not when one of the two was set back, as from a backup, and not found out yet: raises RecoveringError
    then, at the end.
    """
    held = await archive.newest_snapshot()
    yield
    after = await hot.revision()
    if after.snapshot < max(held, before.snapshot) or after.restored != before.restored:
        raise RecoveringError("Redis is behind the archive and is being restored")
    if held < before.settled:
        raise RecoveringError(f"the {archive.name} archive is older than Redis")
