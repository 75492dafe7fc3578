"""Contributions: the cells that each source added to the totals.

In Redis they wait as a list, in the order of the commits. An entry is a batch as it was applied, or a `record` for all
that was not applied as it was pushed. In the archive each source has one row for each month, which holds all that the
source added there, as `pack` makes it. Amounts and counts may be negative: rows that are taken back.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from daybook.domain.bucket import TYPES
from daybook.domain.element import BATCH_MARK
from daybook.sources.batch_codec import decode
from daybook.sources.columns.cells import HIGH_BITS, LOW, CellColumns, Integers, day_text, empty, joined

_MONTH, _DAY = len("YYYY-MM"), len("YYYY-MM-DD")
_COMPRESSION = 1
_LARGEST_UNITS = 1 << 62
_FORMS = ("i1", "i2", "i4", "i8")


class Entry(NamedTuple):
    """One contribution of one source."""

    place: int
    """Index of the contribution, in the order of the commits."""
    cells: CellColumns | None
    """The cells that it adds; None: it takes away all that the source added before."""


class _Packed(msgspec.Struct, array_like=True):
    names: list[str]
    rows: int
    columns: list[tuple[str, int, bytes]]
    """Type in NumPy's spelling, factor and compressed values of each column."""


def record(source: str, cells: CellColumns | None) -> bytes:
    """Return an entry of the list in Redis that is no batch; None takes away all that the source added before."""
    return msgspec.msgpack.encode((source, None if cells is None else pack(cells)))


def entries_by_source(first: int, contributions: Sequence[bytes]) -> dict[str, list[Entry]]:
    """Return the entries of the list in Redis by source; `first` is the index of the first one. Blocks."""
    found: dict[str, list[Entry]] = {}
    for index, content in enumerate(contributions, first):
        source, cells = _read(content)
        found.setdefault(source, []).append(Entry(index, cells))
    return found


def _read(content: bytes) -> tuple[str, CellColumns | None]:
    if content.startswith(BATCH_MARK):
        batch = decode(content)
        return batch.header.source, batch.cells
    source, packed = msgspec.msgpack.decode(content, type=tuple[str, bytes | None])
    return source, None if packed is None else unpack(packed)


def dropped_through(entries: Sequence[Entry]) -> int:
    """Return the index after the last entry that takes away all before it; 0 without one."""
    return max((entry.place + 1 for entry in entries if entry.cells is None), default=0)


def not_held(entries: Sequence[Entry], through: Mapping[str, int]) -> CellColumns:
    """Return the sums of the entries of one source that the archive does not hold.

    `through` holds, by period, the index after the last entry that the archive's row has. A day has all that either
    the row of its month or its own row has.
    """
    dropped = dropped_through(entries)
    newest = max(through.values(), default=0)
    parts = []
    for entry in entries:
        if entry.cells is None or entry.place < dropped:
            continue
        cells = entry.cells
        if entry.place < newest:
            days, places = np.unique(cells.days, return_inverse=True)
            texts = [day_text(day) for day in days.tolist()]
            is_new = [entry.place >= max(through.get(text[:_MONTH], 0), through.get(text, 0)) for text in texts]
            cells = _some(cells, np.array(is_new, bool)[places])
        parts.append(cells)
    return add_up(parts)


def months_of(entries: Sequence[Entry]) -> set[str]:
    """Return the months (`YYYY-MM`) of which the entries of one source have cells."""
    days = [entry.cells.days for entry in entries if entry.cells is not None]
    return {day_text(day)[:_MONTH] for day in np.unique(np.concatenate(days or [empty().days])).tolist()}


def add_up(parts: Sequence[CellColumns]) -> CellColumns:
    """Return the signed sums of all parts, each cell in one row, ordered by day and type; cells of nothing left out.

    A sum may have 95 bits and a sign, 3.9 * 10^20 of the currency: more than 10^8 transactions of the largest amount.
    """
    whole = joined(parts)
    return _some(whole, (whole.high | whole.low | whole.transactions) != 0)


def by_month(cells: CellColumns) -> Iterator[tuple[str, CellColumns]]:
    """Yield the cells of each month (`YYYY-MM`). The cells must be in order of days."""
    return _by_period(cells, _MONTH)


def by_day(cells: CellColumns) -> Iterator[tuple[str, CellColumns]]:
    """Yield the cells of each day (`YYYY-MM-DD`). The cells must be in order of days."""
    return _by_period(cells, _DAY)


def _by_period(cells: CellColumns, length: int) -> Iterator[tuple[str, CellColumns]]:
    days, starts = np.unique(cells.days, return_index=True)
    periods = [day_text(day)[:length] for day in days.tolist()]
    begins = [index for index, period in enumerate(periods) if index == 0 or period != periods[index - 1]]
    ends = [*starts[begins[1:]].tolist(), len(cells.days)]
    for begin, end in zip(begins, ends, strict=bool(begins)):
        here = slice(int(starts[begin]), end)
        yield periods[begin], CellColumns(cells.names, *(column[here] for column in cells[1:]))


def within(cells: CellColumns, first: date, last: date) -> CellColumns:
    """Return the cells of a range of days, both ends included."""
    return _some(cells, (cells.days >= first.toordinal()) & (cells.days <= last.toordinal()))


def _some(cells: CellColumns, wanted: NDArray[np.bool_]) -> CellColumns:
    if wanted.all():
        return cells
    return CellColumns(cells.names, *(column[wanted] for column in cells[1:]))


class Account(NamedTuple):
    """The sums that contributions and a source's ledger must agree on."""

    transactions: int
    units: Mapping[str, int]
    """Units by type, `deposits` and `withdrawals`."""


def account_of(cells: CellColumns) -> Account:
    return Account(int(cells.transactions.sum()), cells.totals())


def pack(cells: CellColumns) -> bytes:
    """Return cells as few bytes. The inverse of `unpack`."""
    names, methods = cells.names, cells.methods
    used = np.flatnonzero(np.bincount(methods, minlength=len(names)))
    if len(used) < len(names):
        names, methods = [names[code] for code in used.tolist()], np.searchsorted(used, methods)
    buckets = cells.days * len(TYPES) + cells.types
    amounts = [(cells.high << HIGH_BITS) + cells.low] if _fits_in_one(cells.high) else [cells.high, cells.low]
    columns = [_shrunk(column) for column in (np.diff(buckets, prepend=0), methods, cells.transactions, *amounts)]
    return msgspec.msgpack.encode(_Packed(names, len(cells.days), columns))


def unpack(packed: bytes) -> CellColumns:
    """Return the cells that `pack` packed."""
    content = msgspec.msgpack.decode(packed, type=_Packed)
    if not content.rows:
        return empty()
    differences, methods, transactions, *amounts = (_grown(column) for column in content.columns)
    buckets = np.cumsum(differences)
    high, low = amounts if len(amounts) > 1 else (amounts[0] >> HIGH_BITS, amounts[0] & LOW)
    return CellColumns(content.names, buckets // len(TYPES), buckets % len(TYPES), methods, high, low, transactions)


def _fits_in_one(high: Integers) -> bool:
    most = _LARGEST_UNITS >> HIGH_BITS
    return not len(high) or (int(high.max()) < most and int(high.min()) >= -most)


def _shrunk(column: Integers) -> tuple[str, int, bytes]:
    """Divide a column by what divides all of it (most amounts have 2 of 8 decimals), and store it in few bytes."""
    factor = max(1, int(np.gcd.reduce(column))) if len(column) else 1
    divided = column // factor
    least, most = (int(divided.min()), int(divided.max())) if len(divided) else (0, 0)
    form = next(form for form in _FORMS if np.iinfo(form).min <= least and most <= np.iinfo(form).max)
    return form, factor, zlib.compress(divided.astype(f"<{form}").tobytes(), _COMPRESSION)


def _grown(column: tuple[str, int, bytes]) -> Integers:
    form, factor, packed = column
    return np.frombuffer(zlib.decompress(packed), f"<{form}").astype(np.int64) * factor
