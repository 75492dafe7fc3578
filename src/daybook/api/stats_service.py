"""Answers range queries from Redis and the archive together."""

from collections.abc import Mapping
from datetime import date

import msgspec

from daybook.api.exact_json import number_of
from daybook.api.history import check_range
from daybook.domain.bucket import TYPES, Bucket, Cells
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
        check_range(first, last)
        resident = await self._hot.read(await self._hot.resident(first.isoformat(), last.isoformat()))
        found = {bucket: held.state for bucket, held in resident.items()}
        days = (last - first).days + 1
        if len(found) < days * len(TYPES):
            async for bucket, archived in self._archive.days(first.isoformat(), last.isoformat()):
                found.setdefault(bucket, archived.state)
        return by_day({bucket: state.cells for bucket, state in found.items()})


def by_day(buckets: Mapping[Bucket, Cells]) -> Days:
    days: Days = {}
    for bucket in sorted(buckets):
        if buckets[bucket]:
            day = days.setdefault(bucket.day, {kind: {} for kind in TYPES})
            day[bucket.type] = buckets[bucket]
    return days


def render(days: Days) -> bytes:
    """The JSON answer of `/stats`, amounts as exact numbers, methods in alphabetical order."""
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
