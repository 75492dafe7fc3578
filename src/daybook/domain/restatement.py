"""What became known later of a day that was closed: that had left Redis for the archive."""

from typing import NamedTuple

import msgspec

from daybook.domain.bucket import Bucket


class Change(NamedTuple):
    old: str
    """The total before, exact decimal text; `0.00` for a method that was not there."""
    new: str
    transactions: int
    """How many came in addition."""


class Restatement(msgspec.Struct, frozen=True):
    """One change of one closed bucket, by rows of one source that were applied together."""

    day: str
    type: str
    """`deposits` or `withdrawals`."""
    version: int
    """The bucket's version that holds the new totals."""
    step: int
    """Counts the sources whose rows made this version, from 0, in the order in which they were applied."""
    source: str
    offset: int
    """The change comes from the source's content from here on; of the queue's own source: elements."""
    end: int
    """And before here."""
    at: str
    """When it was applied, as `clock.moment_text`."""
    since: str
    """Since when the old totals had stood; empty when nobody knows."""
    changes: dict[str, Change]
    """By payment method."""

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.day, self.type)

    @property
    def key(self) -> str:
        """Its name; sorts by day, and within a bucket as the changes happened. Begins with the day."""
        return f"{self.day} {self.type} {self.version:019d} {self.step:05d} {self.source} {self.offset}"
