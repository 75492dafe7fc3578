"""Reads contributions month by month, from Redis and the archive together."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import date
from itertools import chain

from daybook.domain.bucket import TYPES
from daybook.domain.money import parse_total
from daybook.domain.source import Source
from daybook.sources.columns.cells import CellColumns, empty
from daybook.sources.contributions import (
    Account,
    Entry,
    account_of,
    add_up,
    by_month,
    dropped_through,
    entries_by_source,
    not_held,
    unpack,
    within,
)
from daybook.stores.archive import ContributionRow
from daybook.stores.consistent_read import consistent_read
from daybook.stores.contributions import waiting_contributions
from daybook.stores.stores import Stores

CellsBySource = dict[str, CellColumns]
NOTHING = Account(0, dict.fromkeys(TYPES, 0))


def ledger_of(source: Source) -> Account:
    """Return the applied rows of a source and their control totals, which its contributions must add up to."""
    return Account(source.applied_rows, {kind: parse_total(text) for kind, text in source.control_totals.items()})


async def accounts_by_source(stores: Stores) -> dict[str, Account]:
    """Return the sums of the contributions of each source that has any. Raises what `read_months` raises."""
    found: dict[str, Account] = {}
    async for month in read_months(stores, date.min, date.max):
        for source, cells in month.items():
            found[source] = _plus(found.get(source, NOTHING), account_of(cells))
    return found


def _plus(one: Account, other: Account) -> Account:
    return Account(one.transactions + other.transactions, {kind: one.units[kind] + other.units[kind] for kind in TYPES})


async def read_months(
    stores: Stores, first: date, last: date, sources: Collection[str] | None = None
) -> AsyncIterator[CellsBySource]:
    """Read what some sources, or all, added on the days of a range, both ends included, month by month in order.

    Redis is read first, so that a contribution that is archived in between is still found. Use the months only when
    the iteration ends without an error: the end checks that neither store was set back (`consistent_read`).
    """
    before = await stores.hot.state()
    waiting = await _Waiting.read(stores, first, last, sources)
    async with AsyncExitStack() as stack:
        if before is not None:
            await stack.enter_async_context(consistent_read(stores, before))
        rows: list[ContributionRow] = []
        async for row in stores.archive.contributions(_month(first), last.isoformat(), sources):
            if rows and row.period[:7] != rows[0].period[:7]:
                for month in await asyncio.to_thread(waiting.months_through, rows):
                    yield month
                rows = []
            rows.append(row)
        for month in await asyncio.to_thread(waiting.months_through, rows, is_last=True):
            yield month


class _Waiting:
    """The contributions that wait in Redis, by month, to be joined with the archive's rows in order of months."""

    def __init__(self, first: date, last: date, entries: Mapping[str, Sequence[Entry]]) -> None:
        self._range = first, last
        self._dropped = {source: dropped_through(some) for source, some in entries.items()}
        self._months: dict[str, dict[str, list[Entry]]] = {}
        for source, some in entries.items():
            for entry in some:
                for month, cells in by_month(within(add_up([entry.cells or empty()]), first, last)):
                    self._months.setdefault(month, {}).setdefault(source, []).append(Entry(entry.place, cells))

    @classmethod
    async def read(cls, stores: Stores, first: date, last: date, sources: Collection[str] | None) -> "_Waiting":
        found = await waiting_contributions(stores.redis)

        def parse() -> "_Waiting":
            entries = entries_by_source(*found)
            return cls(
                first, last, {source: entries[source] for source in entries if sources is None or source in sources}
            )

        return await asyncio.to_thread(parse)

    def months_through(self, rows: Sequence[ContributionRow], *, is_last: bool = False) -> list[CellsBySource]:
        """Return what waits of the months before that of the rows, and the month of the rows with what waits of it.

        All that waits follows if the rows are the last ones. Each month is returned once.
        """
        month = rows[0].period[:7] if rows else ""
        months = sorted({each for each in self._months if each < month or is_last} | ({month} if rows else set()))
        return [self._joined(each, rows if each == month else ()) for each in months]

    def _joined(self, month: str, rows: Sequence[ContributionRow]) -> CellsBySource:
        held: dict[str, list[ContributionRow]] = {}
        for row in rows:
            if row.through >= self._dropped.get(row.source, 0):
                held.setdefault(row.source, []).append(row)
        waiting = self._months.pop(month, {})
        found = {}
        for source in dict.fromkeys(chain(held, waiting)):
            own = held.get(source, [])
            entries = [each for each in waiting.get(source, ()) if each.place >= self._dropped[source]]
            new = not_held(entries, {row.period: row.through for row in own})
            cells = within(add_up([*(unpack(row.packed) for row in own), new]), *self._range)
            if len(cells.days):
                found[source] = cells
        return found


def _month(day: date) -> str:
    return day.isoformat()[:7]
