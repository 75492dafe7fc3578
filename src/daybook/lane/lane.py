"""The lane: this process's turn at being the one consumer of the queue and the one dumper."""

from typing import NamedTuple

import structlog

from daybook.errors import DamagedBucketError, FencedError, LaneLostError, RedisUnavailableError, StoreUnavailableError
from daybook.lane.aggregator import Aggregator
from daybook.lane.dumper import Dumper, Retention
from daybook.lane.recovery import recover
from daybook.runtime.loop import Backoff, repeat
from daybook.runtime.stop import StopToken, first_failure
from daybook.stores import redis_keys
from daybook.stores.lease import Lease
from daybook.stores.stores import Stores

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
    def __init__(self, stores: Stores, settings: LaneSettings) -> None:
        self._stores, self._settings = stores, settings
        self._backoff = Backoff()
        self.waiting_for = "the first try"
        """What keeps the lane from working, for people; empty while it works here or elsewhere."""

    async def run(self, stop: StopToken) -> None:
        """Hold the lane whenever it can be had. Raises ConfigurationError when it must not be worked."""

        async def step() -> float:
            await self._hold_once(stop)
            return 0.0

        lost = (LaneLostError, FencedError, StoreUnavailableError)
        await repeat(step, stop, self._tell, retried=lost, backoff=self._backoff)

    async def _tell(self, error: Exception, seconds: float) -> None:
        match error:
            case RedisUnavailableError():
                self.waiting_for = f"waiting for Redis: {error}"
            case StoreUnavailableError():
                self.waiting_for = f"waiting for {self._stores.archive.name}: {error}"
            case _:
                self.waiting_for = str(error)
        log.warning(self.waiting_for, next_try_seconds=seconds)

    async def _hold_once(self, stop: StopToken) -> None:
        """Wait for the lane's lease, then work until the stop, or until the lane is lost."""
        redis = self._stores.redis
        server = await redis.check_server()
        lease = Lease(redis, redis_keys.LANE_LEASE, redis_keys.LANE, self._settings.lease_seconds)
        while seconds := await lease.acquire(steal=self._settings.alone):
            self.waiting_for = "" if await self._stores.hot.state() else "another instance to restore Redis"
            if await stop.wait(min(seconds, 1.0)):
                return
        try:
            if server.may_lose:
                log.warning("a crash of Redis can lose what it acknowledged", reason=server.may_lose)
            await recover(self._stores, lease.token)
            log.info("lane taken", epoch=lease.epoch, archive=self._stores.archive.name)
            self.waiting_for = ""
            self._backoff.reset()
            await self._work(stop, lease)
        finally:
            await _release(lease)

    async def _work(self, stop: StopToken, lease: Lease) -> None:
        dumper = Dumper(self._stores, self._settings.retention, token=lease.token)
        aggregator = Aggregator(
            self._stores,
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
        except (StoreUnavailableError, DamagedBucketError) as error:
            log.warning("no last dump; the next start makes up for it", reason=str(error))


async def _release(lease: Lease) -> None:
    try:
        await lease.release()
    except RedisUnavailableError as error:
        log.debug("lease not given back; it expires", reason=str(error))
