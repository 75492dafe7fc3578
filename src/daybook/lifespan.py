"""The service's life: open the stores, start the workers, stop them, close the stores.

Real stores and workers are made only here.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from daybook.api.services import Services
from daybook.books.contributions import effect_of
from daybook.embedded.data_dir import DataDirInUseError, DataDirLock, make_directory
from daybook.embedded.valkey_server import EmbeddedValkey, find_running
from daybook.errors import ConfigurationError, SourceError, StoreUnavailableError
from daybook.importing.context import ImportContext, ImportOptions
from daybook.importing.correcting import Correcting
from daybook.importing.import_manager import ImportManager
from daybook.importing.questions import Answers, Questions
from daybook.importing.reverting import Reverter
from daybook.importing.summing_pool import SummingPool
from daybook.lane.dumper import Retention
from daybook.lane.lane import Lane, LaneSettings
from daybook.runtime.stop import StopToken
from daybook.runtime.supervisor import Supervisor, Work
from daybook.runtime.waits import Wait, longer_than
from daybook.settings import Settings
from daybook.sources.profile import make_profile
from daybook.sources.profiles import Profiles, read_toml
from daybook.sources.row_sums import Limits
from daybook.stores import redis_keys
from daybook.stores.archive import Archive
from daybook.stores.connection import RedisConnection
from daybook.stores.lease import purpose_of
from daybook.stores.sqlite_archive import SqliteArchive
from daybook.stores.stores import Stores
from daybook.stores.transaction_queue import QueueLimits, TransactionQueue

SERVE = "daybook serve"
"""The command of a service, as the DataDir's lock and the lane's lease name it."""
_BLOCKS_IN_MEMORY = 4
_REJECTS_PER_BATCH = 1000
_REDIS_TIMEOUT_SECONDS = 10.0
_PROBE_TIMEOUT_SECONDS = 1.0
_SERVER_SECONDS = 10.0
"""Longest time that the holder of a DataDir may take until its server runs."""
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 0.5
_RETURN_SECONDS = 3.0
"""Longest time that the lane of a shared server may have no owner before the server's owner counts as gone.

A service that is restarted has its DataDir back by then.
"""
_CONNECTIONS_BESIDE_FILES = 64


@dataclass(kw_only=True)
class OpenStores(Stores):
    """Stores that this process opened and will close."""

    valkey: EmbeddedValkey | None
    """The embedded server; None when this process does not own it."""
    probe: RedisConnection
    """A second connection to the same Redis, for questions about its health. An answer takes a second at most."""
    shared: Path | None = None
    """The socket of the embedded server that another process owns."""
    purpose: str = ""
    """The command that opened them."""

    @property
    def alone(self) -> bool:
        """Return whether no other process can write to this Redis while this one lives."""
        return self.valkey is not None


@asynccontextmanager
async def open_stores(settings: Settings, purpose: str, *, share: bool = False) -> AsyncIterator[OpenStores]:
    """Open the stores that the settings name. An embedded server is started; nothing else is connected yet.

    With `share`, the embedded server of the process that holds the DataDir is used; that server may take 10 seconds to
    come. Raises DataDirInUseError when it does not come, and at once without `share`.
    """
    async with AsyncExitStack() as stack:
        unix_socket, valkey = None, None
        if settings.embedded_redis:
            unix_socket, valkey = await _embedded(stack, settings.data_dir, purpose, share=share)
        elif settings.mongo_uri is None:
            make_directory(settings.data_dir)
        redis = _redis(
            settings,
            unix_socket,
            _REDIS_TIMEOUT_SECONDS + settings.queue_wait_seconds,
            settings.max_open_files + _CONNECTIONS_BESIDE_FILES,
        )
        stack.push_async_callback(redis.close)
        probe = _redis(settings, unix_socket, _PROBE_TIMEOUT_SECONDS)
        stack.push_async_callback(probe.close)
        archive = _archive(settings)
        stack.push_async_callback(archive.close)
        limits = QueueLimits(settings.max_queue_elements, settings.max_queue_bytes, settings.max_reject_bytes)
        queue = TransactionQueue(redis, settings.queue_key, limits)
        shared = Path(unix_socket) if unix_socket and valkey is None else None
        yield OpenStores(
            redis=redis, queue=queue, archive=archive, valkey=valkey, probe=probe, shared=shared, purpose=purpose
        )


def _redis(
    settings: Settings,
    unix_socket: str | None,
    timeout_seconds: float,
    max_connections: int = _CONNECTIONS_BESIDE_FILES,
) -> RedisConnection:
    return RedisConnection.to(
        host=settings.redis_host or "",
        port=settings.redis_port,
        unix_socket=unix_socket,
        username=settings.redis_username,
        password=settings.redis_password.get_secret_value() if settings.redis_password else None,
        timeout_seconds=timeout_seconds,
        max_connections=max_connections,
    )


async def _embedded(
    stack: AsyncExitStack, data_dir: Path, purpose: str, *, share: bool
) -> tuple[str, EmbeddedValkey | None]:
    deadline = asyncio.get_running_loop().time() + _SERVER_SECONDS
    while True:
        try:
            stack.enter_context(DataDirLock(data_dir, purpose))
            break
        except DataDirInUseError:
            running = find_running(data_dir) if share else None
            if running is not None:
                return str(running), None
            if not share or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(_POLL_SECONDS)
    valkey = await stack.enter_async_context(EmbeddedValkey(data_dir))
    return str(valkey.socket), valkey


async def owner_ended(data_dir: Path, stores: OpenStores, stop: StopToken) -> bool:
    """Return True once the shared embedded server has lost its owner, or another one runs; False at the stop.

    The DataDir's lock is tried only when the lane has had no owner for 3 seconds, because a service that starts must
    find the lock free.
    """
    loop = asyncio.get_running_loop()
    led_at = loop.time()
    while not await stop.wait(_LOOK_SECONDS):
        if await has_lane(stores):
            led_at = loop.time()
        elif loop.time() - led_at > _RETURN_SECONDS:
            if find_running(data_dir) not in (stores.shared, None):
                return True
            try:
                with DataDirLock(data_dir, "daybook import"):
                    return True
            except DataDirInUseError:
                continue
    return False


async def has_lane(stores: OpenStores) -> bool:
    """Return whether Redis answers and some process holds the lane there."""
    return await lane_owner(stores) is not None


async def lane_owner(stores: OpenStores) -> str | None:
    """Return the command that holds the lane, such as `SERVE`; None when no process does or Redis does not answer."""
    try:
        token: bytes | None = await stores.probe.command("GET", redis_keys.LANE_LEASE)
    except StoreUnavailableError:
        return None
    return None if token is None else purpose_of(token)


def _archive(settings: Settings) -> Archive:
    if settings.mongo_uri is None:
        return SqliteArchive(settings.data_dir / "archive.sqlite")
    from daybook.stores.mongo_archive import MongoArchive  # noqa: PLC0415 - takes a quarter second, which SQLite does not need

    return MongoArchive(settings.mongo_uri.get_secret_value(), settings.mongo_database)


def profiles_of(settings: Settings, told: Mapping[str, object]) -> Profiles:
    """Return what is told of files. Raises ConfigurationError when the options or the file ImportProfile are wrong."""
    try:
        if told:
            make_profile(told, "import")
        if settings.import_profile is not None:
            make_profile(read_toml(settings.import_profile), str(settings.import_profile))
    except SourceError as error:
        raise ConfigurationError(f"ImportProfile: {error}" if not told else str(error)) from None
    return Profiles(told, settings.import_profile, settings.currency or "")


@asynccontextmanager
async def importing(
    settings: Settings,
    stores: OpenStores,
    *,
    complete: bool = False,
    again: bool = False,
    anyway: bool = False,
    told: Mapping[str, object] | None = None,
) -> AsyncIterator[ImportContext]:
    """Yield what the importers of this process share.

    `complete` counts a last line that has no line end, `again` the content of reverted sources. `anyway` imports what
    would be held, and what is held. `told` is what the options of the command tell of the files.
    """
    options = ImportOptions(
        replay_speed=settings.replay_speed,
        limits=Limits(buckets=max(2, settings.max_resident_buckets // 2), rejects=_REJECTS_PER_BATCH),
        lease_seconds=settings.lease_seconds,
        alone=stores.alone,
        complete=complete,
        again=again,
        max_open=settings.max_open_files,
        profiles=profiles_of(settings, told or {}),
    )
    slots = asyncio.Semaphore(_BLOCKS_IN_MEMORY)
    async with SummingPool() as pool:
        answers = Answers(settings.on_overlap, settings.max_reject_share, anyway)
        questions = Questions(stores, answers)
        yield ImportContext(stores, slots, asyncio.Lock(), pool, Correcting(stores), options, questions)


def reverter(stores: Stores) -> Reverter:
    return Reverter(stores, effect_of)


def make_lane(settings: Settings, stores: OpenStores) -> Lane:
    retention = Retention(
        timedelta(days=settings.cut_off_days, minutes=settings.cut_off_minutes, seconds=settings.cut_off_seconds),
        settings.dump_interval_seconds,
        settings.max_resident_buckets,
        settings.max_reject_bytes,
        settings.max_queue_bytes,
    )
    lane_settings = LaneSettings(
        settings.lease_seconds,
        settings.queue_wait_seconds,
        retention,
        settings.max_methods_per_bucket,
        alone=stores.alone,
        keep_contributions=settings.keep_contributions,
        purpose=stores.purpose,
    )
    return Lane(stores, lane_settings)


@asynccontextmanager
async def running_service(settings: Settings, supervisor: Supervisor) -> AsyncIterator[Services]:
    """Run a whole service: stores, and the lane and the importers as the supervisor's tasks.

    On exit the tasks stop within GracefulShutDownTimeout; then they are cancelled. Raises ConfigurationError
    for what is wrong before any store answers. A ConfigurationError of a task stops the supervisor, which
    keeps it as `fatal`.
    """
    async with open_stores(settings, SERVE) as stores, importing(settings, stores) as context:
        lane = make_lane(settings, stores)
        imports = ImportManager(settings.csv_file_path, context)
        if stores.valkey is not None:
            supervisor.start("embedded server", keep_running(stores.valkey))
        supervisor.start("lane", lane.run)
        supervisor.start("importer", imports.run)

        def waits() -> dict[str, Wait]:
            return lane.waits | imports.waits()

        def worker_problems() -> dict[str, str]:
            found = {f"task {name}": reason for name, reason in supervisor.down.items()}
            found |= {f"import {path}": reason for path, reason in imports.failures().items()}
            if lane.waiting_for:
                found["lane"] = lane.waiting_for
            if lane.problem:
                found["queue"] = lane.problem
            if supervisor.stop.is_set():
                found["service"] = "shutting down"
            return longer_than(settings.max_wait_seconds, waits()) | found

        try:
            yield Services(
                stores,
                lambda: lane.waiting_for,
                worker_problems,
                waits,
                imports.problems,
                reverter(stores).revert_soon,
                imports.held,
                imports.compare_soon,
                settings.currency or "",
            )
        finally:
            await supervisor.shut_down(max(0.0, settings.graceful_shutdown_seconds - supervisor.stop.seconds))


def keep_running(valkey: EmbeddedValkey) -> Work:
    """Start the embedded server again whenever it ends."""

    async def keep(stop: StopToken) -> None:
        while not stop.is_set():
            await stop.or_stop(valkey.watch())
            if not stop.is_set():
                await valkey.start()

    return keep
