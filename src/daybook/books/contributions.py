"""Reads what each source added to which totals, from Redis and the archive together."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import date
from itertools import chain
from typing import NamedTuple

from daybook.books.verification import all_sources
from daybook.domain.money import parse_total
from daybook.domain.source import Source
from daybook.errors import StoreUnavailableError
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
)  # fmt: skip
from daybook.stores.archive import ContributionRow
from daybook.stores.consistent_read import consistent_read
from daybook.stores.contributions import waiting_contributions
from daybook.stores.steady import read_steadily
from daybook.stores.stores import Stores

_TRIES, _PAUSE_SECONDS = 20, 0.25

CellsBySource = dict[str, CellColumns]


class Effect(NamedTuple):
    """All that one source added to the totals."""

    cells: CellColumns
    complete: bool
    """True when the contributions of all its applied rows were kept."""
    account: Account
    """The sums of the cells."""
    ledger: Account
    """The sums of its applied rows, by its ledger."""

    @property
    def adds_up(self) -> bool:
        """Return whether the cells have the transactions and control totals of the source's ledger."""
        return self.account == self.ledger


async def effect_of(stores: Stores, source_id: str) -> Effect | None:
    """Return all that a source added to the totals, as of one moment; None for an unknown source.

    Raises what `effects_of` raises.
    """
    return (await effects_of(stores, {source_id})).get(source_id)


async def effects_of(stores: Stores, sources: Collection[str] | None = None) -> dict[str, Effect]:
    """Return all that some sources, or all, added to the totals, as of one moment, by source.

    Reads again when rows were applied meanwhile. Raises StoreUnavailableError when that happens 20 times in a row.
    """

    async def read() -> dict[str, Effect]:
        known = [source for source in await all_sources(stores) if sources is None or source.id in sources]
        parts: dict[str, list[CellColumns]] = {}
        async for month in read_months(stores, date.min, date.max, sources):
            for source, cells in month.items():
                parts.setdefault(source, []).append(cells)
        return await asyncio.to_thread(lambda: {each.id: _effect(each, parts.get(each.id, [])) for each in known})

    reading = await read_steadily(stores.hot.state, read, tries=_TRIES, pause_seconds=_PAUSE_SECONDS)
    if not reading.steady:
        raise StoreUnavailableError("rows are being applied: try again when the imports have ended")
    return reading.value


def _effect(source: Source, parts: Sequence[CellColumns]) -> Effect:
    cells = add_up(parts)
    ledger = Account(source.applied_rows, {kind: parse_total(text) for kind, text in source.control_totals.items()})
    return Effect(cells, source.has_contributions, account_of(cells), ledger)


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
