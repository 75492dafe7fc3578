"""The archive's protocol: where buckets, ledgers, rejects and restatements are kept for good.

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
    source: Source
    revision: int
    """Grows with every change in Redis; the archive never goes back to a lower one of the same snapshot."""


def archived_bucket(state: BucketState, updated: datetime | None) -> HeldBucket:
    """Return a bucket as an archive holds it; `updated`: when it was last written, None when nobody knows."""
    return HeldBucket(state, moment_text(updated) if updated else "", closed=True)


class Snapshot(NamedTuple):
    """A consistent state of everything that changed: the sums hold exactly the rows before the ledgers."""

    number: int
    buckets: dict[Bucket, BucketState]
    """Each in full."""
    sources: list[ArchivedSource]
    rejects: list[Reject]
    restatements: Sequence[Restatement] = ()
    record_bytes: int = 0
    """What rejects and restatements take in Redis."""


class ArchiveState(NamedTuple):
    id: str
    """Chosen at random when the archive is created."""
    snapshot: int
    """Number of the last snapshot that it holds in full; 0 before the first."""


class Written(NamedTuple):
    inserted: int
    updated: int
    matched: int
    """Buckets that the archive already held at this version or a newer one."""


class Archive(Protocol):
    """All calls raise StoreUnavailableError while the store does not answer; nothing is half done then:
    either the next `open` finishes a write, or it never happened.
    """

    name: str
    """For messages: `SQLite`, `MongoDB`."""

    async def open(self) -> ArchiveState:
        """Become the one dumper: create what is missing, raise the epoch, finish an interrupted write.

        From then on every other object that had opened it is refused with FencedError. Idempotent.
        """
        ...

    async def check(self) -> None:
        """Return if the store answers."""
        ...

    async def newest_snapshot(self) -> int:
        """Number of the newest snapshot of which it may hold something; 0 before the first."""
        ...

    async def write(self, snapshot: Snapshot) -> Written:
        """Store a snapshot as a whole. Safe to call again with the same snapshot.

        Raises FencedError when another object has opened the archive since.
        """
        ...

    async def load(self, buckets: Iterable[Bucket]) -> dict[Bucket, HeldBucket]:
        """Those of the buckets that it holds, in full, in one query."""
        ...

    def days(self, first_day: str, last_day: str) -> AsyncIterator[tuple[Bucket, HeldBucket]]:
        """All buckets of a range of days, both ends included, by day."""
        ...

    async def sources(self) -> list[ArchivedSource]:
        """All sources, the queue's own included, as of the last snapshot."""
        ...

    async def rejects(self, source_id: str, after_line: int, number: int) -> list[Reject]:
        """Up to `number` rejects of a source behind a line, by line."""
        ...

    async def restatements(self, after: str, before: str, number: int) -> list[Restatement]:
        """Up to `number` restatements whose keys lie between two texts, both excluded, by key."""
        ...

    async def rejected(self, source_id: str, lines: Collection[int]) -> set[int]:
        """Those of a source's lines that are rejected."""
        ...

    async def correct(self, wanted: Sequence[Correction], void: Collection[Correction] = ()) -> list[Correction]:
        """Note who corrects rejected rows; what stands now for each, in the same order.

        The first correction of a row stands, unless it is among the `void` ones: those whose row counts nowhere.
        Not part of a snapshot: done when this returns.
        """
        ...

    async def corrections(self, source_id: str, lines: Sequence[int]) -> dict[int, Correction]:
        """Those of a source's lines that are corrected."""
        ...

    async def close(self) -> None: ...
