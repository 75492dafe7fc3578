"""Keeps what each source added to which totals: from a commit to the archive's rows."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from daybook.domain.bucket import Bucket, Cell, Sums, add_cells
from daybook.lane.element_reader import Applied
from daybook.lane.method_limit import RefusedMethods, without_methods
from daybook.sources.batch_codec import Batch
from daybook.sources.columns.cells import CellColumns, empty, from_sums
from daybook.sources.contributions import (
    Entry,
    add_up,
    by_day,
    by_month,
    dropped_through,
    entries_by_source,
    months_of,
    not_held,
    pack,
    record,
    unpack,
)  # fmt: skip
from daybook.stores.archive import Archive, ContributionRow, Waiting

MOST_ROW_BYTES = 8 << 20
"""Size at which the row of a month takes no more: a MongoDB document has at most 16 MB."""
_SOURCES_PER_READ = 100
_ALL_PERIODS = ("", "~")

_Rows = dict[str, ContributionRow]
"""Rows of one source by period."""


def records_of(applied: Applied, refused: RefusedMethods, complete: Collection[str] = ()) -> list[bytes]:
    """Return what a commit adds for each source, when its elements do not say it themselves. Blocks.

    `complete` holds the sources with complete contributions; the commit of a reversal needs it.
    """
    if applied.reversal is not None:
        return [] if applied.reversal_problem else [*_records_of_reversal(applied.reversal, complete)]
    return [record(source, without_methods(cells, refused)) for source, cells in applied.by_source.items()]


def _records_of_reversal(batch: Batch, complete: Collection[str]) -> Iterator[bytes]:
    reverses = batch.header.reverses
    assert reverses is not None
    yield record(reverses.source, None)
    if batch.header.source != reverses.source:
        yield record(batch.header.source, batch.added)
    for each in reverses.corrections:
        if each.source in complete:
            taken: Sums = {}
            for day, kind, method, units, transactions in each.cells:
                add_cells(taken, Bucket(day, kind), [(method, Cell(-units, -transactions))])
            yield record(each.source, from_sums(dict(sorted(taken.items()))))


async def rows_to_write(archive: Archive, waiting: Waiting, contributions: Sequence[bytes]) -> list[ContributionRow]:
    """Return the rows that the waiting contributions change, in full.

    Each row of the archive says which contributions are in it. So none is added twice, whatever part of an earlier
    snapshot the archive holds. Raises StoreUnavailableError.
    """
    entries = await asyncio.to_thread(entries_by_source, waiting.first, contributions)
    held = await _held(archive, entries)
    end = waiting.first + waiting.number

    def merge() -> list[ContributionRow]:
        return [row for source in entries for row in _merged(source, entries[source], held[source], end)]

    return await asyncio.to_thread(merge)


async def _held(archive: Archive, entries: Mapping[str, Sequence[Entry]]) -> dict[str, _Rows]:
    """Return the archive's rows that the entries of each source may change."""
    held: dict[str, _Rows] = {source: {} for source in entries}
    for sources in _some_at_a_time(entries):
        months = {source: months_of(entries[source]) for source in sources}
        dropped = {source for source in sources if dropped_through(entries[source])}
        wanted = set[str]().union(*months.values())
        if not (wanted or dropped):
            continue
        first, last = _ALL_PERIODS if dropped else (min(wanted), max(wanted) + "~")
        async for row in archive.contributions(first, last, sources):
            if row.source in dropped or row.period[:7] in months[row.source]:
                held[row.source][row.period] = row
    return held


def _some_at_a_time(sources: Iterable[str]) -> Iterator[list[str]]:
    left = iter(sources)
    while some := list(islice(left, _SOURCES_PER_READ)):
        yield some


def _merged(source: str, entries: Sequence[Entry], held: _Rows, end: int) -> Iterator[ContributionRow]:
    """Yield the changed rows of one source. `end` is the index after the last entry of all sources."""
    dropped = dropped_through(entries)
    gone = {period for period, row in held.items() if row.through < dropped}
    through = {period: row.through for period, row in held.items() if period not in gone}

    def more(period: str, added: CellColumns) -> ContributionRow:
        base = unpack(held[period].packed) if period in through else empty()
        return ContributionRow(source, period, end, pack(add_up([base, added])))

    written = set[str]()
    for month, added in by_month(not_held(entries, through)):
        rows = [more(month, added)]
        if len(rows[0].packed) > MOST_ROW_BYTES:
            rows = [more(day, cells) for day, cells in by_day(added)]
        yield from rows
        written.update(row.period for row in rows)
    for period in gone - written:
        yield ContributionRow(source, period, end, pack(empty()))
