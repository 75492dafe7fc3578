"""What other programs write into a bucket is named by key and field, and the fence adds nothing to it. Real servers."""

from collections.abc import AsyncIterator

import pytest

from daybook.domain.bucket import Bucket, BucketState, Cell
from daybook.errors import DamagedBucketError
from daybook.stores import redis_keys
from daybook.stores.archive import ArchiveState
from daybook.stores.commit import BucketWrite, Commit, Commits
from daybook.stores.connection import RedisConnection
from daybook.stores.dumps import Dumps
from daybook.stores.hot_buckets import HotBuckets
from daybook.stores.lease import Lease
from daybook.stores.restore import restore
from support.redis_server import Endpoint

DAY = Bucket("2026-01-15", "deposits")
TOTALS, COUNTS = redis_keys.totals(DAY), redis_keys.counts(DAY)
VERSIONS = redis_keys.VERSIONS
QUEUE = "TransactionQueue"
STATE = BucketState(1, {"paypal": Cell(3 * 10**8, 2), "visa": Cell(5 * 10**8, 1)})


class Stored:
    """A Redis that holds one bucket, with the token of its lane."""

    def __init__(self, redis: RedisConnection, token: str) -> None:
        self.redis, self.token = redis, token
        self.hot, self.dumps, self.commits = HotBuckets(redis), Dumps(redis), Commits(redis, QUEUE)

    async def commit(self, sequence: int, write: BucketWrite) -> list[Bucket]:
        return await self.commits.commit(self.token, Commit(sequence, 0, 0, [], [write], []))


@pytest.fixture
async def stored(shared_redis: Endpoint) -> AsyncIterator[Stored]:
    redis = shared_redis.connect()
    lease = Lease(redis, redis_keys.LANE_LEASE, redis_keys.LANE, 60)
    await lease.acquire(steal=True)
    await restore(redis, QUEUE, lease.token, ArchiveState("archive", 0), [])
    found = Stored(redis, lease.token)
    assert await found.commit(1, BucketWrite(DAY, None, STATE)) == []
    yield found
    await redis.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("HINCRBYFLOAT", TOTALS, "paypal", "0.00000000999999"), f"{TOTALS}, field paypal: '3.00000000999999"),
        (("HSET", TOTALS, "visa", "NaN"), f"{TOTALS}, field visa: 'NaN' is no total"),
        (("HSET", TOTALS, "visa", "1e400"), f"{TOTALS}, field visa: '1e400' is no total"),
        (("HSET", TOTALS, "visa", "9" * 5000), f"{TOTALS}, field visa: '{'9' * 64}' is no total"),
        (("HSET", TOTALS, "visa", b"\xff"), f"{TOTALS}, field visa: '\N{REPLACEMENT CHARACTER}' is no total"),
        (("HSET", TOTALS, "new\nline", "1.00"), f"{COUNTS}, field 'new\\nline' is missing"),
        (("HDEL", TOTALS, "visa"), f"{TOTALS}, field visa is missing"),
        (("DEL", TOTALS), f"{TOTALS}, field paypal is missing"),
        (("SET", TOTALS, "x"), f"{TOTALS} is no hash"),
        (("SET", COUNTS, '{"paypal":2}'), f"{COUNTS}, field visa is missing"),
        (("SET", COUNTS, '{"paypal":2,"visa":-1}'), f'{COUNTS}: \'{{"paypal":2,"visa":-1}}\' is no JSON object'),
        (("SET", COUNTS, '{"paypal":2'), f"{COUNTS}: '{{\"paypal\":2' is no JSON object of counts"),
        (("DEL", COUNTS), f"{COUNTS}: nothing is no JSON object of counts"),
        (
            ("HSET", VERSIONS, "2026-01-15:deposits", "1.5"),
            f"{VERSIONS}, field 2026-01-15:deposits: '1.5' is no version",
        ),
    ],
)
async def test_key_and_field_are_named(stored: Stored, words: tuple[str | bytes, ...], message: str) -> None:
    await stored.redis.command(*words)
    for read in (stored.hot.read([DAY]), stored.dumps.snapshot(stored.token), stored.hot.check_damaged()):
        with pytest.raises(DamagedBucketError) as refused:
            await read
        assert str(refused.value).startswith(message)
        assert "another program wrote it" in str(refused.value)
        assert "\n" not in str(refused.value)
        assert refused.value.bucket == DAY


async def test_a_list_in_the_place_of_counts_is_named(stored: Stored) -> None:
    await stored.redis.command("DEL", COUNTS)
    await stored.redis.command("RPUSH", COUNTS, "x")
    with pytest.raises(DamagedBucketError, match=f"{COUNTS}: a value of another type"):
        await stored.hot.read([DAY])


async def test_damage_is_remembered_until_it_is_mended_or_gone(stored: Stored) -> None:
    await stored.hot.check_damaged()
    await stored.redis.command("HSET", TOTALS, "visa", "x")
    await stored.hot.check_damaged()
    with pytest.raises(DamagedBucketError):
        await stored.hot.read([DAY])
    for _ in range(2):
        with pytest.raises(DamagedBucketError):
            await stored.hot.check_damaged()
    await stored.redis.command("HSET", TOTALS, "visa", "5.00")
    await stored.hot.check_damaged()
    stored.hot.note_damaged(DAY)
    await stored.redis.command("HDEL", VERSIONS, redis_keys.bucket_name(DAY))
    await stored.hot.check_damaged()


@pytest.mark.parametrize("words", [("SET", TOTALS, "x"), ("DEL", TOTALS), ("HDEL", TOTALS, "visa")])
async def test_the_fence_writes_nothing_into_less_than_a_whole_bucket(stored: Stored, words: tuple[str, ...]) -> None:
    """It would trim the queue and move ledgers for totals that are lost."""
    await stored.redis.command("LPUSH", QUEUE, "an element")
    await stored.redis.command(*words)
    after = BucketState(2, STATE.cells | {"paypal": Cell(4 * 10**8, 3)})
    write = BucketWrite(DAY, 1, after, ["paypal"], expected_methods=2)
    commit = Commit(2, 1, 0, [], [write], [])
    assert await stored.commits.commit(stored.token, commit) == [DAY]
    assert await stored.commits.sequence() == 1
    assert await stored.redis.command("LLEN", QUEUE) == 1
    await stored.redis.command("DEL", TOTALS)
    await stored.redis.command("HSET", TOTALS, "paypal", "3.00", "visa", "5.00")
    assert await stored.commits.commit(stored.token, commit) == []
    assert (await stored.hot.read([DAY]))[DAY].state == after


async def test_a_commit_puts_the_right_total_over_a_foreign_one(stored: Stored) -> None:
    await stored.redis.command("HINCRBYFLOAT", TOTALS, "paypal", "0.333333333333")
    after = BucketState(2, STATE.cells | {"paypal": Cell(4 * 10**8, 3)})
    assert await stored.commit(2, BucketWrite(DAY, 1, after, ["paypal"], expected_methods=2)) == []
    assert (await stored.hot.read([DAY]))[DAY].state == after
