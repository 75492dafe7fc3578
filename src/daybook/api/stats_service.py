"""Answers range queries from Redis and the archive together."""

from collections.abc import Mapping
from datetime import date

import msgspec

from daybook.domain.bucket import TYPES, Bucket, BucketState, Cells
from daybook.domain.money import format_units
from daybook.errors import InvalidRangeError
from daybook.stores.archive import Archive
from daybook.stores.hot_aggregates import HotAggregates

Days = dict[str, dict[str, Cells]]
"""Day → `deposits`/`withdrawals` → cells; days in order, both types present."""


class StatsService:
    def __init__(self, hot: HotAggregates, archive: Archive) -> None:
        self._hot, self._archive = hot, archive

    async def totals(self, first: date, last: date) -> Days:
        """Every day of the range that has transactions.

        Redis is read before the archive: a bucket that is evicted in between is then still found. Raises
        InvalidRangeError, StoreUnavailableError.
        """
        if first > last:
            raise InvalidRangeError("From parameter must be before or equal to To")
        resident = await self._hot.read(await self._hot.resident(first.isoformat(), last.isoformat()))
        found = {bucket: held.state for bucket, held in resident.items()}
        days = (last - first).days + 1
        if len(found) < days * len(TYPES):
            async for bucket, state in self._archive.days(first.isoformat(), last.isoformat()):
                found.setdefault(bucket, state)
        return _by_day(found)


def _by_day(found: Mapping[Bucket, BucketState]) -> Days:
    days: Days = {}
    for bucket in sorted(found):
        if found[bucket].cells:
            day = days.setdefault(bucket.day, {kind: {} for kind in TYPES})
            day[bucket.type] = found[bucket].cells
    return days


def render(days: Days) -> bytes:
    """The JSON answer of `/stats`, amounts as exact numbers, methods in alphabetical order."""
    return msgspec.json.encode(
        {
            "data": {
                day: {
                    kind: {method: msgspec.Raw(format_units(cells[method].units).encode()) for method in sorted(cells)}
                    for kind, cells in types.items()
                }
                for day, types in days.items()
            }
        }
    )
