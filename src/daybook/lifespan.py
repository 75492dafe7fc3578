"""The only place that builds real objects: open, start workers, yield, stop, close."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from daybook.api.services import Services
from daybook.embedded.data_dir import DataDirLock, make_directory
from daybook.embedded.valkey_server import EmbeddedValkey, find_running
from daybook.errors import ConfigurationError
from daybook.importing.correcting import Correcting
from daybook.importing.import_manager import ImportManager
from daybook.importing.importer import ImportContext, ImportOptions
from daybook.importing.summing_pool import SummingPool
from daybook.lane.dumper import Retention
from daybook.lane.lane import Lane, LaneSettings
from daybook.runtime.stop import StopToken
from daybook.runtime.supervisor import Supervisor, Work
from daybook.settings import Settings
from daybook.sources.row_sums import Limits
from daybook.stores.archive import Archive
from daybook.stores.connection import RedisConnection
from daybook.stores.sqlite_archive import SqliteArchive
from daybook.stores.stores import Stores
from daybook.stores.transaction_queue import QueueLimits, TransactionQueue

_BLOCKS_IN_MEMORY = 4
_REJECTS_PER_BATCH = 1000
_REDIS_TIMEOUT_SECONDS = 10.0
_CONNECTIONS_BESIDE_FILES = 64


@dataclass(kw_only=True)
class OpenStores(Stores):
    """Stores that this process has opened and will close."""

    valkey: EmbeddedValkey | None
    """The embedded server, if this process owns it."""

    @property
    def alone(self) -> bool:
        """Nobody else can write to this Redis while this process lives."""
        return self.valkey is not None


@asynccontextmanager
async def open_stores(settings: Settings, purpose: str, *, share: bool = False) -> AsyncIterator[OpenStores]:
    """Open the stores that the settings name; nothing is connected yet but the embedded server, which runs.

    `share` uses the embedded server of a service that runs on the same DataDir; else a DataDir in use
    raises ConfigurationError.
    """
    async with AsyncExitStack() as stack:
        unix_socket, valkey = None, None
        if settings.embedded_redis:
            unix_socket, valkey = await _embedded(stack, settings.data_dir, purpose, share=share)
        elif settings.mongo_uri is None:
            make_directory(settings.data_dir)
        redis = RedisConnection.to(
            host=settings.redis_host or "",
            port=settings.redis_port,
            unix_socket=unix_socket,
            username=settings.redis_username,
            password=settings.redis_password.get_secret_value() if settings.redis_password else None,
            timeout_seconds=_REDIS_TIMEOUT_SECONDS + settings.queue_wait_seconds,
            max_connections=settings.max_open_files + _CONNECTIONS_BESIDE_FILES,
        )
        stack.push_async_callback(redis.close)
        archive = _archive(settings)
        stack.push_async_callback(archive.close)
        limits = QueueLimits(settings.max_queue_elements, settings.max_queue_bytes, settings.max_reject_bytes)
        queue = TransactionQueue(redis, settings.queue_key, limits)
        yield OpenStores(redis=redis, queue=queue, archive=archive, valkey=valkey)


async def _embedded(
    stack: AsyncExitStack, data_dir: Path, purpose: str, *, share: bool
) -> tuple[str, EmbeddedValkey | None]:
    try:
        stack.enter_context(DataDirLock(data_dir, purpose))
    except ConfigurationError:
        running = find_running(data_dir) if share else None
        if running is None:
            raise
        return str(running), None
    valkey = await stack.enter_async_context(EmbeddedValkey(data_dir))
    return str(valkey.socket), valkey


def _archive(settings: Settings) -> Archive:
    if settings.mongo_uri is None:
        return SqliteArchive(settings.data_dir / "archive.sqlite")
    from daybook.stores.mongo_archive import MongoArchive  # noqa: PLC0415 - a quarter second that SQLite need not wait

    return MongoArchive(settings.mongo_uri.get_secret_value(), settings.mongo_database)


@asynccontextmanager
async def importing(settings: Settings, stores: OpenStores, *, complete: bool = False) -> AsyncIterator[ImportContext]:
    """Open what the importers of this process share."""
    options = ImportOptions(
        replay_speed=settings.replay_speed,
        limits=Limits(buckets=max(2, settings.max_resident_buckets // 2), rejects=_REJECTS_PER_BATCH),
        lease_seconds=settings.lease_seconds,
        alone=stores.alone,
        complete=complete,
        max_open=settings.max_open_files,
    )
    slots = asyncio.Semaphore(_BLOCKS_IN_MEMORY)
    async with SummingPool() as pool:
        yield ImportContext(stores, slots, asyncio.Lock(), pool, Correcting(stores), options)


def make_lane(settings: Settings, stores: OpenStores) -> Lane:
    retention = Retention(
        timedelta(days=settings.cut_off_days, minutes=settings.cut_off_minutes, seconds=settings.cut_off_seconds),
        settings.dump_interval_seconds,
        settings.max_resident_buckets,
        settings.max_reject_bytes,
    )
    lane_settings = LaneSettings(
        settings.lease_seconds,
        settings.queue_wait_seconds,
        retention,
        settings.max_methods_per_bucket,
        alone=stores.alone,
    )
    return Lane(stores, lane_settings)


@asynccontextmanager
async def running_service(settings: Settings, supervisor: Supervisor) -> AsyncIterator[Services]:
    """A whole service: stores, lane, importers, under the supervisor; on exit it stops within the timeouts.

    Raises ConfigurationError at once for what is known before any store answers; what is found out later
    stops the supervisor, which keeps it as `fatal`.
    """
    async with open_stores(settings, "daybook serve") as stores, importing(settings, stores) as context:
        lane = make_lane(settings, stores)
        imports = ImportManager(settings.csv_file_path, context)
        if stores.valkey is not None:
            supervisor.start("embedded server", _keep_valkey(stores.valkey))
        supervisor.start("lane", lane.run)
        supervisor.start("importer", imports.run)

        def worker_problems() -> dict[str, str]:
            found = {f"task {name}": reason for name, reason in supervisor.down.items()}
            found |= {f"import {path}": reason for path, reason in imports.failures().items()}
            if lane.waiting_for:
                found["lane"] = lane.waiting_for
            if lane.problem:
                found["queue"] = lane.problem
            if supervisor.stop.is_set():
                found["service"] = "shutting down"
            return found

        try:
            yield Services(stores, lambda: lane.waiting_for, worker_problems, imports.problems)
        finally:
            await supervisor.shut_down(settings.graceful_shutdown_seconds)


def _keep_valkey(valkey: EmbeddedValkey) -> Work:
    async def keep(stop: StopToken) -> None:
        while not stop.is_set():
            await stop.or_stop(valkey.watch())
            if not stop.is_set():
                await valkey.start()

    return keep
