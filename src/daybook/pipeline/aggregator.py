"""Takes the oldest elements of the queue, adds them up, and commits the new totals."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import structlog

from daybook.clock import moment_text, utc_now
from daybook.domain.bucket import Bucket, BucketState, Cell
from daybook.domain.position import Position, Refused
from daybook.domain.restatement import Restatement
from daybook.domain.source import QUEUE_SOURCE
from daybook.errors import LaneLostError, RedisUnavailableError, SourceError, StoreUnavailableError
from daybook.pipeline.element_reader import Applied, Changes, ElementReader, is_json
from daybook.pipeline.method_limit import Crowded, MethodLimit, overfull, without
from daybook.pipeline.restating import ClosedBucket, restatements
from daybook.pipeline.stop import Backoff, StopToken
from daybook.sources.batch_codec import decode
from daybook.stores.archive import Archive, ArchivedBucket
from daybook.stores.commit import BucketWrite, Commit, LedgerMove
from daybook.stores.hot_aggregates import HotAggregates, ResidentBucket
from daybook.stores.source_registry import SourceRegistry
from daybook.stores.transaction_queue import Element, TransactionQueue

log = structlog.get_logger("aggregator")

_ELEMENTS_PER_COMMIT = 16000
_BYTES_PER_COMMIT = 16 << 20
_SINGLY_AFTER_REFUSAL = 64
"""A batch with rows that have no room is seldom alone, and is applied alone."""
_NOTHING = Cell(0, 0)


class Room(Protocol):
    async def make_room(self, buckets: int, needed: Iterable[Bucket]) -> None:
        """Evict until `buckets` further ones fit, none of the needed; raises StoreUnavailableError."""
        ...

    async def make_room_for_records(self) -> None:
        """Archive the waiting rejects and restatements when they are at their limit; raises StoreUnavailableError."""
        ...


class _Held(NamedTuple):
    """A bucket as the aggregator knows it."""

    resident: int | None
    """Its version in Redis; None: not resident."""
    state: BucketState
    closed: bool = False
    """It had left Redis for the archive before."""
    since: str = ""
    """When it was last changed, as `clock.moment_text`; empty when nobody knows."""


class Aggregator:
    """The one consumer of a lane. It keeps absolute totals in memory, which is safe under the lane's fence:
    a commit names the version that each bucket must have in Redis.

    LaneLostError and RedisUnavailableError leave it: the lane has to be acquired again, with a new object.
    """

    def __init__(
        self,
        queue: TransactionQueue,
        hot: HotAggregates,
        registry: SourceRegistry,
        archive: Archive,
        room: Room,
        *,
        token: str,
        max_buckets: int,
        max_methods: int,
    ) -> None:
        self._queue, self._hot, self._registry, self._archive, self._room = (
            queue,
            hot,
            registry,
            archive,
            room,
        )
        self._token = token
        self._max_buckets, self._max_methods = max_buckets, max_methods
        self._held: dict[Bucket, _Held] = {}
        self._ledgers: dict[str, Position] = {}
        self._refused: dict[str, Refused] = {}
        self._sequence: int | None = None
        self._one_by_one = False
        self._singly = 0

    async def run(self, stop: StopToken, wait_seconds: float) -> None:
        backoff = Backoff()
        while not stop.is_set():
            try:
                if await self.aggregate_once() == 0:
                    await stop.or_stop(self._queue.wait(wait_seconds))
                backoff.reset()
            except RedisUnavailableError:
                raise
            except StoreUnavailableError as error:
                self._one_by_one = True
                seconds = backoff.seconds()
                log.warning("waiting for the archive", reason=str(error), seconds=seconds)
                await stop.wait(seconds)

    async def aggregate_once(self) -> int:
        """Apply the oldest elements in one commit; how many left the queue."""
        limit = 1 if self._one_by_one or self._singly else _ELEMENTS_PER_COMMIT
        elements = await self._queue.peek(limit, _BYTES_PER_COMMIT)
        if not elements:
            return 0
        done = await self._aggregate(elements)
        self._one_by_one, self._singly = False, max(0, self._singly - 1)
        return done

    async def _aggregate(self, elements: Sequence[Element]) -> int:
        applied = await self._apply(elements)
        await self._hold(applied.changes)
        crowded: Crowded = {}
        if full := self._overfull(applied.changes):
            if applied.elements > (together := _of_one_kind(elements)):
                self._singly = _SINGLY_AFTER_REFUSAL if together == 1 else 0
                return await self._aggregate(elements[:together])
            crowded = await self._refuse(applied, full, elements)
        await self._commit(applied, crowded)
        return applied.elements

    async def _apply(self, elements: Sequence[Element]) -> Applied:
        """Read elements in a thread, with the ledgers of the sources that they speak of."""
        while True:
            applied = await asyncio.to_thread(
                ElementReader(self._ledgers, max(1, self._max_buckets // 2)).apply, elements
            )
            if not applied.unknown_sources:
                return applied
            for identifier in applied.unknown_sources:
                source = await self._registry.get(identifier)
                self._refused[identifier] = source.refused if source else Refused()
                if source is not None or identifier == QUEUE_SOURCE:
                    self._ledgers[identifier] = source.applied if source else Position()
                else:
                    self._ledgers[identifier] = Position(offset=-1)

    def _overfull(self, changes: Changes) -> dict[Bucket, set[str]]:
        return overfull(changes, {bucket: self._held[bucket].state for bucket in changes}, self._max_methods)

    async def _refuse(self, applied: Applied, full: dict[Bucket, set[str]], elements: Sequence[Element]) -> Crowded:
        """Turn the rows without room into rejects, of one batch or a run of JSON."""
        limit = MethodLimit(full, self._max_methods)
        taken = [element for element in elements[: applied.elements] if isinstance(element, bytes)]
        ((name, before),) = ((source, self._ledgers[source]) for source in applied.ledgers)
        if name == QUEUE_SOURCE:
            rows = await asyncio.to_thread(limit.of_queue, taken, before.rows)
        else:
            batch, source = await asyncio.to_thread(decode, taken[0]), await self._registry.get(name)
            if source is None:
                raise LaneLostError(f"Redis does not know source {name!r} any more")
            try:
                rows = await asyncio.to_thread(limit.of_file, batch, source, before)
            except SourceError as error:
                rejected = await self._rejected_lines(name, before.line, batch.header.end.line)
                rows = limit.without_file(batch, before, rejected, str(error))
        applied.rejects = sorted([*applied.rejects, *rows.rejects], key=lambda reject: reject.line)
        applied.refused[name] = rows.added_to(self._refused[name])
        applied.changes = without(applied.changes, rows.crowded)
        return rows.crowded

    async def _rejected_lines(self, source: str, after: int, last: int) -> set[int]:
        """Lines of a source that the importer has rejected."""
        waiting = {reject.line for reject in await self._hot.waiting_rejects() if reject.source == source}
        return waiting | {reject.line for reject in await self._archive.rejects(source, after, last - after)}

    async def _commit(self, applied: Applied, crowded: Crowded) -> None:
        if self._sequence is None:
            self._sequence = await self._hot.sequence()
        while True:
            at = moment_text(utc_now())
            writes, after = await asyncio.to_thread(self._writes, applied.changes, at)
            commit = Commit(
                sequence=self._sequence + 1,
                trim=applied.elements,
                freed_bytes=applied.batch_bytes,
                ledgers=[
                    LedgerMove(
                        source,
                        self._ledgers[source].offset,
                        position,
                        applied.refused.get(source) or self._refused.get(source, Refused()),
                    )
                    for source, position in applied.ledgers.items()
                ],
                buckets=writes,
                rejects=applied.rejects,
                restatements=await self._restatements(applied, crowded, at),
            )
            if commit.rejects or commit.restatements:
                await self._room.make_room_for_records()
            stale = (await self._hot.commit(self._token, commit)).stale
            if not stale:
                break
            for bucket in stale:
                del self._held[bucket]
            await self._hold(applied.changes)
            if self._overfull(applied.changes):
                raise LaneLostError("another consumer has changed the buckets")
        self._sequence += 1
        self._ledgers.update(applied.ledgers)
        self._refused.update(applied.refused)
        self._held.update(after)

    async def _restatements(self, applied: Applied, crowded: Crowded, at: str) -> list[Restatement]:
        closed = {
            bucket: ClosedBucket(held.state, held.since)
            for bucket in applied.changes
            if (held := self._held[bucket]).closed
        }
        if not closed:
            return []
        return await asyncio.to_thread(restatements, applied, crowded, closed, self._ledgers, at)

    def _writes(self, changes: Changes, at: str) -> tuple[list[BucketWrite], dict[Bucket, _Held]]:
        writes: list[BucketWrite] = []
        after: dict[Bucket, _Held] = {}
        for bucket, added in changes.items():
            resident, state, closed, since = self._held[bucket]
            cells = dict(state.cells)
            for method, units, transactions in added:
                held = cells.get(method, _NOTHING)
                cells[method] = Cell(held.units + units, held.transactions + transactions)
            full = BucketState(state.version + 1, cells)
            changed = None if resident is None else [method for method, _, _ in added]
            writes.append(BucketWrite(bucket, resident, full, changed, closed))
            after[bucket] = _Held(full.version, full, closed, max(at, since))
        return writes, after

    async def _hold(self, buckets: Iterable[Bucket]) -> None:
        """Know every bucket in full: from Redis if it is resident, else from the archive, else empty."""
        wanted = list(buckets)
        if len(self._held) + len(wanted) > self._max_buckets:
            self._held = {bucket: self._held[bucket] for bucket in wanted if bucket in self._held}
        missing = [bucket for bucket in wanted if bucket not in self._held]
        if not missing:
            return
        hot = await self._hot.read(missing)
        self._held.update({bucket: _resident(held) for bucket, held in hot.items()})
        cold = [bucket for bucket in missing if bucket not in hot]
        if cold:
            await self._room.make_room(len(cold), wanted)
            archived = await self._archive.load(cold)
            self._held.update({bucket: _cold(archived.get(bucket)) for bucket in cold})


def _cold(archived: ArchivedBucket | None) -> _Held:
    if archived is None:
        return _Held(None, BucketState(0, {}))
    return _Held(None, archived.state, closed=True, since=archived.changed)


def _resident(held: ResidentBucket) -> _Held:
    return _Held(held.state.version, held.state, held.closed, held.changed)


def _of_one_kind(elements: Sequence[Element]) -> int:
    """How many elements from the first on can be judged row by row together: one batch, or a run of JSON."""
    run = next((index for index, element in enumerate(elements) if not is_json(element)), len(elements))
    return max(1, run)
