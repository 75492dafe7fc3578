"""Buckets, and the sums in them."""

from collections.abc import Iterable
from typing import NamedTuple

from daybook.domain.transaction import Transaction

TYPES = ("deposits", "withdrawals")
FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"
"""The first and the last day that Python's calendar has."""
DAYS_BEFORE_1970 = 719_163
"""Added to a number of days since 1970-01-01, it gives the ordinal of `date.toordinal`."""


class Bucket(NamedTuple):
    """One day and one type; sorts by day."""

    day: str
    """`YYYY-MM-DD`."""
    type: str
    """`deposits` or `withdrawals`."""


class Cell(NamedTuple):
    """One payment method in a bucket."""

    units: int
    """Sum of the amounts, in units of 10^-8 (`daybook.domain.money`)."""
    transactions: int
    """Number of transactions."""


Cells = dict[str, Cell]
"""Payment method → cell."""
Sums = dict[Bucket, Cells]
"""Bucket → its cells."""


class BucketState(NamedTuple):
    """The full content of a bucket at one version. The empty bucket has version 0 and no cells."""

    version: int
    cells: Cells

    @property
    def units(self) -> int:
        """Return the sum of all cells, in units of 10^-8."""
        return sum(cell.units for cell in self.cells.values())

    @property
    def transactions(self) -> int:
        """Return the number of transactions in all cells."""
        return sum(cell.transactions for cell in self.cells.values())

    def is_ahead_of(self, archived: "BucketState | None") -> bool:
        """Return whether this version is newer than the archived one; None stands for a bucket that is not archived."""
        return archived is None or archived.version < self.version


class HeldBucket(NamedTuple):
    """A bucket as its store holds it: Redis while the bucket is resident, else the archive."""

    state: BucketState
    since: str = ""
    """Time of the bucket's last change, as `clock.moment_text`; empty when unknown."""
    resident: bool = False
    """True when Redis holds the bucket."""
    closed: bool = False
    """True when the bucket was archived and not resident, now or before: each further change is a restatement."""


def add_transaction(sums: Sums, row: Transaction) -> None:
    """Add one transaction to `sums` in place."""
    add_cells(sums, Bucket(row.day, row.type.plural), [(row.payment_method, Cell(row.units, 1))])


def add_cells(sums: Sums, bucket: Bucket, cells: Iterable[tuple[str, Cell]]) -> None:
    """Add `cells` to `sums` in place."""
    held = sums.setdefault(bucket, {})
    for method, cell in cells:
        units, transactions = held.get(method, (0, 0))
        held[method] = Cell(units + cell.units, transactions + cell.transactions)
