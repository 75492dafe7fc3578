"""Reads the totals of a range of days from Redis and the archive together."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import date, timedelta
from itertools import chain, groupby
from typing import NamedTuple

from daybook.books.exact_json import encode, member, number_of, object_of
from daybook.domain.bucket import TYPES, Bucket, Cells, HeldBucket
from daybook.errors import InvalidRangeError
from daybook.stores.consistent_read import check_briefly, consistent_read
from daybook.stores.stores import Stores

Days = dict[str, dict[str, Cells]]
"""Day → `deposits`/`withdrawals` → cells; days in order, both types present."""
Part = dict[Bucket, HeldBucket]
"""The buckets of consecutive days, each day whole."""

_RESIDENT_DAYS_PER_PART = 100
_ENOUGH_FOR_A_PART = 4 * _RESIDENT_DAYS_PER_PART


def check_range(first: date, last: date) -> None:
    """Raise InvalidRangeError for a range that ends before it begins."""
    if first > last:
        raise InvalidRangeError("From parameter must be before or equal to To")


async def read_parts(stores: Stores, first: date, last: date) -> AsyncIterator[Part]:
    """Read every bucket of a range of days, both ends included, part by part in order of days.

    The range is read in spans of at most 100 days with resident buckets. Redis is read first, so that a bucket evicted
    in between is still found. When the archive may hold a bucket of a span that Redis does not hold
    (`stores/evicted.py`), the archive is read for the whole span. Use the parts only when the iteration ends without an
    error: unless Redis holds every bucket, the end checks that neither store was set back (`consistent_read`). An
    archive that was not needed must answer soon for that. Raises InvalidRangeError, StoreUnavailableError, and
    DamagedBucketError.
    """
    check_range(first, last)
    before = await stores.hot.restored_state()
    resident = await stores.hot.resident(first.isoformat(), last.isoformat())
    async with AsyncExitStack() as stack:
        is_archive_asked = is_incomplete = False
        for span in _spans(first, last, resident):
            found = await stores.hot.read(span.resident)
            is_incomplete |= len(found) < span.buckets
            if len(found) < span.buckets and await stores.evicted.is_needed(span.first, span.last, found, before):
                if not is_archive_asked:
                    await stack.enter_async_context(consistent_read(stores, before))
                    is_archive_asked = True
                async for bucket, archived in stores.archive.days(span.first.isoformat(), span.last.isoformat()):
                    if len(found) >= _ENOUGH_FOR_A_PART and (part := _take_before(bucket.day, found)):
                        yield part
                    found.setdefault(bucket, archived)
            yield found
    if is_incomplete and not is_archive_asked:
        await check_briefly(stores, before)


class _Span(NamedTuple):
    first: date
    last: date
    resident: Sequence[Bucket]

    @property
    def buckets(self) -> int:
        """The largest number of buckets that the span can have."""
        return ((self.last - self.first).days + 1) * len(TYPES)


def _spans(first: date, last: date, resident: Sequence[Bucket]) -> Iterator[_Span]:
    """Cut a range of days into spans of few resident buckets."""
    days = [list(buckets) for _, buckets in groupby(resident, lambda bucket: bucket.day)]
    while len(days) > _RESIDENT_DAYS_PER_PART:
        some, days = days[:_RESIDENT_DAYS_PER_PART], days[_RESIDENT_DAYS_PER_PART:]
        end = date.fromisoformat(some[-1][0].day)
        yield _Span(first, end, [*chain.from_iterable(some)])
        first = end + timedelta(days=1)
    yield _Span(first, last, [*chain.from_iterable(days)])


def _take_before(day: str, found: Part) -> Part:
    return {bucket: found.pop(bucket) for bucket in list(found) if bucket.day < day}


async def read_buckets(stores: Stores, first: date, last: date) -> dict[Bucket, HeldBucket]:
    """Read every bucket of a range of days at once. Raises what `read_parts` raises."""
    found: dict[Bucket, HeldBucket] = {}
    async for part in read_parts(stores, first, last):
        found |= part
    return found


async def read_totals(stores: Stores, first: date, last: date) -> Days:
    """Read every day of the range that has transactions. Raises what `read_parts` raises."""
    return by_day(cells_of(await read_buckets(stores, first, last)))


def cells_of(buckets: Mapping[Bucket, HeldBucket]) -> dict[Bucket, Cells]:
    return {bucket: held.state.cells for bucket, held in buckets.items()}


def by_day(buckets: Mapping[Bucket, Cells]) -> Days:
    """Group buckets by day; days without cells are left out."""
    days: Days = {}
    for bucket in sorted(buckets):
        if buckets[bucket]:
            day = days.setdefault(bucket.day, {kind: {} for kind in TYPES})
            day[bucket.type] = buckets[bucket]
    return days


async def answer_totals(stores: Stores, first: date, last: date) -> bytes:
    """Return the JSON answer of `/stats`, part by part in threads. Raises what `read_parts` raises."""
    members: list[bytes] = []
    async for part in read_parts(stores, first, last):
        members += await asyncio.to_thread(_render_part, part)
    return _answer(members)


def _render_part(part: Part) -> list[bytes]:
    return _members(by_day(cells_of(part)))


def render(days: Days) -> bytes:
    """Return the JSON answer of `/stats`, with exact amounts and with methods in alphabetical order."""
    return _answer(_members(days))


def _answer(members: list[bytes]) -> bytes:
    return encode({"data": object_of(members)})


def _members(days: Days) -> list[bytes]:
    return [
        member(
            day,
            {
                kind: {method: number_of(cells[method].units) for method in sorted(cells)}
                for kind, cells in types.items()
            },
        )
        for day, types in days.items()
    ]
