"""Answers range queries from Redis and the archive together."""

from collections.abc import Mapping
from datetime import date

import msgspec

from daybook.api.exact_json import number_of
from daybook.domain.bucket import TYPES, Bucket, Cells
from daybook.stores.archive import Archive
from daybook.stores.both import all_buckets
from daybook.stores.hot_aggregates import HotAggregates

Days = dict[str, dict[str, Cells]]
"""Day → `deposits`/`withdrawals` → cells; days in order, both types present."""


class StatsService:
    def __init__(self, hot: HotAggregates, archive: Archive) -> None:
        self._hot, self._archive = hot, archive

    async def totals(self, first: date, last: date) -> Days:
        """Every day of the range that has transactions. Raises InvalidRangeError, StoreUnavailableError."""
        found = await all_buckets(self._hot, self._archive, first, last)
        return by_day({bucket: held.state.cells for bucket, held in found.items()})


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
