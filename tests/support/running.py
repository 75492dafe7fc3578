"""Runs the lane and importers in this process, built as the service builds them, on injected stores."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

from daybook.books.totals import read_totals
from daybook.domain.money import to_decimal
from daybook.domain.reject import Reject
from daybook.importing.import_manager import ImportManager
from daybook.lane.lane import Lane
from daybook.lifespan import OpenStores, importing, make_lane
from daybook.runtime.stop import StopToken, end
from daybook.settings import Settings, load
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection
from daybook.stores.sqlite_archive import SqliteArchive
from daybook.stores.transaction_queue import QueueLimits, TransactionQueue
from support.redis_server import Endpoint
from support.rows import Sums

QUEUE = "TransactionQueue"
_PATIENCE_SECONDS = 12.0
_BLOCK_BYTES = 1500


def quick_settings(**changes: Any) -> Settings:
    """Return settings with frequent dumps, renewals and evictions."""
    values = {
        "replay_speed": 0,
        "dump_interval_seconds": 0.05,
        "lease_seconds": 0.3,
        "queue_wait_seconds": 0.05,
        "cut_off_days": 1,
        "max_resident_buckets": 100,
    }
    return load(**(values | changes))


class AloneStores(OpenStores):
    """Stores on a server that only this test uses."""

    alone = True


def stores_on(redis: RedisConnection, archive: Path, settings: Settings) -> OpenStores:
    limits = QueueLimits(settings.max_queue_elements, settings.max_queue_bytes, settings.max_reject_bytes)
    queue = TransactionQueue(redis, QUEUE, limits)
    return AloneStores(redis=redis, queue=queue, archive=SqliteArchive(archive), valkey=None, probe=redis)


class Work:
    """Tasks that must live until the stop."""

    def __init__(self, tasks: Sequence["asyncio.Task[None]"], importers: ImportManager) -> None:
        self._tasks, self._importers = tasks, importers

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for a condition. Raises the exception of a task that died."""
        async with asyncio.timeout(_PATIENCE_SECONDS) as patience:
            try:
                while not await condition():
                    for task in self._tasks:
                        if task.done():
                            task.result()
                    assert not self._importers.failures()
                    await asyncio.sleep(0.02)
            except (TimeoutError, asyncio.CancelledError):
                assert not patience.expired(), f"waited in vain for: {what}"
                raise


@asynccontextmanager
async def at_work(
    endpoint: Endpoint,
    archive: Path,
    files: Sequence[Path] = (),
    *,
    with_lane: bool = True,
    timeout_seconds: float = 5.0,
    **changes: Any,
) -> AsyncIterator[Work]:
    """Run a lane and an importer for each file, with small batches, until the context ends; then stop gracefully."""
    settings = quick_settings(**changes)
    redis = endpoint.connect(timeout_seconds)
    stores = stores_on(redis, archive, settings)
    async with importing(settings, stores) as context:
        options = context.options._replace(block_bytes=_BLOCK_BYTES, poll_seconds=0.02)
        importers = ImportManager(None, context._replace(options=options), interrupted=False)
        for path in files:
            importers.add(path)
        works: list[Lane | ImportManager] = [importers]
        if with_lane:
            works.append(make_lane(settings, stores))
        stop = StopToken()
        tasks = [asyncio.create_task(work.run(stop)) for work in works]
        try:
            yield Work(tasks, importers)
            stop.set()
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await asyncio.gather(*tasks)
        finally:
            await end(tasks)
            await stores.archive.close()
            await redis.close()


class Observer:
    """Reads the stores directly, around any proxy."""

    def __init__(self, endpoint: Endpoint, archive: Path) -> None:
        self._stores = stores_on(endpoint.connect(), archive, quick_settings())
        self.redis, self.hot, self.dumps = self._stores.redis, self._stores.hot, self._stores.dumps
        self.archive, self.sources = self._stores.archive, self._stores.sources
        self.queue = self._stores.queue

    async def reconnect(self) -> None:
        """Close the connections; call this after the server was restarted."""
        await self.redis.client.connection_pool.disconnect()

    async def has_lane(self) -> bool:
        """Return True once a lane has taken the server and restored it."""
        return await self.hot.state() is not None

    async def push(self, *elements: str | bytes) -> None:
        await self.redis.command("LPUSH", QUEUE, *elements)

    async def totals(self) -> Sums:
        """Return the totals that `/stats` answers."""
        days = await read_totals(self._stores, date.min, date.max)
        return {
            (day, kind, method): (to_decimal(cell.units), cell.transactions)
            for day, types in days.items()
            for kind, cells in types.items()
            for method, cell in cells.items()
        }

    async def archived(self) -> Sums:
        """Return the totals in the archive alone."""
        return {
            (bucket.day, bucket.type, method): (to_decimal(cell.units), cell.transactions)
            async for bucket, archived in self.archive.days("0001-01-01", "9999-12-31")
            for method, cell in archived.state.cells.items()
        }

    async def rejects(self, source: str) -> list[Reject]:
        return await self.archive.rejects(source, 0, 1 << 20)

    async def all_done(self, files: Sequence[Path]) -> bool:
        """Return True when each file is read and applied to its end and the queue is empty."""
        if not await self.has_lane():
            return False
        ends = {source.path: source.applied.offset for source in (await self.sources.known()).sources}
        return await self.queue.length() == 0 and all(ends.get(str(path)) == path.stat().st_size for path in files)

    async def all_archived(self) -> bool:
        """Return True when the archive holds all that Redis holds."""
        changed = [await self.redis.command("SCARD", key) for key in (redis_keys.DIRTY, redis_keys.CHANGED_SOURCES)]
        waiting = await self.redis.command("LLEN", redis_keys.REJECTS)
        return not waiting and not any(changed)

    async def accounts(self) -> dict[str, tuple[int, int, int]]:
        """Return rows, applied and rejected rows by path. All rows must be applied."""
        found = {}
        for source in (await self.sources.known()).sources:
            assert source.waiting == 0
            rows, rejected = source.applied.rows, source.applied.rejected
            assert source.read == source.applied
            found[source.path] = rows, rows - rejected, rejected
        return found

    async def close(self) -> None:
        await self.archive.close()
        await self.redis.close()


async def prepare(endpoint: Endpoint, archive: Path) -> None:
    """Run a lane once, so that Redis and the archive belong together."""
    async with watching(endpoint, archive) as observer, at_work(endpoint, archive) as work:
        await work.until(observer.has_lane, "a lane")


@asynccontextmanager
async def watching(endpoint: Endpoint, archive: Path) -> AsyncIterator[Observer]:
    observer = Observer(endpoint, archive)
    try:
        yield observer
    finally:
        await observer.close()
