"""A Redis that was set back to an earlier copy of itself, and that nobody has restored yet: no answer is made of
what it holds and of the archive, which is ahead of it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from daybook.books.history import History
from daybook.books.reconciliation import reconcile
from daybook.books.totals import read_buckets
from daybook.domain.bucket import Bucket, HeldBucket
from daybook.domain.restatement import Restatement
from daybook.domain.source import Source
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.errors import LaneLostError, RecoveringError
from daybook.lane.recovery import recover
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection
from daybook.stores.lease import Lease
from support.pipeline import Parts, lane, oracle, write_rows

Copy = dict[bytes, bytes]
ALL = date.min, date.max
BEHIND = "Redis is behind the archive"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "data") as valkey:
        yield valkey


@pytest.fixture
async def parts(server: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Parts]:
    """Redis as it was while two of four files were applied; all of them are in the archive, and had left Redis."""
    async with lane(server.socket, tmp_path / "archive.sqlite", age=timedelta(0)) as lane_parts:
        await import_two(lane_parts, tmp_path, first=1)
        copy = await copy_of(lane_parts.redis)
        await import_two(lane_parts, tmp_path, first=3)
        for _ in range(2):
            await lane_parts.dumper.dump_once()
        await set_back(lane_parts.redis, copy)
        yield lane_parts


async def import_two(parts: Parts, folder: Path, first: int) -> None:
    for seed in (first, first + 1):
        await parts.import_all(write_rows(folder / f"{seed}.csv", days=3 * seed, rows=40, seed=seed))
        await parts.drain()


async def copy_of(redis: RedisConnection) -> Copy:
    return {key: await redis.client.dump(key) or b"" async for key in redis.client.scan_iter()}


async def set_back(redis: RedisConnection, copy: Copy) -> None:
    await redis.command("FLUSHALL")
    for key, value in copy.items():
        await redis.client.restore(key, 0, value)


async def restore(parts: Parts) -> None:
    """As the lane's next owner does."""
    lease = Lease(parts.redis, redis_keys.LANE_LEASE, redis_keys.LANE, 60)
    await lease.acquire(steal=True)
    await recover(parts.stores, lease.token)


def reconciled(parts: Parts) -> Awaitable[object]:
    return reconcile(parts.stores)


def aggregates(parts: Parts) -> Awaitable[object]:
    return read_buckets(parts.stores, *ALL)


def as_of(parts: Parts) -> Awaitable[object]:
    return History(parts.stores).as_of(*ALL, datetime.now(UTC))


QUESTIONS = [Parts.totals, aggregates, as_of, reconciled]
Question = Callable[[Parts], Awaitable[object]]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_nothing_is_answered_till_it_is_restored(parts: Parts, tmp_path: Path, question: Question) -> None:
    with pytest.raises(RecoveringError, match=BEHIND):
        await question(parts)
    await restore(parts)
    await question(parts)
    assert await parts.totals() == oracle(*(tmp_path / f"{seed}.csv" for seed in range(1, 5)))


@pytest.mark.parametrize("question", QUESTIONS)
async def test_nor_when_it_is_restored_in_the_middle_of_the_question(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, question: Question
) -> None:
    days = parts.archive.days

    async def restored_first(first: str, last: str) -> AsyncIterator[tuple[Bucket, HeldBucket]]:
        monkeypatch.undo()
        await restore(parts)
        async with aclosing(days(first, last)) as found:  # type: ignore[type-var]
            async for each in found:
                yield each

    monkeypatch.setattr(parts.archive, "days", restored_first)
    with pytest.raises(RecoveringError, match=BEHIND):
        await question(parts)


async def test_nor_when_redis_is_wiped_before_the_restatements_are_read(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await restore(parts)
    waiting = parts.hot.waiting_restatements

    async def wiped_first() -> list[Restatement]:
        await parts.redis.command("FLUSHALL")
        await restore(parts)
        return await waiting()

    monkeypatch.setattr(parts.hot, "waiting_restatements", wiped_first)
    with pytest.raises(RecoveringError, match=BEHIND):
        await as_of(parts)


async def test_the_sources_are_those_of_one_moment(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = parts.sources._sources

    async def wiped_first() -> list[Source]:
        monkeypatch.undo()
        await parts.redis.command("FLUSHALL")
        return await sources()

    monkeypatch.setattr(parts.sources, "_sources", wiped_first)
    with pytest.raises(RecoveringError, match="not restored yet"):
        await parts.sources.known()


async def test_the_dumper_gives_the_lane_up_so_that_redis_is_restored(parts: Parts) -> None:
    """Also when no connection broke: a snapshot of the past must not take a number that the archive has."""
    with pytest.raises(LaneLostError):
        await parts.dumper.dump_once()
    await restore(parts)
    await parts.totals()


async def test_an_archive_that_was_set_back_is_no_answer_either(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    await restore(parts)

    async def older() -> int:
        return 0

    monkeypatch.setattr(parts.archive, "newest_snapshot", older)
    with pytest.raises(RecoveringError, match="the SQLite archive is older than Redis"):
        await parts.totals()
