"""Reads what each source added to which totals, from Redis and the archive together."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, NamedTuple

from daybook.books.contributed_months import CellsBySource, ledger_of, read_months
from daybook.books.exact_json import encode, member, number_of, object_of
from daybook.books.totals import check_range
from daybook.books.verification import all_sources
from daybook.domain.bucket import TYPES, Bucket, Cell
from daybook.domain.source import Source
from daybook.errors import StoreUnavailableError, UnknownSourceError
from daybook.sources.columns.cells import CellColumns
from daybook.sources.contributions import Account, account_of, add_up
from daybook.stores.steady import read_steadily
from daybook.stores.stores import Stores

_TRIES, _PAUSE_SECONDS = 20, 0.25

Days = dict[str, dict[str, dict[str, dict[str, Cell]]]]
"""Day → `deposits`/`withdrawals` → payment method → source → cell; days in order, both types present."""


class BySource(NamedTuple):
    """What each source added on some days."""

    days: Days
    sources: list[Source]
    """The sources of these cells, and all whose contributions are incomplete."""


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
    return Effect(cells, source.has_contributions, account_of(cells), ledger_of(source))


async def read_by_source(stores: Stores, first: date, last: date, source_id: str | None = None) -> BySource:
    """Return what each source, or one, added on the days of a range, both ends included.

    Raises InvalidRangeError, UnknownSourceError, RecoveringError and StoreUnavailableError.
    """
    check_range(first, last)
    days: Days = {}
    shown = set[str]()
    async for month in read_months(stores, first, last, None if source_id is None else {source_id}):
        shown.update(month)
        days |= await asyncio.to_thread(_by_day, month)
    return BySource(days, await _named_sources(stores, shown, source_id))


async def answer_by_source(stores: Stores, first: date, last: date, source_id: str | None = None) -> bytes:
    """Return the JSON answer of `/v1/aggregates/contributions`, month by month. Raises what `read_by_source` raises."""
    check_range(first, last)
    days: list[bytes] = []
    shown = set[str]()
    async for month in read_months(stores, first, last, None if source_id is None else {source_id}):
        shown.update(month)
        days += await asyncio.to_thread(lambda month=month: _members(_by_day(month)))  # type: ignore[misc]
    return _answer(days, await _named_sources(stores, shown, source_id))


async def _named_sources(stores: Stores, shown: Collection[str], source_id: str | None) -> list[Source]:
    """Return the sources in `shown`, and all whose contributions are incomplete; or only the source that is given."""
    known = [source for source in await all_sources(stores) if source_id in (None, source.id)]
    if source_id is not None and not known:
        raise UnknownSourceError(f"no source {source_id!r}")
    return [source for source in known if source.id in shown or not source.has_contributions]


def _by_day(month: CellsBySource) -> Days:
    buckets: dict[Bucket, dict[str, dict[str, Cell]]] = {}
    for source, cells in month.items():
        for bucket, added in cells.by_bucket():
            methods = buckets.setdefault(bucket, {})
            for method, units, transactions in added:
                methods.setdefault(method, {})[source] = Cell(units, transactions)
    days: Days = {}
    for bucket, methods in sorted(buckets.items()):
        types = days.setdefault(bucket.day, {kind: {} for kind in TYPES})
        types[bucket.type] = {method: methods[method] for method in sorted(methods)}
    return days


def render(found: BySource) -> bytes:
    """Return the JSON answer of `/v1/aggregates/contributions`, with exact amounts."""
    return _answer(_members(found.days), found.sources)


def _answer(days: list[bytes], sources: list[Source]) -> bytes:
    named = [member(each.id, {"path": each.shown_path, "complete": each.has_contributions}) for each in sources]
    return encode({"data": object_of(days), "sources": object_of(named)})


def _members(days: Days) -> list[bytes]:
    return [_member(day, types) for day, types in days.items()]


def _member(day: str, types: dict[str, dict[str, dict[str, Cell]]]) -> bytes:
    def shown(cell: Cell) -> dict[str, Any]:
        return {"amount": number_of(cell.units), "transactions": cell.transactions}

    return member(
        day,
        {
            kind: {method: {source: shown(cell) for source, cell in cells.items()} for method, cells in methods.items()}
            for kind, methods in types.items()
        },
    )
