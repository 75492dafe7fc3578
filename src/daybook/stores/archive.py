"""The protocol of an archive, which keeps buckets, ledgers, rejects, restatements and corrections for good.

Every implementation passes `tests/contracts/test_archive.py`.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from daybook.clock import moment_text
from daybook.domain.bucket import Bucket, BucketState, HeldBucket
from daybook.domain.reject import Correction, Reject
from daybook.domain.restatement import Restatement
from daybook.domain.source import Source


class ArchivedSource(NamedTuple):
    """A source as a snapshot brings it to the archive."""

    source: Source
    revision: int
    """Number that grows with each change in Redis; under one snapshot number the archive never takes a lower one."""


def archived_bucket(state: BucketState, updated: datetime | None) -> HeldBucket:
    """Return `state` as an archive holds it: closed, not resident. `updated` is the last write, None when unknown."""
    return HeldBucket(state, moment_text(updated) if updated else "", closed=True)


class ContributionRow(NamedTuple):
    """What one source added in one period, as the archive keeps it: all of it, not only what a snapshot brings."""

    source: str
    """Id of the source."""
    period: str
    """`YYYY-MM`, or `YYYY-MM-DD` for further amounts of a month whose row would be too large."""
    through: int
    """Index after the last contribution that is in the row. The archive never takes a lower one."""
    packed: bytes
    """The cells, as `sources/contributions.pack`."""


class Waiting(NamedTuple):
    """The contributions that wait in Redis. Each has an index: they are numbered in the order of their commits."""

    first: int = 0
    """Index of the first one."""
    number: int = 0
    size: int = 0
    """Bytes of all of them."""


class Snapshot(NamedTuple):
    """A consistent copy of everything that changed: the sums hold exactly the rows before the ledgers."""

    number: int
    buckets: dict[Bucket, BucketState]
    """The changed buckets, each in full."""
    sources: list[ArchivedSource]
    rejects: list[Reject]
    restatements: Sequence[Restatement] = ()
    record_bytes: int = 0
    """Bytes that these rejects and restatements take in Redis."""
    waiting: Waiting = Waiting()
    """The contributions that waited in Redis."""
    contributions: Sequence[ContributionRow] = ()
    """The rows that these contributions change, in full."""


class ArchiveState(NamedTuple):
    id: str
    """Random text, chosen when the archive is created."""
    snapshot: int
    """Number of the last snapshot that the archive holds in full; 0 before the first."""
    contributions: int = 0
    """Index after the last contribution that the archive holds."""


class Written(NamedTuple):
    """The numbers of buckets that a write inserted, updated and left alone."""

    inserted: int
    updated: int
    matched: int
    """Buckets that the archive already held at this version or a newer one."""


class Archive(Protocol):
    """An archive. Each call raises StoreUnavailableError while the store does not answer.

    An interrupted write is never half done: either the next `open` finishes it, or it never happened.
    """

    name: str
    """The name of the store for messages: `SQLite`, `MongoDB`."""

    async def open(self) -> ArchiveState:
        """Become the one dumper: create what is missing, raise the epoch, finish an interrupted write.

        From then on a write by any other object that opened the archive before raises FencedError. Idempotent.
        """
        ...

    async def check(self) -> None:
        """Return when the store answers; raise StoreUnavailableError when it does not."""
        ...

    async def newest_snapshot(self, *, briefly: bool = False) -> int:
        """Return the number of the newest snapshot of which the archive may hold a part; 0 before the first.

        `briefly` gives up soon when the store does not answer: the caller can do without the number.
        """
        ...

    async def write(self, snapshot: Snapshot) -> Written:
        """Store a snapshot as a whole. It is safe to call this again with the same snapshot.

        Raises FencedError when another object has opened the archive since.
        """
        ...

    async def load(self, buckets: Iterable[Bucket]) -> dict[Bucket, HeldBucket]:
        """Return the wanted buckets that the archive holds, each in full, in few queries."""
        ...

    def days(self, first_day: str, last_day: str) -> AsyncIterator[tuple[Bucket, HeldBucket]]:
        """Give all buckets of a range of days (`YYYY-MM-DD`, both ends included), in order of day."""
        ...

    def buckets(self) -> AsyncIterator[Bucket]:
        """Give the name of every bucket that the archive holds, in order of day."""
        ...

    async def sources(self) -> list[ArchivedSource]:
        """Return all sources, the queue's own included, as of the last snapshot."""
        ...

    async def rejects(self, source_id: str, after_line: int, number: int) -> list[Reject]:
        """Return up to `number` rejects of a source after `after_line`, in line order."""
        ...

    async def restatements(self, after: str, before: str, number: int) -> list[Restatement]:
        """Return up to `number` restatements with keys between `after` and `before`, both excluded, in key order."""
        ...

    async def rejected(self, source_id: str, lines: Collection[int]) -> set[int]:
        """Return which of the lines of a source are rejected."""
        ...

    def contributions(
        self, first_period: str, last_period: str, sources: Collection[str] | None = None
    ) -> AsyncIterator[ContributionRow]:
        """Give the rows with periods between two texts, both included, in order of period; of all sources or of some.

        Each row is whole by itself; the rows of a snapshot that is being written may come in part.
        """
        ...

    async def correct(self, wanted: Sequence[Correction], void: Collection[Correction] = ()) -> list[Correction]:
        """Note corrections of rejected rows; return the correction that now stands for each, in the same order.

        The first correction of a row stands, unless it is in `void`: those are deleted, as their rows count nowhere.
        Corrections are not part of a snapshot: the note is durable when this returns.
        """
        ...

    async def corrections(self, source_id: str, lines: Sequence[int]) -> dict[int, Correction]:
        """Return the corrections of the lines of a source, by line; uncorrected lines are left out."""
        ...

    async def close(self) -> None: ...
