"""Compares the books: the rows of every source, every bucket in both stores, and the grand totals."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from daybook.books.contributed_months import NOTHING, accounts_by_source, ledger_of
from daybook.domain.bucket import FIRST_DAY, LAST_DAY, TYPES, Bucket, BucketState, HeldBucket
from daybook.domain.money import parse_total
from daybook.domain.source import Source
from daybook.sources.contributions import Account
from daybook.stores.consistent_read import consistent_read
from daybook.stores.steady import read_steadily
from daybook.stores.stores import Stores

_TRIES = 3


class Standing(StrEnum):
    """The relation of a bucket in Redis to the same bucket in the archive."""

    SAME = "same"
    AHEAD = "ahead"
    """Redis is newer; the next dump writes the bucket to the archive."""
    DIFFERENT = "different"
    """The archive contradicts Redis."""


class Contributions(StrEnum):
    """The relation of a source's contributions to its ledger."""

    SAME = "same"
    DIFFERENT = "different"
    INCOMPLETE = "incomplete"
    """Contributions of some of its applied rows were not kept."""


@dataclass(frozen=True)
class BucketComparison:
    """A resident bucket in both stores."""

    bucket: Bucket
    redis: BucketState
    archive: BucketState | None
    """The archive's state; None when the bucket is not archived."""

    @property
    def standing(self) -> Standing:
        """The relation of Redis to the archive."""
        if self.redis.is_ahead_of(self.archive):
            return Standing.AHEAD
        return Standing.SAME if self.archive == self.redis else Standing.DIFFERENT


@dataclass(frozen=True)
class Comparison:
    """A grand total in transactions or units, once from all sources and once from all buckets."""

    sources: int
    buckets: int

    @property
    def balanced(self) -> bool:
        """True when both sums are equal."""
        return self.sources == self.buckets


@dataclass(frozen=True)
class Reconciliation:
    """The comparison of all books."""

    steady: bool
    """False when rows were applied while the books were read."""
    waiting_elements: int
    """Number of elements in the queue."""
    sources: Sequence[Source]
    contributions: Mapping[str, Contributions]
    """By source."""
    transactions: Comparison
    amounts: dict[str, Comparison]
    """The comparison of units by type, `deposits` and `withdrawals`."""
    buckets: Sequence[BucketComparison]
    """All resident buckets."""
    archived_buckets: int
    """Number of archived buckets."""

    @property
    def balanced(self) -> bool:
        """True when all sums are equal and nothing contradicts.

        Every source is balanced, its contributions are not different, and the archive contradicts no bucket of Redis.
        """
        return (
            all(each.balanced for each in (self.transactions, *self.amounts.values()))
            and all(map(is_balanced, self.sources))
            and Contributions.DIFFERENT not in self.contributions.values()
            and all(each.standing is not Standing.DIFFERENT for each in self.buckets)
        )


def is_balanced(source: Source) -> bool:
    """Return True when the source's rows are applied + rejected + waiting and none of the three is negative."""
    parts = source.applied_rows, source.rejected_rows, source.waiting
    return source.read.rows == sum(parts) and min(parts) >= 0


@dataclass
class _Buckets:
    """The sums of all buckets. A bucket in both stores counts with its state in Redis."""

    comparisons: list[BucketComparison] = field(default_factory=list)
    units: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TYPES, 0))
    transactions: int = 0
    archived: int = 0

    def count(self, bucket: Bucket, state: BucketState) -> None:
        self.units[bucket.type] += state.units
        self.transactions += state.transactions

    def compare(self, resident: Mapping[Bucket, HeldBucket], archived: Mapping[Bucket, BucketState]) -> None:
        for bucket, held in resident.items():
            self.count(bucket, held.state)
            self.comparisons.append(BucketComparison(bucket, held.state, archived.get(bucket)))


async def reconcile(stores: Stores) -> Reconciliation:
    """Read all that both stores hold, and compare it.

    Reads again, at most 3 times in all, when rows were applied meanwhile. Raises StoreUnavailableError.
    """

    async def read() -> tuple[list[Source], _Buckets, dict[str, Account]]:
        return await stores.sources.all(), await _read_buckets(stores), await accounts_by_source(stores)

    reading = await read_steadily(stores.hot.restored_state, read, tries=_TRIES)
    sources, buckets, accounts = reading.value
    return Reconciliation(
        steady=reading.steady,
        waiting_elements=await stores.queue.length(),
        sources=sources,
        contributions={source.id: _contributions(source, accounts.get(source.id, NOTHING)) for source in sources},
        transactions=Comparison(sum(source.applied_rows for source in sources), buckets.transactions),
        amounts={
            kind: Comparison(sum(parse_total(source.control_totals[kind]) for source in sources), buckets.units[kind])
            for kind in TYPES
        },
        buckets=buckets.comparisons,
        archived_buckets=buckets.archived,
    )


def _contributions(source: Source, account: Account) -> Contributions:
    if not source.has_contributions:
        return Contributions.INCOMPLETE
    return Contributions.SAME if account == ledger_of(source) else Contributions.DIFFERENT


async def _read_buckets(stores: Stores) -> _Buckets:
    found = _Buckets()
    before = await stores.hot.restored_state()
    resident = await stores.hot.read(await stores.hot.resident(FIRST_DAY, LAST_DAY))
    compared: dict[Bucket, BucketState] = {}
    async with consistent_read(stores, before):
        async for bucket, archived in stores.archive.days(FIRST_DAY, LAST_DAY):
            found.archived += 1
            if bucket in resident:
                compared[bucket] = archived.state
            else:
                found.count(bucket, archived.state)
    await asyncio.to_thread(found.compare, resident, compared)
    return found
