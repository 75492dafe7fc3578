"""Readiness is told in time, whatever a store does. Real server, real file."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daybook.api.services import Services
from daybook.domain.source import Source
from daybook.stores.connection import RedisConnection
from daybook.stores.sqlite_archive import SqliteArchive
from daybook.stores.stores import Stores
from daybook.stores.transaction_queue import QueueLimits, TransactionQueue
from support.redis_server import Endpoint

BUSY_SECONDS = 5.0
"""Time that SQLite waits for a lock."""
IN_TIME_SECONDS = 3.5
"""Two seconds, and what a busy machine adds."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a new file, so that no other connection can begin."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        other.close()


async def test_an_archive_that_hangs_is_told_in_time_and_checked_again_once_it_answers(
    shared_redis: Endpoint, tmp_path: Path
) -> None:
    redis, archive = shared_redis.connect(), SqliteArchive(tmp_path / "archive.sqlite")
    services = services_of(redis, archive)
    try:
        with locked(tmp_path / "archive.sqlite"):
            for _ in range(2):
                begun = time.monotonic()
                assert (await services.checks())["sqlite"] == "does not answer in time"
                assert time.monotonic() - begun < IN_TIME_SECONDS
        end = time.monotonic() + 2 * BUSY_SECONDS
        while (found := await services.checks())["sqlite"] != "ok" and time.monotonic() < end:
            pass
        assert found == {"redis": "Redis' state is not restored yet", "sqlite": "ok", "workers": "ok"}
    finally:
        await services.close()
        await archive.close()
        await redis.close()


def services_of(redis: RedisConnection, archive: SqliteArchive) -> Services:
    queue = TransactionQueue(redis, "TransactionQueue", QueueLimits(1, 1, 1))
    stores = Stores(redis=redis, queue=queue, archive=archive)
    return Services(stores, lambda: "", dict, dict, dict, not_reverted)


async def not_reverted(source: str, by: str, why: str) -> Source:
    raise NotImplementedError
