"""Takes the oldest elements of the queue, adds them up, and commits the new totals."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import structlog

from daybook.domain.bucket import Bucket, BucketState, Cell
from daybook.domain.position import Position
from daybook.domain.source import QUEUE_SOURCE
from daybook.errors import RedisUnavailableError, StoreUnavailableError
from daybook.pipeline.element_reader import Applied, Changes, ElementReader
from daybook.pipeline.stop import Backoff, StopToken
from daybook.stores.archive import Archive
from daybook.stores.hot_aggregates import BucketWrite, Commit, HotAggregates, LedgerMove
from daybook.stores.source_registry import SourceRegistry
from daybook.stores.transaction_queue import Element, TransactionQueue

log = structlog.get_logger("aggregator")

_ELEMENTS_PER_COMMIT = 16000
_BYTES_PER_COMMIT = 16 << 20
_NOTHING = Cell(0, 0)


class Room(Protocol):
    async def make_room(self, buckets: int, needed: Iterable[Bucket]) -> None:
        """Evict until `buckets` further ones fit, none of the needed; raises StoreUnavailableError."""
        ...

    async def make_room_for_rejects(self) -> None:
        """Archive the waiting rejects when they are at their limit; raises StoreUnavailableError."""
        ...


class _Held(NamedTuple):
    """A bucket as the aggregator knows it."""

    resident: int | None
    """Its version in Redis; None: not resident."""
    state: BucketState


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
    ) -> None:
        self._queue, self._hot, self._registry, self._archive, self._room = (
            queue,
            hot,
            registry,
            archive,
            room,
        )
        self._token = token
        self._max_buckets = max_buckets
        self._held: dict[Bucket, _Held] = {}
        self._ledgers: dict[str, Position] = {}
        self._sequence: int | None = None
        self._one_by_one = False

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
        limit = 1 if self._one_by_one else _ELEMENTS_PER_COMMIT
        elements = await self._queue.peek(limit, _BYTES_PER_COMMIT)
        if not elements:
            return 0
        applied = await self._apply(elements)
        if applied.rejects:
            await self._room.make_room_for_rejects()
        await self._commit(applied)
        self._one_by_one = False
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
                if source is not None or identifier == QUEUE_SOURCE:
                    self._ledgers[identifier] = source.applied if source else Position()
                else:
                    self._ledgers[identifier] = Position(offset=-1)

    async def _commit(self, applied: Applied) -> None:
        await self._hold(applied.changes)
        if self._sequence is None:
            self._sequence = await self._hot.sequence()
        while True:
            writes, after = await asyncio.to_thread(self._writes, applied.changes)
            commit = Commit(
                sequence=self._sequence + 1,
                trim=applied.elements,
                freed_bytes=applied.batch_bytes,
                ledgers=[
                    LedgerMove(source, self._ledgers[source].offset, position)
                    for source, position in applied.ledgers.items()
                ],
                buckets=writes,
                rejects=applied.rejects,
            )
            stale = (await self._hot.commit(self._token, commit)).stale
            if not stale:
                break
            for bucket in stale:
                del self._held[bucket]
            await self._hold(applied.changes)
        self._sequence += 1
        self._ledgers.update(applied.ledgers)
        self._held.update(after)

    def _writes(self, changes: Changes) -> tuple[list[BucketWrite], dict[Bucket, _Held]]:
        writes: list[BucketWrite] = []
        after: dict[Bucket, _Held] = {}
        for bucket, added in changes.items():
            resident, state = self._held[bucket]
            cells = dict(state.cells)
            for method, units, transactions in added:
                held = cells.get(method, _NOTHING)
                cells[method] = Cell(held.units + units, held.transactions + transactions)
            full = BucketState(state.version + 1, cells)
            changed = None if resident is None else [method for method, _, _ in added]
            writes.append(BucketWrite(bucket, resident, full, changed))
            after[bucket] = _Held(full.version, full)
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
        self._held.update({bucket: _Held(state.version, state) for bucket, state in hot.items()})
        cold = [bucket for bucket in missing if bucket not in hot]
        if cold:
            await self._room.make_room(len(cold), wanted)
            archived = await self._archive.load(cold)
            for bucket in cold:
                self._held[bucket] = _Held(None, archived.get(bucket, BucketState(0, {})))
