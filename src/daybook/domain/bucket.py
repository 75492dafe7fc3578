"""Buckets and the sums they hold."""

from collections.abc import Iterable
from typing import NamedTuple

from daybook.domain.transaction import Transaction

TYPES = ("deposits", "withdrawals")
FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"
"""The days of the calendar, both included."""
DAYS_BEFORE_1970 = 719_163
"""What turns a count of days since 1970-01-01 into `date.toordinal`."""


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

    @property
    def units(self) -> int:
        """Sum of all cells, in units of 10^-8."""
        return sum(cell.units for cell in self.cells.values())

    @property
    def transactions(self) -> int:
        """Number of transactions in all cells."""
        return sum(cell.transactions for cell in self.cells.values())

    def is_ahead_of(self, archived: "BucketState | None") -> bool:
        """Return whether the archive, which holds `archived`, still waits for this version."""
        return archived is None or archived.version < self.version


class HeldBucket(NamedTuple):
    """A bucket as the store that answers for it holds it: Redis while it is resident, else the archive."""

    state: BucketState
    since: str = ""
    """When it was last changed, as `clock.moment_text`; empty when nobody knows."""
    resident: bool = False
    """Redis holds it."""
    closed: bool = False
    """It left Redis for the archive before: each further change is a restatement."""


def add_transaction(sums: Sums, row: Transaction) -> None:
    """Add one transaction to `sums` in place."""
    add_cells(sums, Bucket(row.day, row.type.plural), [(row.payment_method, Cell(row.units, 1))])


def add_cells(sums: Sums, bucket: Bucket, cells: Iterable[tuple[str, Cell]]) -> None:
    """Add `cells` to `sums` in place."""
    held = sums.setdefault(bucket, {})
    for method, cell in cells:
        units, transactions = held.get(method, (0, 0))
        held[method] = Cell(units + cell.units, transactions + cell.transactions)
