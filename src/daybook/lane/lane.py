"""The lane: lets one process at a time consume the queue and dump."""

import time
from collections import deque
from typing import NamedTuple

import structlog

from daybook.errors import FencedError, ForeignKeyError, LaneLostError, RedisUnavailableError, StoreUnavailableError
from daybook.lane.aggregator import Aggregator
from daybook.lane.dumper import Dumper, Retention
from daybook.lane.obstacles import WAITED_OUT
from daybook.lane.recovery import recover
from daybook.runtime.loop import Backoff, repeat
from daybook.runtime.outages import Outage
from daybook.runtime.stop import StopToken, first_failure
from daybook.runtime.waits import Wait
from daybook.stores import redis_keys
from daybook.stores.lease import Lease
from daybook.stores.stores import Stores

log = structlog.get_logger("lane")


_LOSSES_TOLERATED, _LOSS_SECONDS, _LOSSES_KEPT = 2, 60.0, 100
"""`Lane.problem` names the losses of batches once there were this many within this many seconds. The last one bounds
how many are remembered.
"""


class LaneSettings(NamedTuple):
    lease_seconds: float
    queue_wait_seconds: float
    retention: Retention
    max_methods: int
    """Number of payment methods that one bucket may hold."""
    alone: bool
    """True when the data directory's lock keeps all other processes from this Redis. Old leases are then taken over."""
    keep_contributions: bool = True
    """True when the archive keeps what each source added to which totals."""
    purpose: str = ""
    """The command that works the lane, such as `daybook serve`; other processes read it from the lease."""


class Lane:
    """Takes the lane for this process and works it."""

    def __init__(self, stores: Stores, settings: LaneSettings) -> None:
        self._stores, self._settings = stores, settings
        self._backoff = Backoff()
        self._outage = Outage(log, "the lane goes on")
        self._wait = Wait()
        self._wait.begin("the first try")
        self.waits = {"lane": self._wait, "aggregator": Wait(), "dumper": Wait()}
        """The waits of the lane's parts, by name."""
        self._losses: deque[float] = deque(maxlen=_LOSSES_KEPT)
        """Moments, on the monotonic clock, at which batches had left the queue without a commit."""

    @property
    def waiting_for(self) -> str:
        """The reason why the lane does not work, as text for people; empty while it works here or elsewhere."""
        return self._wait.reason

    @property
    def problem(self) -> str:
        """A problem of the queue that does not stop the lane, as text for people; empty when there is none."""
        recent = sum(time.monotonic() - moment < _LOSS_SECONDS for moment in self._losses)
        if recent < _LOSSES_TOLERATED:
            return ""
        return (
            f"another program takes elements from {self._stores.queue.key} ({recent} times in the last "
            f"{_LOSS_SECONDS:.0f} s): stop it; batches are read again, JSON that it took is lost"
        )

    async def run(self, stop: StopToken) -> None:
        """Take the lane whenever it is free, and work until the stop.

        Raises ConfigurationError when Redis and the archive do not belong together.
        """

        async def step() -> float:
            await self._hold_once(stop)
            return 0.0

        lost: tuple[type[Exception], ...] = (LaneLostError, FencedError, *WAITED_OUT)
        await repeat(step, stop, self._note_wait, retried=lost, backoff=self._backoff)

    async def _note_wait(self, error: Exception, _: float) -> None:
        match error:
            case ForeignKeyError():
                self._wait.begin(str(error))
            case RedisUnavailableError():
                self._wait.begin(f"waiting for Redis: {error}")
            case StoreUnavailableError():
                self._wait.begin(f"waiting for {self._stores.archive.name}: {error}")
            case _:
                self._wait.begin(str(error))
        self._outage.goes_on(type(error), self.waiting_for)

    async def _hold_once(self, stop: StopToken) -> None:
        """Wait for the lane's lease, then work until the stop or until the lane is lost."""
        redis = self._stores.redis
        server = await redis.check_server()
        settings = self._settings
        lease = Lease(redis, redis_keys.LANE_LEASE, redis_keys.LANE, settings.lease_seconds, settings.purpose)
        while seconds := await lease.acquire(steal=self._settings.alone):
            if await self._stores.hot.state():
                self._wait.end()
                self._outage.over()
            else:
                self._wait.begin("waiting for another instance to restore Redis")
            if await stop.wait(min(seconds, 1.0)):
                return
        try:
            if server.may_lose:
                log.warning("a crash of Redis can lose acknowledged writes", reason=server.may_lose)
            await recover(self._stores, lease.token)
            log.info("lane taken", epoch=lease.epoch, archive=self._stores.archive.name)
            self._wait.end()
            self._outage.over()
            self._backoff.reset()
            await self._work(stop, lease)
        finally:
            await lease.give_back()

    async def _work(self, stop: StopToken, lease: Lease) -> None:
        dumper = Dumper(self._stores, self._settings.retention, token=lease.token)
        aggregator = Aggregator(
            self._stores,
            dumper,
            token=lease.token,
            max_buckets=self._settings.retention.max_buckets,
            max_methods=self._settings.max_methods,
            keep_contributions=self._settings.keep_contributions,
            on_loss=lambda: self._losses.append(time.monotonic()),
        )
        await first_failure(
            aggregator.run(stop, self._settings.queue_wait_seconds, self.waits["aggregator"]),
            dumper.run(stop, self.waits["dumper"]),
            self._keep(lease, stop),
        )
        await self._last_dump(dumper)

    async def _keep(self, lease: Lease, stop: StopToken) -> None:
        while not await stop.wait(self._settings.lease_seconds / 3):
            if not await lease.renew():
                raise LaneLostError("another instance took the lane over")

    async def _last_dump(self, dumper: Dumper) -> None:
        try:
            await dumper.dump_once()
        except WAITED_OUT as error:
            log.warning("the last dump failed; the next start dumps instead", reason=str(error))
