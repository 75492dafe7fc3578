"""A lane on its own embedded server, held as a service holds it, for parts that run single steps."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, cast

from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.lane.dumper import Dumper, Retention
from daybook.lane.recovery import recover
from daybook.stores import redis_keys
from daybook.stores.archive import Archive
from daybook.stores.connection import RedisConnection
from daybook.stores.lease import Lease
from daybook.stores.stores import Stores
from daybook.stores.transaction_queue import QueueLimits, TransactionQueue

QUEUE = "TransactionQueue"
MAX_BUCKETS = 20_000
_RETENTION = Retention(timedelta(days=3_660_000), 10.0, MAX_BUCKETS, 1 << 20)
_MORE_SECONDS = 600.0


class TimedConnection(RedisConnection):
    waited_seconds = 0.0
    """Time spent until Redis had its writes on disk."""

    async def wait_until_durable(self) -> None:
        begun = time.perf_counter()
        await super().wait_until_durable()
        self.waited_seconds += time.perf_counter() - begun


class Hot(NamedTuple):
    connection: TimedConnection
    stores: Stores
    dumper: Dumper
    token: str


@asynccontextmanager
async def hot_lane(folder: Path, archive: Archive) -> AsyncIterator[Hot]:
    async with EmbeddedValkey(folder) as server:
        connection = cast(TimedConnection, TimedConnection.to(unix_socket=str(server.socket), timeout_seconds=60))
        try:
            lease = Lease(connection, redis_keys.LANE_LEASE, redis_keys.LANE, _MORE_SECONDS)
            await lease.acquire(steal=True)
            queue = TransactionQueue(connection, QUEUE, QueueLimits(10_000, 1 << 30, 1 << 20))
            stores = Stores(redis=connection, queue=queue, archive=archive)
            await recover(stores, lease.token)
            dumper = Dumper(stores, _RETENTION, token=lease.token)
            yield Hot(connection, stores, dumper, lease.token)
        finally:
            await archive.close()
            await connection.close()
