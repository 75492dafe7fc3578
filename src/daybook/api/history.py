"""What was known when: restatements, and totals as they were."""

from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime

from daybook.clock import moment_text
from daybook.domain.bucket import Bucket, Cell, Cells
from daybook.domain.money import parse_total
from daybook.domain.restatement import Restatement
from daybook.stores.archive import Archive
from daybook.stores.both import HeldBucket, all_buckets, check_range
from daybook.stores.hot_aggregates import HotAggregates

_PER_PAGE = 1000
_BEHIND_EVERY_KEY = "~"


class History:
    """Reads Redis before the archive, so that nothing is missed that moves in between."""

    def __init__(self, hot: HotAggregates, archive: Archive) -> None:
        self._hot, self._archive = hot, archive

    async def buckets(self, first: date, last: date) -> dict[Bucket, HeldBucket]:
        """All buckets of a range of days. Raises InvalidRangeError, StoreUnavailableError."""
        return await all_buckets(self._hot, self._archive, first, last)

    async def restatements(self, first: date, last: date, after: str, number: int) -> list[Restatement]:
        """Up to `number` of a range of days whose keys come after a text, by key."""
        check_range(first, last)
        begin, end = max(after, first.isoformat()), last.isoformat() + _BEHIND_EVERY_KEY
        waiting = [each for each in await self._hot.waiting_restatements() if begin < each.key < end]
        archived = await self._archive.restatements(begin, end, number)
        by_key = {each.key: each for each in (*waiting, *archived)}
        return [by_key[key] for key in sorted(by_key)[:number]]

    async def as_of(
        self, buckets: Mapping[Bucket, HeldBucket], first: date, last: date, moment: datetime
    ) -> tuple[dict[Bucket, Cells], set[Bucket]]:
        """The buckets' cells as they were known then, and the buckets of which nobody knows.

        Known is what a bucket held while it was closed: from its archiving on, through every restatement. Of
        the time in which its rows came in there is no history.
        """
        then = moment_text(moment)
        earlier: dict[Bucket, Restatement] = {}
        later: dict[Bucket, list[Restatement]] = {}
        async for each in self._all_restatements(first, last):
            if each.bucket not in buckets or each.version > buckets[each.bucket].state.version:
                continue  # newer than what was read
            if each.at <= then:
                earlier[each.bucket] = each
            else:
                later.setdefault(each.bucket, []).append(each)
        known: dict[Bucket, Cells] = {}
        unknown: set[Bucket] = set()
        for bucket, held in buckets.items():
            after = later.get(bucket, [])
            version, since = (after[0].version - 1, after[0].since) if after else (held.state.version, held.changed)
            before = earlier.get(bucket)
            if (before is not None and before.version >= version) or "" < since <= then:
                known[bucket] = _before(held.state.cells, after)
            else:
                unknown.add(bucket)
        return known, unknown

    async def _all_restatements(self, first: date, last: date) -> AsyncIterator[Restatement]:
        after = ""
        while page := await self.restatements(first, last, after, _PER_PAGE):
            for each in page:
                yield each
            after = page[-1].key


def _before(cells: Cells, later: list[Restatement]) -> Cells:
    """Cells without what came later, the oldest first."""
    before = dict(cells)
    for restatement in reversed(later):
        for method, change in restatement.changes.items():
            transactions = before[method].transactions - change.transactions
            before[method] = Cell(parse_total(change.old), transactions)
    return {method: cell for method, cell in before.items() if cell.units or cell.transactions}
