"""Restatements: the changes of closed buckets."""

from typing import NamedTuple

import msgspec

from daybook.domain.bucket import Bucket


class Change(NamedTuple):
    """The change of one cell."""

    old: str
    """Total before the change, as exact decimal text; `0.00` for a new payment method."""
    new: str
    """Total after the change, as exact decimal text."""
    transactions: int
    """Number of transactions added."""


class Restatement(msgspec.Struct, frozen=True):
    """One change of one closed bucket by rows of one source. The rows were applied in one commit."""

    day: str
    """`YYYY-MM-DD`."""
    type: str
    """`deposits` or `withdrawals`."""
    version: int
    """Version of the bucket that has the new totals."""
    step: int
    """Index of the source, from 0, among those that made this version, in the order in which they were applied."""
    source: str
    """Id of the source."""
    offset: int
    """Start of the rows in the source, in bytes; for the source `queue`, in elements."""
    end: int
    """End of the rows, in the same measure as `offset`."""
    at: str
    """Moment when the rows were applied, as `clock.moment_text`."""
    since: str
    """Moment when the old totals became valid, as `clock.moment_text`; empty when unknown."""
    changes: dict[str, Change]
    """Payment method → change of its cell."""

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.day, self.type)

    @property
    def key(self) -> str:
        """Return the name of this restatement.

        It begins with the day. Names sort by day, and within a bucket in the order of the changes.
        """
        return f"{self.day} {self.type} {self.version:019d} {self.step:05d} {self.source} {self.offset}"
