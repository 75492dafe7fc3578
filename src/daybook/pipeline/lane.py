"""The lane: this process's turn at being the one consumer of the queue and the one dumper."""

from collections.abc import Callable
from typing import NamedTuple

import structlog

from daybook.errors import FencedError, LaneLostError, RedisUnavailableError, StoreUnavailableError
from daybook.pipeline.aggregator import Aggregator
from daybook.pipeline.dumper import Dumper, Retention
from daybook.pipeline.recovery import recover
from daybook.pipeline.stop import Backoff, StopToken, first_failure
from daybook.stores import redis_keys
from daybook.stores.archive import Archive
from daybook.stores.connection import RedisConnection
from daybook.stores.hot_aggregates import HotAggregates
from daybook.stores.lease import Lease
from daybook.stores.source_registry import SourceRegistry
from daybook.stores.transaction_queue import TransactionQueue

log = structlog.get_logger("lane")


class LaneSettings(NamedTuple):
    lease_seconds: float
    queue_wait_seconds: float
    retention: Retention
    max_methods: int
    """Payment methods in one bucket."""
    alone: bool
    """Nobody else can use this Redis (the data directory's lock says so): no need to wait for old leases."""


class Lane:
    def __init__(
        self,
        redis: RedisConnection,
        queue: TransactionQueue,
        hot: HotAggregates,
        registry: SourceRegistry,
        archive: Archive,
        settings: LaneSettings,
    ) -> None:
        self._redis, self._queue, self._hot = redis, queue, hot
        self._registry, self._archive, self._settings = registry, archive, settings
        self.waiting_for = "the first try"
        """What keeps the lane from working, for people; empty while it works here or elsewhere."""

    async def run(self, stop: StopToken) -> None:
        """Hold the lane whenever it can be had. Raises ConfigurationError when it must not be worked."""
        backoff = Backoff()
        while not stop.is_set():
            try:
                await self._hold_once(stop, backoff.reset)
                continue
            except (LaneLostError, FencedError) as error:
                reason = str(error)
            except RedisUnavailableError as error:
                reason = f"waiting for Redis: {error}"
            except StoreUnavailableError as error:
                reason = f"waiting for {self._archive.name}: {error}"
            seconds = backoff.seconds()
            self.waiting_for = reason
            log.warning(reason, next_try_seconds=seconds)
            await stop.wait(seconds)

    async def _hold_once(self, stop: StopToken, on_success: Callable[[], None]) -> None:
        server = await self._redis.check_server()
        lease = Lease(self._redis, redis_keys.LANE_LEASE, redis_keys.LANE, self._settings.lease_seconds)
        while seconds := await lease.acquire(steal=self._settings.alone):
            self.waiting_for = "" if await self._hot.state() else "another instance to restore Redis"
            if await stop.wait(min(seconds, 1.0)):
                return
        try:
            if server.may_lose:
                log.warning("a crash of Redis can lose what it acknowledged", reason=server.may_lose)
            await recover(self._hot, self._archive, lease.token)
            log.info("lane taken", epoch=lease.epoch, archive=self._archive.name)
            self.waiting_for = ""
            on_success()
            await self._work(stop, lease)
        finally:
            await _release(lease)

    async def _work(self, stop: StopToken, lease: Lease) -> None:
        dumper = Dumper(self._redis, self._hot, self._archive, self._settings.retention, token=lease.token)
        aggregator = Aggregator(
            self._queue,
            self._hot,
            self._registry,
            self._archive,
            dumper,
            token=lease.token,
            max_buckets=self._settings.retention.max_buckets,
            max_methods=self._settings.max_methods,
        )
        await first_failure(
            aggregator.run(stop, self._settings.queue_wait_seconds),
            dumper.run(stop),
            self._keep(lease, stop),
        )
        await self._last_dump(dumper)

    async def _keep(self, lease: Lease, stop: StopToken) -> None:
        while not await stop.wait(self._settings.lease_seconds / 3):
            if not await lease.renew():
                raise LaneLostError("another instance has taken the lane over")

    async def _last_dump(self, dumper: Dumper) -> None:
        try:
            await dumper.dump_once()
        except StoreUnavailableError as error:
            log.warning("no last dump; the next start makes up for it", reason=str(error))


async def _release(lease: Lease) -> None:
    try:
        await lease.release()
    except RedisUnavailableError as error:
        log.debug("lease not given back; it expires", reason=str(error))
