"""Redis that crashes, loses its disk cache, is wiped or goes back in time, under a lane at work."""

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daybook.domain.bucket import Bucket
from daybook.domain.money import to_decimal
from daybook.errors import ConfigurationError, RedisUnavailableError
from daybook.stores.connection import RedisConnection
from support.pipeline import lane
from support.redis_server import Endpoint, RedisServer
from support.rows import Row, some_rows, sums_of, write
from support.running import Observer, at_work, prepare, watching

FENCE_SECONDS = 1.8
"""Longer than the fence needs when nothing is amiss."""


@pytest.mark.parametrize("moment", ["while a sync is under way", "just after a sync"])
async def test_a_power_loss_never_leaves_the_archive_ahead_of_redis(
    own_redis: RedisServer, tmp_path: Path, moment: str
) -> None:
    """The disk stops syncing: what Redis wrote since is lost, so none of it may be in the archive."""
    first, second = some_rows(1, 50), some_rows(2, 50)
    files, archive = [write(tmp_path / "1.csv", first), write(tmp_path / "2.csv", second)], tmp_path / "archive.sqlite"
    async with lane(own_redis.socket, archive) as parts:
        await parts.import_all(files[0])
        await parts.drain()
        await parts.dumper.dump_once()
        on_disk = own_redis.freeze_fsync()
        if moment == "while a sync is under way":
            await begin_a_sync(parts.redis)
        await parts.import_all(files[1])
        await parts.drain()
        dumping = asyncio.create_task(parts.dumper.dump_once())
        await asyncio.wait([dumping], timeout=FENCE_SECONDS)
        own_redis.lose_power(on_disk)
        with suppress(RedisUnavailableError):
            await dumping
    own_redis.start()
    async with watching(own_redis.endpoint, archive) as observer:
        state, held = await observer.hot.state(), await observer.archive.open()
        assert state is not None
        assert held.snapshot <= state.snapshot, "the archive holds what Redis has lost"
        async with at_work(own_redis.endpoint, archive, files) as work:
            await work.until(partial(observer.all_done, files), "all rows applied")
        assert await observer.totals() == sums_of(first + second)


async def begin_a_sync(redis: RedisConnection) -> None:
    await redis.command("SET", "unsynced", 1)
    while not (await redis.client.info("persistence"))["aof_pending_bio_fsync"]:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.01)


async def test_a_confirmed_sync_lets_the_dump_go_on(own_redis: RedisServer, tmp_path: Path) -> None:
    archive, rows = tmp_path / "archive.sqlite", some_rows(1, 50)
    async with lane(own_redis.socket, archive) as parts:
        await parts.import_all(write(tmp_path / "rows.csv", rows))
        await parts.drain()
        own_redis.freeze_fsync()
        await begin_a_sync(parts.redis)
        dumping = asyncio.create_task(parts.dumper.dump_once())
        await asyncio.wait([dumping], timeout=0.3)
        assert not dumping.done()
        own_redis.thaw_fsync()
        assert (await dumping).inserted > 0


async def test_a_redis_that_is_wiped_again_and_again_is_filled_from_archive_and_files(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    rows, archive = some_rows(1, 3000), tmp_path / "archive.sqlite"
    file = write(tmp_path / "rows.csv", rows)
    async with watching(own_redis.endpoint, archive) as observer:
        async with at_work(own_redis.endpoint, archive, [file], max_queue_elements=2) as work:
            for _ in range(3):
                await work.until(partial(has_applied, observer, 1), "some rows applied")
                await wipe(own_redis, observer)
            await work.until(partial(observer.all_done, [file]), "all rows applied")
            await work.until(observer.all_archived, "all rows archived")
            held = await observer.archived()
            await wipe(own_redis, observer)
            await work.until(partial(observer.all_done, [file]), "Redis restored")
            assert await observer.totals() == held == sums_of(rows)
        assert await observer.accounts() == {str(file): (3000, 3000, 0)}


async def wipe(server: RedisServer, observer: Observer) -> None:
    server.kill()
    server.wipe()
    server.start()
    await observer.reconnect()


async def has_applied(observer: Observer, rows: int) -> bool:
    if not await observer.has_lane():
        return False
    return sum(source.applied.rows for source in (await observer.sources.known()).sources) >= rows


async def test_a_redis_that_goes_back_in_time_gives_each_row_once(own_redis: RedisServer, tmp_path: Path) -> None:
    """Pushed rows are in its older copy, some of them applied there, some not; the archive holds them all."""
    rows, early, late, archive = some_rows(1, 2000), some_rows(2, 30), some_rows(3, 30), tmp_path / "archive.sqlite"
    file = write(tmp_path / "rows.csv", rows)
    async with watching(own_redis.endpoint, archive) as observer:
        await observer.push(*(row.json() for row in early))
        async with at_work(own_redis.endpoint, archive, [file]) as work:
            await work.until(partial(has_applied, observer, 1), "some rows applied")
        await observer.push(*(row.json() for row in late))
        older = own_redis.log_bytes()
        async with at_work(own_redis.endpoint, archive, [file]) as work:
            await work.until(partial(observer.all_done, [file]), "all rows applied")
            await work.until(observer.all_archived, "all rows archived")
            own_redis.lose_power(older)
            own_redis.start()
            await observer.reconnect()
            assert await observer.queue.length() > 0
            await work.until(partial(observer.all_done, [file]), "all rows applied")
        assert await observer.totals() == sums_of(rows + early + late)
        assert await observer.accounts() == {str(file): (2000, 2000, 0)}


async def test_a_late_row_finds_the_full_total_of_its_evicted_day(shared_redis: Endpoint, tmp_path: Path) -> None:
    rows, archive, day = some_rows(1, 200), tmp_path / "archive.sqlite", "2001-01-03"
    late = [Row(day, "deposit", "visa", row.amount) for row in some_rows(2, 3)]
    files = [write(tmp_path / "rows.csv", rows), write(tmp_path / "late.csv", late[1:])]
    async with watching(shared_redis, archive) as observer:
        async with at_work(shared_redis, archive, files[:1]) as work:
            await work.until(partial(observer.all_done, files[:1]), "all rows applied")
            await work.until(partial(holds_no_bucket, observer), "all days evicted")
        async with at_work(shared_redis, archive, files, dump_interval_seconds=600) as work:
            await observer.push(late[0].json())
            await work.until(partial(observer.all_done, files), "the late rows applied")
            bucket = Bucket(day, "deposits")
            cells = (await observer.hot.read([bucket]))[bucket].state.cells
            assert {
                (day, "deposits", method): (to_decimal(cell.units), cell.transactions) for method, cell in cells.items()
            } == {key: held for key, held in sums_of(rows + late).items() if key[:2] == bucket}
        assert await observer.totals() == await observer.archived() == sums_of(rows + late)


async def holds_no_bucket(observer: Observer) -> bool:
    return await observer.dumps.resident_count() == 0


@pytest.mark.parametrize(
    "policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-random", "volatile-ttl"]
)
async def test_a_redis_that_may_delete_keys_is_refused(own_redis: RedisServer, tmp_path: Path, policy: str) -> None:
    async with watching(own_redis.endpoint, tmp_path / "archive.sqlite") as observer:
        await observer.redis.command("CONFIG", "SET", "maxmemory-policy", policy)
        await expect_refusal(own_redis.endpoint, tmp_path / "archive.sqlite", f"maxmemory-policy {policy}.*noeviction")
        assert await observer.redis.command("DBSIZE") == 0


async def test_another_or_an_older_archive_is_refused_and_redis_stays_as_it_is(
    shared_redis: Endpoint, tmp_path: Path
) -> None:
    archive, older = tmp_path / "archive.sqlite", tmp_path / "older.sqlite"
    file = write(tmp_path / "rows.csv", some_rows(1, 50))
    async with watching(shared_redis, archive) as observer:
        await prepare(shared_redis, archive)
        older.write_bytes(archive.read_bytes())
        async with at_work(shared_redis, archive, [file], cut_off_days=3_000_000) as work:
            await work.until(partial(observer.all_done, [file]), "all rows applied")
            await work.until(observer.all_archived, "all rows archived")
        before = await observer.totals()
        await expect_refusal(shared_redis, tmp_path / "other.sqlite", "another archive")
        await expect_refusal(shared_redis, older, "older than Redis")
        assert await observer.totals() == before != {}


async def expect_refusal(endpoint: Endpoint, archive: Path, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        async with at_work(endpoint, archive) as work:
            await work.until(_never, "the refusal")


async def _never() -> bool:
    return False


@pytest.mark.parametrize(
    ("setting", "value", "warnings"),
    [("appendonly", "yes", 0), ("appendonly", "no", 1), ("appendfsync", "no", 1), ("appendfsync", "always", 0)],
)
async def test_a_redis_that_may_lose_what_it_acknowledged_is_warned_of(
    own_redis: RedisServer, tmp_path: Path, setting: str, value: str, warnings: int
) -> None:
    rows, archive = some_rows(1, 20), tmp_path / "archive.sqlite"
    file = write(tmp_path / "rows.csv", rows)
    async with watching(own_redis.endpoint, archive) as observer:
        await observer.redis.command("CONFIG", "SET", setting, value)
        with capture_logs() as logs:
            async with at_work(own_redis.endpoint, archive, [file]) as work:
                await work.until(partial(observer.all_done, [file]), "all rows applied")
        warned = [entry for entry in logs if "can lose" in entry["event"] and entry["log_level"] == "warning"]
        assert len(warned) == warnings
        assert await observer.archived() == sums_of(rows)
