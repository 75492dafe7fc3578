"""Sums up the oldest elements of the queue and commits the new totals."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from daybook.clock import moment_text, utc_now
from daybook.domain.bucket import Bucket, BucketState, Cell, HeldBucket
from daybook.domain.position import Position, Refused
from daybook.domain.restatement import Restatement
from daybook.domain.source import QUEUE_SOURCE
from daybook.errors import LaneLostError, RedisUnavailableError, SourceError
from daybook.lane.contributing import records_of
from daybook.lane.element_reader import Applied, Changes, ElementReader, is_json
from daybook.lane.lost_batches import LostBatches
from daybook.lane.method_limit import MethodLimit, RefusedMethods, full_buckets, without
from daybook.lane.obstacles import WAITED_OUT, obstacle
from daybook.lane.restating import restatements
from daybook.lane.reversing import misfit, refused_after
from daybook.runtime.loop import repeat
from daybook.runtime.outages import Outage
from daybook.runtime.stop import StopToken
from daybook.runtime.waits import Wait
from daybook.sources.batch_codec import Batch, decode
from daybook.stores.commit import BucketWrite, Commit, LedgerMove, ReversalEnd
from daybook.stores.stores import Stores
from daybook.stores.transaction_queue import Element

log = structlog.get_logger("aggregator")

_ELEMENTS_PER_COMMIT = 16000
_BYTES_PER_COMMIT = 16 << 20
_SINGLY_AFTER_REFUSAL = 64
"""Commits of one element each after a batch with refused rows. More such batches usually follow it."""
_NOTHING = Cell(0, 0)
_CLOSED = Position(offset=-1)
"""Stands for the ledger of a source of which no batch counts."""
_EMPTY = HeldBucket(BucketState(0, {}))


class Room(Protocol):
    """The part that makes room in Redis."""

    async def make_room(self, buckets: int, needed: Iterable[Bucket]) -> None:
        """Evict until `buckets` more buckets fit, and keep those in `needed`. Raises StoreUnavailableError."""
        ...

    async def make_room_for_records(self) -> None:
        """Archive what waits for the archive once it reaches its limit. Raises StoreUnavailableError."""
        ...


class Aggregator:
    """The one consumer of a lane. It keeps absolute totals in memory.

    Memory cannot disagree with Redis unnoticed: a commit names the version that each bucket must have in Redis, and
    it fails when another process has taken the lane.

    Methods raise LaneLostError and RedisUnavailableError. Acquire the lane again after either, with a new object.
    """

    def __init__(
        self,
        stores: Stores,
        room: Room,
        *,
        token: str,
        max_buckets: int,
        max_methods: int,
        keep_contributions: bool = True,
        on_loss: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`on_loss` is called each time batches had left the queue without a commit."""
        self._stores, self._room = stores, room
        self._token, self._clock = token, clock
        self._lost = LostBatches(stores, token, on_loss)
        self._max_buckets, self._max_methods = max_buckets, max_methods
        self._keep_contributions = keep_contributions
        self._held: dict[Bucket, HeldBucket] = {}
        self._ledgers: dict[str, Position] = {}
        self._refused: dict[str, Refused] = {}
        self._sequence: int | None = None
        self._one_by_one = False
        self._singly = 0

    async def run(self, stop: StopToken, wait_seconds: float, wait: Wait) -> None:
        """Aggregate until the stop; look at an empty queue every `wait_seconds`, or sooner when elements arrive."""
        outage = Outage(log, "the aggregator goes on")

        async def step() -> float:
            done = await self.aggregate_once()
            outage.over()
            await self._lost.look(idle=done == 0)
            if done == 0:
                await stop.or_stop(self._stores.queue.wait(wait_seconds))
            return 0.0

        async def tell(error: Exception, _: float) -> None:
            self._one_by_one = True
            event = f"the aggregator waits for {obstacle(error)}"
            outage.goes_on(event, event, reason=str(error))

        await repeat(step, stop, tell, retried=WAITED_OUT, raised=(RedisUnavailableError,), wait=wait)

    async def aggregate_once(self) -> int:
        """Apply the oldest elements in one commit; return how many left the queue, 0 when it is empty."""
        limit = 1 if self._one_by_one or self._singly else _ELEMENTS_PER_COMMIT
        elements = await self._stores.queue.peek(limit, _BYTES_PER_COMMIT)
        if not elements:
            return 0
        done = await self._aggregate(elements)
        self._one_by_one, self._singly = False, max(0, self._singly - 1)
        return done

    async def _aggregate(self, elements: Sequence[Element]) -> int:
        applied = await self._apply(elements)
        if applied.gap and applied.elements == 0:
            if dropped := await self._lost.read_again():
                return dropped
            applied = await self._apply(elements[:1], rejects_gap=True)
        await self._hold(applied.changes)
        refused: RefusedMethods = {}
        if applied.reversal is not None:
            await self._reverse(applied, applied.reversal)
        elif full := self._full(applied.changes):
            if applied.elements > (together := _run_of_one_kind(elements)):
                self._singly = _SINGLY_AFTER_REFUSAL if together == 1 else 0
                return await self._aggregate(elements[:together])
            refused = await self._refuse(applied, full, elements)
        await self._commit(applied, refused)
        self._lost.trimmed(applied.elements)
        return applied.elements

    async def _apply(self, elements: Sequence[Element], *, rejects_gap: bool = False) -> Applied:
        """Read elements in a thread, and first the ledgers of their sources."""
        while True:
            reader = ElementReader(
                self._ledgers, max(1, self._max_buckets // 2), refused=self._refused, rejects_gap=rejects_gap
            )
            applied = await asyncio.to_thread(reader.apply, elements)
            if not applied.unknown_sources:
                return applied
            sources = {source.id: source for source in await self._stores.sources.some(applied.unknown_sources)}
            for identifier in applied.unknown_sources:
                source = sources.get(identifier)
                self._refused[identifier] = source.refused if source else Refused()
                if identifier == QUEUE_SOURCE or (source is not None and source.reverted is None):
                    self._ledgers[identifier] = source.applied if source else Position()
                else:
                    self._ledgers[identifier] = _CLOSED

    async def _reverse(self, applied: Applied, batch: Batch) -> None:
        """Note what a reversal does to refused rows, or that it cannot be made."""
        assert batch.header.reverses is not None
        if not applied.reversal_problem:
            applied.reversal_problem = await self._misfit(applied.changes)
        if applied.reversal_problem:
            applied.changes, applied.ledgers, applied.rejects, applied.by_source = {}, {}, [], {}
        else:
            applied.refused = refused_after(batch.header.reverses, self._refused)

    async def _misfit(self, changes: Changes) -> str:
        """Return why buckets cannot be as the changes of a reversal make them; empty when they can."""
        _, after = await asyncio.to_thread(self._writes, changes, "")
        return misfit({bucket: held.state for bucket, held in after.items()}, self._max_methods)

    def _full(self, changes: Changes) -> dict[Bucket, set[str]]:
        return full_buckets(changes, {bucket: self._held[bucket].state for bucket in changes}, self._max_methods)

    async def _refuse(
        self, applied: Applied, full: dict[Bucket, set[str]], elements: Sequence[Element]
    ) -> RefusedMethods:
        """Turn the refused rows of one batch, or of a run of JSON, into rejects; return their payment methods."""
        limit = MethodLimit(full, self._max_methods)
        taken = [element for element in elements[: applied.elements] if isinstance(element, bytes)]
        ((name, before),) = ((source, self._ledgers[source]) for source in applied.ledgers)
        if name == QUEUE_SOURCE:
            rows = await asyncio.to_thread(limit.of_queue, taken, before.rows)
        else:
            batch, source = await asyncio.to_thread(decode, taken[0]), await self._stores.sources.get(name)
            if source is None:
                raise LaneLostError(f"Redis no longer knows source {name!r}")
            try:
                rows = await asyncio.to_thread(limit.of_file, batch, source, before)
            except SourceError as error:
                rejected = await self._rejected_lines(name, before.line, batch.header.end.line)
                rows = limit.without_file(batch, before, rejected, str(error))
        applied.rejects = sorted([*applied.rejects, *rows.rejects], key=lambda reject: reject.line)
        applied.refused[name] = rows.added_to(self._refused[name])
        applied.changes = without(applied.changes, rows.methods)
        return rows.methods

    async def _rejected_lines(self, source: str, after: int, last: int) -> set[int]:
        """Return the rejected lines of a source after line `after`, as far as line `last`."""
        waiting = {reject.line for reject in await self._stores.hot.waiting_rejects() if reject.source == source}
        return waiting | {reject.line for reject in await self._stores.archive.rejects(source, after, last - after)}

    async def _commit(self, applied: Applied, refused: RefusedMethods) -> None:
        if self._sequence is None:
            self._sequence = await self._stores.commits.sequence()
        contributions = await self._contributions(applied, refused)
        reversal = _reversal_end(applied)
        while True:
            at = moment_text(self._clock())
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
                        drops_contributions=reversal is not None and source == reversal.source,
                    )
                    for source, position in applied.ledgers.items()
                ],
                buckets=writes,
                rejects=applied.rejects,
                restatements=await self._restatements(applied, refused, at),
                reversal=reversal,
                contributions=contributions,
                moves_elements=contributions is not None and _says_all(applied, refused),
            )
            if commit.rejects or commit.restatements or self._keep_contributions:
                await self._room.make_room_for_records()
            stale = await self._stores.commits.commit(self._token, commit)
            if not stale:
                break
            for bucket in stale:
                del self._held[bucket]
            await self._hold(applied.changes)
            if await self._misfit(applied.changes) if reversal else self._full(applied.changes):
                raise LaneLostError("another consumer changed the buckets")
        self._sequence += 1
        self._ledgers.update(applied.ledgers)
        if reversal is not None and not reversal.problem:
            self._ledgers[reversal.source] = _CLOSED
        self._refused.update(applied.refused)
        self._held.update(after)

    async def _contributions(self, applied: Applied, refused: RefusedMethods) -> list[bytes] | None:
        """Return the records of what a commit adds; None when they are not kept.

        A reversal takes contributions away, so it is recorded even when they are not kept.
        """
        if applied.reversal is None and not self._keep_contributions:
            return None
        if _says_all(applied, refused):
            return []
        complete: set[str] = set()
        if applied.reversal is not None:
            sources = await self._stores.sources.some(applied.ledgers)
            complete = {source.id for source in sources if source.has_contributions}
        return await asyncio.to_thread(records_of, applied, refused, complete)

    async def _restatements(self, applied: Applied, refused: RefusedMethods, at: str) -> list[Restatement]:
        closed = {bucket: held for bucket in applied.changes if (held := self._held[bucket]).closed}
        if not closed:
            return []
        return await asyncio.to_thread(restatements, applied, refused, closed, self._ledgers, at)

    def _writes(self, changes: Changes, at: str) -> tuple[list[BucketWrite], dict[Bucket, HeldBucket]]:
        writes: list[BucketWrite] = []
        after: dict[Bucket, HeldBucket] = {}
        for bucket, added in changes.items():
            held = self._held[bucket]
            cells = dict(held.state.cells)
            for method, units, transactions in added:
                cell = cells.get(method, _NOTHING)
                cells[method] = Cell(cell.units + units, cell.transactions + transactions)
            gone = [method for method, _, _ in added if cells[method] == _NOTHING]
            for method in gone:
                del cells[method]
            full = BucketState(held.state.version + 1, cells)
            expected = held.state.version if held.resident else None
            changed = [method for method, _, _ in added if method in cells] if held.resident else None
            writes.append(BucketWrite(bucket, expected, full, changed, gone, held.closed, len(held.state.cells)))
            after[bucket] = HeldBucket(full, max(at, held.since), resident=True, closed=held.closed)
        return writes, after

    async def _hold(self, buckets: Iterable[Bucket]) -> None:
        """Read every bucket that is not in memory: from Redis, else from the archive, else as an empty bucket."""
        wanted = list(buckets)
        if len(self._held) + len(wanted) > self._max_buckets:
            self._held = {bucket: self._held[bucket] for bucket in wanted if bucket in self._held}
        missing = [bucket for bucket in wanted if bucket not in self._held]
        if not missing:
            return
        hot = await self._stores.hot.read(missing)
        self._held.update(hot)
        cold = [bucket for bucket in missing if bucket not in hot]
        if cold:
            await self._room.make_room(len(cold), wanted)
            archived = await self._stores.archive.load(cold)
            self._held.update({bucket: archived.get(bucket, _EMPTY) for bucket in cold})


def _says_all(applied: Applied, refused: RefusedMethods) -> bool:
    """Return whether the elements themselves say what the commit adds."""
    return applied.as_pushed and not refused


def _reversal_end(applied: Applied) -> ReversalEnd | None:
    reverses = applied.reversal.header.reverses if applied.reversal else None
    return ReversalEnd(reverses.source, reverses.reversal, applied.reversal_problem) if reverses else None


def _run_of_one_kind(elements: Sequence[Element]) -> int:
    """Return how many elements at the beginning can be judged together, row by row: one batch, or a run of JSON."""
    run = next((index for index, element in enumerate(elements) if not is_json(element)), len(elements))
    return max(1, run)
