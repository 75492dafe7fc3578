"""Reads the totals of a range of days from Redis and the archive together."""

from collections.abc import Mapping
from datetime import date

import msgspec

from daybook.books.exact_json import number_of
from daybook.domain.bucket import TYPES, Bucket, Cells, HeldBucket
from daybook.errors import InvalidRangeError
from daybook.stores.consistent_read import consistent_read
from daybook.stores.stores import Stores

Days = dict[str, dict[str, Cells]]
"""Day → `deposits`/`withdrawals` → cells; days in order, both types present."""


def check_range(first: date, last: date) -> None:
    """Raise InvalidRangeError for a range that ends before it begins."""
    if first > last:
        raise InvalidRangeError("From parameter must be before or equal to To")


async def read_buckets(stores: Stores, first: date, last: date) -> dict[Bucket, HeldBucket]:
    """Read every bucket of a range of days, both ends included.

    Redis is read before the archive, so that a bucket evicted in between is still found. The archive is read only when
    Redis does not hold all buckets. Raises InvalidRangeError, StoreUnavailableError.
    """
    check_range(first, last)
    days = first.isoformat(), last.isoformat()
    before = await stores.hot.restored_state()
    found = await stores.hot.read(await stores.hot.resident(*days))
    if len(found) < ((last - first).days + 1) * len(TYPES):
        async with consistent_read(stores, before):
            async for bucket, archived in stores.archive.days(*days):
                found.setdefault(bucket, archived)
    return found


async def read_totals(stores: Stores, first: date, last: date) -> Days:
    """Read every day of the range that has transactions. Raises what `read_buckets` raises."""
    return by_day({bucket: held.state.cells for bucket, held in (await read_buckets(stores, first, last)).items()})


def by_day(buckets: Mapping[Bucket, Cells]) -> Days:
    """Group buckets by day; days without cells are left out."""
    days: Days = {}
    for bucket in sorted(buckets):
        if buckets[bucket]:
            day = days.setdefault(bucket.day, {kind: {} for kind in TYPES})
            day[bucket.type] = buckets[bucket]
    return days


def render(days: Days) -> bytes:
    """Return the JSON answer of `/stats`, with exact amounts and with methods in alphabetical order."""
    return msgspec.json.encode(
        {
            "data": {
                day: {
                    kind: {method: number_of(cells[method].units) for method in sorted(cells)}
                    for kind, cells in types.items()
                }
                for day, types in days.items()
            }
        }
    )
