"""Restatements, and totals as they were known at a moment."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from daybook.books.totals import check_range, read_buckets
from daybook.clock import moment_text
from daybook.domain.bucket import Bucket, BucketState, Cell, Cells, HeldBucket
from daybook.domain.money import parse_total
from daybook.domain.restatement import Change, Restatement
from daybook.stores.consistent_read import consistent_read
from daybook.stores.stores import Stores

_PER_PAGE = 1000
_BEHIND_EVERY_KEY = "~"


class AsOf(NamedTuple):
    """Buckets as they were known at a moment."""

    known: dict[Bucket, HeldBucket]
    """Each with the state and the last change that it had then, and the store that answers for it now."""
    unknown: set[Bucket]
    """Buckets of which nobody knows how they stood then."""

    @property
    def unknown_days(self) -> set[str]:
        return {bucket.day for bucket in self.unknown}


@dataclass
class _Past:
    """Goes back from what a bucket is now, by its restatements in their order."""

    version: int
    since: str
    reached: int = -1
    """The version of the last restatement that is not undone."""
    undone: dict[str, Change] = field(default_factory=dict)
    """By payment method: the first total, and all transactions, of those that are."""

    def undo(self, restatement: Restatement) -> None:
        if not self.undone:
            self.version, self.since = restatement.version - 1, restatement.since
        for method, change in restatement.changes.items():
            first = self.undone.get(method, change._replace(transactions=0))
            self.undone[method] = first._replace(transactions=first.transactions + change.transactions)

    def is_known(self, then: str) -> bool:
        return self.reached >= self.version or "" < self.since <= then

    def then(self, now: HeldBucket) -> HeldBucket:
        return now._replace(state=BucketState(self.version, self._cells(now.state.cells)), since=self.since)

    def _cells(self, now: Cells) -> Cells:
        before = dict(now)
        for method, change in self.undone.items():
            before[method] = Cell(parse_total(change.old), now[method].transactions - change.transactions)
        return {method: cell for method, cell in before.items() if cell.units or cell.transactions}


class History:
    """Reads Redis before the archive, so that nothing is missed that moves in between."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def restatements(self, first: date, last: date, after: str, number: int) -> list[Restatement]:
        """Up to `number` of a range of days whose keys come after a text, by key."""
        check_range(first, last)
        begin, end = max(after, first.isoformat()), last.isoformat() + _BEHIND_EVERY_KEY
        async with consistent_read(self._stores, await self._stores.hot.restored_state()):
            return await self._page(await self._stores.hot.waiting_restatements(), begin, end, number)

    async def _page(self, waiting: Iterable[Restatement], begin: str, end: str, number: int) -> list[Restatement]:
        archived = await self._stores.archive.restatements(begin, end, number)
        return await asyncio.to_thread(_first, [*waiting, *archived], begin, end, number)

    async def as_of(self, first: date, last: date, moment: datetime) -> AsOf:
        """All buckets of a range of days as they were known at a moment. Raises what `read_buckets` raises.

        Known is what a bucket held while it was closed: from its archiving on, through every restatement. Of
        the time in which its rows came in there is no history.
        """
        then = moment_text(moment)
        async with consistent_read(self._stores, await self._stores.hot.restored_state()):
            held = await read_buckets(self._stores, first, last)
            past = await self._past(held, first, last, then)
        return await asyncio.to_thread(_judge, held, past, then)

    async def _past(
        self, buckets: Mapping[Bucket, HeldBucket], first: date, last: date, then: str
    ) -> dict[Bucket, _Past]:
        past = await asyncio.to_thread(_all_past, buckets)
        async for each in self._all_restatements(first, last):
            if each.bucket not in buckets or each.version > buckets[each.bucket].state.version:
                continue  # newer than what was read
            own = past[each.bucket]
            if each.at <= then and not own.undone:  # clocks of several owners may differ
                own.reached = each.version
            else:
                own.undo(each)
        return past

    async def _all_restatements(self, first: date, last: date) -> AsyncIterator[Restatement]:
        waiting = await self._stores.hot.waiting_restatements()
        begin, end = first.isoformat(), last.isoformat() + _BEHIND_EVERY_KEY
        while page := await self._page(waiting, begin, end, _PER_PAGE):
            for each in page:
                yield each
            begin = page[-1].key


def _first(found: Iterable[Restatement], begin: str, end: str, number: int) -> list[Restatement]:
    by_key = {key: each for each in found if begin < (key := each.key) < end}
    return [by_key[key] for key in sorted(by_key)[:number]]


def _all_past(buckets: Mapping[Bucket, HeldBucket]) -> dict[Bucket, _Past]:
    return {bucket: _Past(held.state.version, held.since) for bucket, held in buckets.items()}


def _judge(held: Mapping[Bucket, HeldBucket], past: Mapping[Bucket, _Past], then: str) -> AsOf:
    known = {bucket: own.then(held[bucket]) for bucket, own in past.items() if own.is_known(then)}
    return AsOf(known, held.keys() - known.keys())
