"""Buckets and the sums they hold."""

from collections.abc import Iterable
from typing import NamedTuple

TYPES = ("deposits", "withdrawals")


class Bucket(NamedTuple):
    """One day and one type; sorts by day."""

    day: str
    """`YYYY-MM-DD`."""
    type: str
    """`deposits` or `withdrawals`."""


class Cell(NamedTuple):
    """What one payment method adds up to."""

    units: int
    """Units of 10^-8 (`daybook.domain.money`)."""
    transactions: int
    """How many."""


Cells = dict[str, Cell]
"""Payment method → cell."""
Sums = dict[Bucket, Cells]


class BucketState(NamedTuple):
    """A bucket's full content at one version; version 0 and no cells is the empty bucket."""

    version: int
    cells: Cells


def add_cells(sums: Sums, bucket: Bucket, cells: Iterable[tuple[str, Cell]]) -> None:
    """Add `cells` to `sums` in place."""
    held = sums.setdefault(bucket, {})
    for method, cell in cells:
        units, transactions = held.get(method, (0, 0))
        held[method] = Cell(units + cell.units, transactions + cell.transactions)
