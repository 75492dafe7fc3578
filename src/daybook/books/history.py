"""Restatements, and totals as they were known at an earlier moment."""

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
_NOTHING = Cell(0, 0)
_AFTER_EVERY_KEY = "~"
"""Suffix of a day that sorts after the keys of all its restatements."""


class AsOf(NamedTuple):
    """Buckets as they were known at a moment."""

    known: dict[Bucket, HeldBucket]
    """Buckets with their state and last change as of that moment. `resident` and `closed` are those of now."""
    unknown: set[Bucket]
    """Buckets whose state at that moment is not known."""

    @property
    def unknown_days(self) -> set[str]:
        """The days that have an unknown bucket."""
        return {bucket.day for bucket in self.unknown}


@dataclass
class _Past:
    """Computes an earlier state of a bucket from its present one. Takes the bucket's restatements in order."""

    version: int
    since: str
    reached: int = -1
    """Version of the last restatement that is not undone; -1 when there is none."""
    undone: dict[str, Change] = field(default_factory=dict)
    """The undone restatements together, by payment method: the first change, with the transactions of all."""

    def undo(self, restatement: Restatement) -> None:
        """Take a restatement back that came after the moment."""
        if not self.undone:
            self.version, self.since = restatement.version - 1, restatement.since
        for method, change in restatement.changes.items():
            first = self.undone.get(method, change._replace(transactions=0))
            self.undone[method] = first._replace(transactions=first.transactions + change.transactions)

    def is_known(self, then: str) -> bool:
        """Return True when the bucket had this state at the moment `then`."""
        return self.reached >= self.version or "" < self.since <= then

    def then(self, now: HeldBucket) -> HeldBucket:
        """Return the bucket as it was before the undone restatements."""
        return now._replace(state=BucketState(self.version, self._cells(now.state.cells)), since=self.since)

    def _cells(self, now: Cells) -> Cells:
        before = dict(now)
        for method, change in self.undone.items():
            before[method] = Cell(parse_total(change.old), now.get(method, _NOTHING).transactions - change.transactions)
        return {method: cell for method, cell in before.items() if cell.units or cell.transactions}


class History:
    """Reads restatements from Redis, then from the archive, so that one dumped in between is not missed."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def restatements(self, first: date, last: date, after: str, number: int) -> list[Restatement]:
        """Return at most `number` restatements of a range of days, in key order, with keys above `after`.

        Raises InvalidRangeError, StoreUnavailableError.
        """
        check_range(first, last)
        begin, end = max(after, first.isoformat()), last.isoformat() + _AFTER_EVERY_KEY
        async with consistent_read(self._stores, await self._stores.hot.restored_state()):
            return await self._page(await self._stores.hot.waiting_restatements(), begin, end, number)

    async def _page(self, waiting: Iterable[Restatement], begin: str, end: str, number: int) -> list[Restatement]:
        archived = await self._stores.archive.restatements(begin, end, number)
        return await asyncio.to_thread(_first, [*waiting, *archived], begin, end, number)

    async def as_of(self, first: date, last: date, moment: datetime) -> AsOf:
        """Return all buckets of a range of days as they were known at a moment. Raises what `read_buckets` raises.

        The state of a closed bucket is known from the time when it was archived, and after each restatement. There is
        no history of the time before, when its rows came in.
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
                continue  # newer than the buckets that were read
            own = past[each.bucket]
            if each.at <= then and not own.undone:  # clocks of several lane owners may differ
                own.reached = each.version
            else:
                own.undo(each)
        return past

    async def _all_restatements(self, first: date, last: date) -> AsyncIterator[Restatement]:
        waiting = await self._stores.hot.waiting_restatements()
        begin, end = first.isoformat(), last.isoformat() + _AFTER_EVERY_KEY
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
