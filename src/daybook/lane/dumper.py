"""Dumps all changes to the archive, then evicts the buckets that Redis no longer needs."""

import asyncio
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

import structlog

from daybook.clock import cutoff_day, utc_now
from daybook.domain.bucket import FIRST_DAY, Bucket
from daybook.errors import DamagedBucketError, RedisUnavailableError
from daybook.lane.contributing import rows_to_write
from daybook.lane.obstacles import WAITED_OUT, obstacle
from daybook.runtime.loop import repeat
from daybook.runtime.outages import Outage
from daybook.runtime.stop import StopToken
from daybook.runtime.waits import Wait
from daybook.stores.archive import Snapshot, Written
from daybook.stores.stores import Stores

log = structlog.get_logger("dumper")

_EVICTED_PER_SCRIPT = 500
_PRESSURE_SECONDS = 0.25
_PRESSED = 0.5


class Retention(NamedTuple):
    """The limits of the data that stays in Redis."""

    age: timedelta
    """Age above which the buckets of a day may be evicted."""
    interval_seconds: float
    """Seconds between dumps; a bucket that changed within the last of them is not evicted for its age."""
    max_buckets: int
    """Number of resident buckets above which the longest unchanged ones are evicted, whatever their age."""
    max_record_bytes: int
    """Bytes of rejects and restatements that may wait for the archive."""
    max_contribution_bytes: int = 64 << 20
    """Bytes of contributions that may wait for the archive."""


class Dumper:
    """The one dumper of a lane. Methods raise LaneLostError, FencedError and StoreUnavailableError."""

    def __init__(
        self,
        stores: Stores,
        retention: Retention,
        *,
        token: str,
    ) -> None:
        self._stores, self._dumps = stores, stores.dumps
        self._retention = retention
        self._token = token
        self._due = 0.0
        """Time on the monotonic clock at which the next dump begins."""
        self._last: int | None = None
        """Number of the last snapshot."""
        self._one_at_a_time = asyncio.Lock()

    async def run(self, stop: StopToken, wait: Wait) -> None:
        """Dump every interval until the stop. Wait and try again while the archive is away."""
        outage = Outage(log, "the dumper goes on")

        async def step() -> float:
            if await self._is_due(stop):
                await self.dump_once()
                outage.over()
                self._due = time.monotonic() + self._retention.interval_seconds
            return 0.0

        async def tell(error: Exception, _: float) -> None:
            event = f"the dumper waits for {obstacle(error)}"
            outage.goes_on(event, event, reason=str(error))

        self._due = time.monotonic() + self._retention.interval_seconds
        await repeat(step, stop, tell, retried=WAITED_OUT, raised=(RedisUnavailableError,), wait=wait)

    async def _is_due(self, stop: StopToken) -> bool:
        """Wait until the next dump is due or the waiting records fill half of their room; return False at the stop."""
        while (left := self._due - time.monotonic()) > 0:
            if await stop.wait(min(left, _PRESSURE_SECONDS)):
                return False
            if await self._fill() > _PRESSED:
                break
        return not stop.is_set()

    async def dump_once(self) -> Written:
        """Write one snapshot to the archive, then evict old buckets; return what the archive did with the buckets."""
        async with self._one_at_a_time:
            written = await self._dump()
            await self._evict_old()
            return written

    async def make_room(self, buckets: int, needed: Iterable[Bucket]) -> None:
        """Dump, then evict until `buckets` more buckets fit in Redis. Buckets in `needed` stay."""
        over = await self._dumps.resident_count() + buckets - self._retention.max_buckets
        if over <= 0:
            return
        async with self._one_at_a_time:
            await self._dump()
            kept = set(needed)
            candidates = await self._dumps.longest_unchanged(over + len(kept))
            gone = await self._evict([bucket for bucket in candidates if bucket not in kept][:over])
        log.debug("made room", evicted=gone, wanted=over)

    async def make_room_for_records(self) -> None:
        """Dump when the waiting rejects and restatements, or the contributions, have reached their limit."""
        if await self._fill() >= 1:
            async with self._one_at_a_time:
                await self._dump()

    async def _fill(self) -> float:
        """Return the part of their room that the waiting records or contributions take, whichever is more."""
        records, contributions = await self._dumps.waiting_bytes()
        return max(records / self._retention.max_record_bytes, contributions / self._retention.max_contribution_bytes)

    async def _dump(self) -> Written:
        if self._last is None and (state := await self._stores.hot.state()):
            self._last = state.snapshot
        snapshot = await self._snapshot()
        if snapshot is None:
            return Written(0, 0, 0)
        self._last = snapshot.number
        if snapshot.waiting.number:
            contributions = await self._dumps.contributions(snapshot.waiting)
            rows = await rows_to_write(self._stores.archive, snapshot.waiting, contributions)
            snapshot = snapshot._replace(contributions=rows)
        await self._stores.redis.wait_until_durable()
        written = await self._stores.archive.write(snapshot)
        await self._dumps.settle(self._token, snapshot)
        log.info(
            "dumped",
            snapshot=snapshot.number,
            inserted=written.inserted,
            updated=written.updated,
            matched=written.matched,
            rejects=len(snapshot.rejects),
            restatements=len(snapshot.restatements),
        )
        return written

    async def _snapshot(self) -> Snapshot | None:
        try:
            return await self._dumps.snapshot(self._token, self._last)
        except DamagedBucketError as error:
            self._stores.hot.note_damaged(Bucket(*error.bucket))
            if self._last is not None:
                self._last += 1  # the number is taken
            raise

    async def _evict_old(self) -> None:
        cutoff = cutoff_day(utc_now(), self._retention.age)
        old = [bucket for bucket in await self._stores.hot.resident(FIRST_DAY, cutoff) if bucket.day < cutoff]
        unchanged_ms = int(self._retention.interval_seconds * 1000)
        gone = await self._evict(old, unchanged_ms)
        over = await self._dumps.resident_count() - self._retention.max_buckets
        if over > 0:
            gone += await self._evict(await self._dumps.longest_unchanged(over))
        if gone:
            log.info("evicted", buckets=gone, cutoff=cutoff)

    async def _evict(self, buckets: list[Bucket], unchanged_ms: int = 0) -> int:
        """Evict the buckets that are archived and unchanged for `unchanged_ms`; return how many were evicted."""
        newest = await self._dumps.now_milliseconds() - unchanged_ms if buckets else 0
        gone = 0
        for first in range(0, len(buckets), _EVICTED_PER_SCRIPT):
            gone += await self._dumps.evict(self._token, buckets[first : first + _EVICTED_PER_SCRIPT], newest)
        return gone
