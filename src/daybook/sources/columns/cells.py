"""Cells as columns: the form of sums on their way from a block of rows to a commit."""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from daybook.domain.bucket import TYPES, Bucket, Cell, Sums

Integers = NDArray[np.int64]

HIGH_BITS = 32
LOW = (1 << HIGH_BITS) - 1
HIGH_OF_ONE = 1 << 35
"""Exceeds the high part of any amount of one transaction."""
MAX_TRANSACTIONS = 1 << 26
"""Largest number of transactions in one cell of one batch. Twice as many can be added up in 64 bits."""
_DENSE = 4
_DENSE_ANYWAY = 1 << 16


class CellColumns(NamedTuple):
    """Cells as columns of equal length, one row for each cell. A cell may have several rows until `joined`.

    The amount of a row is `high * 2^32 + low` units of 10^-8 (`daybook.domain.money`).
    """

    names: list[str]
    """Payment methods, each once."""
    days: Integers
    """Ordinals of the days, as `date.toordinal`."""
    types: Integers
    """Indexes in `daybook.domain.bucket.TYPES`."""
    methods: Integers
    """Indexes in `names`."""
    high: Integers
    low: Integers
    """0 to 2^32 - 1."""
    transactions: Integers

    def buckets(self) -> Integers:
        """Return one number for each distinct bucket, ascending."""
        return np.unique(self.days * 2 + self.types)

    def totals(self) -> dict[str, int]:
        """Return the sum of the amounts of each type, in units, under `deposits` and `withdrawals`."""
        return {
            name: (int(self.high[here].sum()) << HIGH_BITS) + int(self.low[here].sum())
            for name, here in ((name, self.types == index) for index, name in enumerate(TYPES))
        }

    def by_bucket(self) -> Iterator[tuple[Bucket, list[tuple[str, int, int]]]]:
        """Yield each bucket with the payment method, units and transactions of each of its cells, in order of days.

        The columns must be `joined`.
        """
        numbers = self.days * 2 + self.types
        begins = np.flatnonzero(np.diff(numbers, prepend=-1))
        names, methods = self.names, self.methods.tolist()
        units = [(high << HIGH_BITS) + low for high, low in zip(self.high.tolist(), self.low.tolist(), strict=True)]
        cells = list(zip([names[method] for method in methods], units, self.transactions.tolist(), strict=True))
        ends = [*begins.tolist(), len(cells)][1:]
        for number, begin, end in zip(numbers[begins].tolist(), begins.tolist(), ends, strict=True):
            yield Bucket(day_text(number // 2), TYPES[number % 2]), cells[begin:end]

    def sums(self) -> Sums:
        """Return the cells by bucket. The columns must be `joined`."""
        return {
            bucket: {name: Cell(units, transactions) for name, units, transactions in cells}
            for bucket, cells in self.by_bucket()
        }


def empty() -> CellColumns:
    none = np.zeros(0, np.int64)
    return CellColumns([], none, none, none, none, none, none)


def from_sums(sums: Sums) -> CellColumns:
    codes: dict[str, int] = {}
    rows = [
        (
            date.fromisoformat(bucket.day).toordinal(),
            TYPES.index(bucket.type),
            codes.setdefault(method, len(codes)),
            cell.units >> HIGH_BITS,
            cell.units & LOW,
            cell.transactions,
        )
        for bucket, cells in sums.items()
        for method, cell in cells.items()
    ]
    table = np.array(rows, np.int64).reshape(len(rows), 6)
    return CellColumns(list(codes), *(table[:, column] for column in range(6)))


def joined(parts: Sequence[CellColumns]) -> CellColumns:
    """Return the sums of all parts, with each cell in one row, ordered by day and type.

    All parts together may hold at most twice `MAX_TRANSACTIONS` transactions.
    """
    whole = stacked(parts)
    if not len(whole.days):
        return whole
    oldest, number = int(whole.days.min()), max(1, len(whole.names))
    places = ((whole.days - oldest) * 2 + whole.types) * number + whole.methods
    size = int(places.max()) + 1
    if size <= _DENSE * len(places) + _DENSE_ANYWAY:
        counts, low, high = (_added(places, column, size) for column in (whole.transactions, whole.low, whole.high))
        places = np.flatnonzero(counts | low | high)
        counts, low, high = counts[places], low[places], high[places]
    else:
        order = np.argsort(places)
        places = places[order]
        begins = np.flatnonzero(np.diff(places, prepend=-1))
        counts, low, high = (
            np.add.reduceat(column[order], begins) for column in (whole.transactions, whole.low, whole.high)
        )
        places = places[begins]
    buckets, methods = np.divmod(places, number)
    days, types, high, low = oldest + (buckets >> 1), buckets & 1, high + (low >> HIGH_BITS), low & LOW
    used = np.flatnonzero(np.bincount(methods, minlength=number))
    if len(used) < len(whole.names):
        methods = np.searchsorted(used, methods)
    return CellColumns([whole.names[code] for code in used.tolist()], days, types, methods, high, low, counts)


def _added(places: Integers, values: Integers, size: int) -> Integers:
    sums = np.zeros(size, np.int64)
    np.add.at(sums, places, values)
    return sums


def stacked(parts: Sequence[CellColumns]) -> CellColumns:
    """Return the rows of all parts, in order, with one list of payment methods."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return empty()
    codes: dict[str, int] = {}
    methods = [
        np.array([codes.setdefault(name, len(codes)) for name in part.names], np.int64)[part.methods] for part in parts
    ]
    columns = [np.concatenate([part[1:][column] for part in parts]) for column in range(6)]
    columns[2] = np.concatenate(methods)
    return CellColumns(list(codes), *columns)


@lru_cache(maxsize=1 << 14)
def day_text(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()
