"""Whether everything fits together: every source's rows, every bucket in both stores, and the grand totals."""

from dataclasses import dataclass, field

from daybook.api.exact_json import number, number_of
from daybook.api.schemas import (
    BucketComparison,
    Comparison,
    ControlTotals,
    ReconcileAnswer,
    SourceAccount,
    StoredTotal,
)
from daybook.domain.bucket import TYPES, Bucket, BucketState
from daybook.domain.money import parse_total
from daybook.domain.source import Source
from daybook.stores.archive import Archive
from daybook.stores.both import fitting
from daybook.stores.hot_aggregates import HotAggregates, Revision
from daybook.stores.source_registry import SourceRegistry
from daybook.stores.transaction_queue import TransactionQueue

_FIRST_DAY, _LAST_DAY = "0001-01-01", "9999-12-31"
_TRIES = 3


@dataclass
class _Books:
    """Everything that was read, added up."""

    comparisons: list[BucketComparison] = field(default_factory=list)
    units: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TYPES, 0))
    transactions: int = 0
    archived: int = 0

    def count(self, bucket: Bucket, state: BucketState) -> None:
        self.units[bucket.type] += sum(cell.units for cell in state.cells.values())
        self.transactions += sum(cell.transactions for cell in state.cells.values())


class Reconciliation:
    def __init__(self, hot: HotAggregates, archive: Archive, registry: SourceRegistry, queue: TransactionQueue) -> None:
        self._hot, self._archive, self._registry, self._queue = hot, archive, registry, queue

    async def answer(self) -> ReconcileAnswer:
        """Raises StoreUnavailableError. Reads again, a few times, while rows are applied in between."""
        for _ in range(_TRIES):
            before = await self._hot.revision()
            queue = await self._registry.queue_source()
            sources = [*(await self._registry.known()).sources, *([queue] if queue else ())]
            books = await self._books(before)
            steady = before == await self._hot.revision()
            if steady:
                break
        return self._answer(sources, books, steady=steady, waiting=await self._queue.length())

    async def _books(self, before: Revision) -> _Books:
        books = _Books()
        resident = await self._hot.read(await self._hot.resident(_FIRST_DAY, _LAST_DAY))
        compared: dict[Bucket, BucketState] = {}
        async with fitting(self._hot, self._archive, before):
            async for bucket, archived in self._archive.days(_FIRST_DAY, _LAST_DAY):
                books.archived += 1
                if bucket in resident:
                    compared[bucket] = archived.state
                else:
                    books.count(bucket, archived.state)
        for bucket, held in resident.items():
            books.count(bucket, held.state)
            books.comparisons.append(_comparison(bucket, held.state, compared.get(bucket)))
        return books

    def _answer(self, sources: list[Source], books: _Books, *, steady: bool, waiting: int) -> ReconcileAnswer:
        accounts = [_account(source) for source in sources]
        transactions = sum(source.applied_rows for source in sources)
        sums = {kind: sum(parse_total(source.control_totals[kind]) for source in sources) for kind in TYPES}
        amounts = {
            kind: Comparison(
                sources=number_of(sums[kind]),
                buckets=number_of(books.units[kind]),
                balanced=sums[kind] == books.units[kind],
            )
            for kind in TYPES
        }
        counted = Comparison(
            sources=number(str(transactions)),
            buckets=number(str(books.transactions)),
            balanced=transactions == books.transactions,
        )
        return ReconcileAnswer(
            balanced=all(
                (
                    counted.balanced,
                    *(each.balanced for each in amounts.values()),
                    *(account.balanced for account in accounts),
                    *(each.state != "different" for each in books.comparisons),
                )
            ),
            steady=steady,
            waiting_elements=waiting,
            transactions=counted,
            deposits=amounts["deposits"],
            withdrawals=amounts["withdrawals"],
            sources=accounts,
            buckets=books.comparisons,
            archived_buckets=books.archived,
        )


def _account(source: Source) -> SourceAccount:
    rows, applied, rejected, waiting = source.read.rows, source.applied_rows, source.rejected_rows, source.waiting
    return SourceAccount(
        source=source.id,
        path=source.shown_path,
        rows=rows,
        applied=applied,
        rejected=rejected,
        waiting=waiting,
        balanced=rows == applied + rejected + waiting and min(applied, rejected, waiting) >= 0,
        control_totals=ControlTotals(**source.control_totals),
    )


def _comparison(bucket: Bucket, hot: BucketState, archived: BucketState | None) -> BucketComparison:
    word = "same" if archived == hot else "different"
    if archived is None or archived.version < hot.version:
        word = "ahead"
    return BucketComparison(
        date=bucket.day,
        type=bucket.type,
        redis=_stored(hot),
        archive=_stored(archived) if archived else None,
        state=word,
    )


def _stored(state: BucketState) -> StoredTotal:
    return StoredTotal(
        version=state.version,
        amount=number_of(sum(cell.units for cell in state.cells.values())),
        transactions=sum(cell.transactions for cell in state.cells.values()),
    )
