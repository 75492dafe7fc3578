"""The index of evicted buckets in Redis: what the archive may hold while Redis does not."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from daybook.domain.bucket import FIRST_DAY, LAST_DAY, TYPES, Bucket
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.errors import LaneLostError
from daybook.lane.recovery import recover
from daybook.stores import redis_keys
from daybook.stores.lease import Lease
from support.pipeline import Parts, lane, write_rows

ALL = date.min, date.max


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "data") as valkey:
        yield valkey


@pytest.fixture
async def parts(server: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Parts]:
    async with lane(server.socket, tmp_path / "archive.sqlite", age=timedelta(0)) as lane_parts:
        yield lane_parts


async def is_needed(parts: Parts, first: str, last: str) -> bool:
    before = await parts.hot.restored_state()
    found = await parts.hot.resident(first, last)
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return await parts.stores.evicted.is_needed(begin, end, found, before)


async def import_and_evict(parts: Parts, folder: Path, seed: int) -> list[str]:
    """Return the days that have left Redis."""
    await parts.import_all(write_rows(folder / f"{seed}.csv", days=6, rows=40, seed=seed))
    await parts.drain()
    days = [bucket.day for bucket in await parts.hot.resident(FIRST_DAY, LAST_DAY)]
    for _ in range(2):
        await parts.dumper.dump_once()
    assert await parts.hot.resident(FIRST_DAY, LAST_DAY) == []
    return sorted(set(days))


def test_every_day_and_type_has_a_bit_of_its_own() -> None:
    days = ("0001-01-01", "0001-01-02", "2026-01-15", "9999-12-31")
    buckets = [Bucket(day, kind) for day in days for kind in TYPES]
    places = [redis_keys.place_of(bucket) for bucket in buckets]
    assert [redis_keys.bucket_at(place) for place in places] == buckets
    assert places[:4] == [0, 1, 2, 3]
    assert max(places) < 8 * 1_000_000


async def test_nothing_is_needed_until_something_is_evicted(parts: Parts, tmp_path: Path) -> None:
    assert not await is_needed(parts, FIRST_DAY, LAST_DAY)
    days = await import_and_evict(parts, tmp_path, 1)
    for day in days:
        assert await is_needed(parts, day, day)
    before, after = (date.fromisoformat(days[end]) + timedelta(days=step) for end, step in ((0, -1), (-1, 1)))
    assert not await is_needed(parts, FIRST_DAY, before.isoformat())
    assert not await is_needed(parts, after.isoformat(), LAST_DAY)
    assert await parts.stores.evicted.days() == days


async def test_a_bucket_that_came_back_is_not_needed(parts: Parts, tmp_path: Path) -> None:
    (day, *_) = await import_and_evict(parts, tmp_path, 1)
    late = tmp_path / "late.csv"
    lines = [f"{day}T01:00:00,{kind},visa,1.00\n" for kind in ("deposit", "withdrawal")]
    late.write_text("timestamp,type,payment_method,amount\n" + "".join(lines))
    await parts.import_all(late)
    await parts.drain()
    assert not await is_needed(parts, day, day)


async def test_without_the_index_the_archive_is_needed(parts: Parts, tmp_path: Path) -> None:
    days = await import_and_evict(parts, tmp_path, 1)
    await parts.redis.command("DEL", redis_keys.EVICTED)
    assert await is_needed(parts, "2000-01-01", "2000-01-01")
    assert await parts.stores.evicted.days() is None
    await import_and_evict(parts, tmp_path, 2)
    assert await is_needed(parts, "2000-01-01", "2000-01-01"), "an eviction must not begin an index by itself"
    await recover(parts.stores, parts.token)
    assert await parts.stores.evicted.days() == sorted({bucket.day async for bucket in parts.archive.buckets()})
    assert set(days) <= set(await parts.stores.evicted.days() or ())


async def test_a_wiped_redis_gets_its_index_from_the_archive(parts: Parts, tmp_path: Path) -> None:
    days = await import_and_evict(parts, tmp_path, 1)
    totals = await parts.totals()
    await parts.redis.command("FLUSHALL")
    lease = Lease(parts.redis, redis_keys.LANE_LEASE, redis_keys.LANE, 60)
    await lease.acquire(steal=True)
    await recover(parts.stores, lease.token)
    assert await parts.stores.evicted.days() == days
    assert await parts.totals() == totals
    await parts.redis.command("DEL", redis_keys.EVICTED)
    with pytest.raises(LaneLostError):
        await parts.stores.evicted.prepare(parts.archive, parts.token)
    assert not await parts.redis.command("EXISTS", redis_keys.EVICTED)


async def test_an_answer_of_redis_before_a_restore_needs_the_archive(parts: Parts, tmp_path: Path) -> None:
    await import_and_evict(parts, tmp_path, 1)
    before = await parts.hot.restored_state()
    await parts.redis.command("HSET", redis_keys.STATE, "restored", "another")
    assert await parts.stores.evicted.is_needed(*ALL, [], before)
    assert await parts.stores.evicted.is_needed(date(2000, 1, 1), date(2000, 1, 1), [], before)
