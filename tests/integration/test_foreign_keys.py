"""A value of another type under a key of Daybook: the key is named, and no script writes a part of what it does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from daybook.domain.bucket import Bucket, BucketState, Cell
from daybook.domain.position import Position
from daybook.domain.reject import Reject
from daybook.domain.restatement import Change, Restatement
from daybook.domain.source import Source
from daybook.errors import ForeignKeyError
from daybook.stores import redis_keys
from daybook.stores.archive import ArchivedSource, ArchiveState, Snapshot
from daybook.stores.commit import BucketWrite, Commit, Commits, LedgerMove
from daybook.stores.connection import RedisConnection
from daybook.stores.contributions import waiting_contributions
from daybook.stores.dumps import Dumps
from daybook.stores.evicted import Evicted
from daybook.stores.hot_buckets import HotBuckets
from daybook.stores.lease import Lease
from daybook.stores.requeue import Requeue
from daybook.stores.restore import restore
from daybook.stores.source_registry import SourceRegistry
from daybook.stores.transaction_queue import QueueLimits, TransactionQueue
from support.redis_server import Endpoint

QUEUE = "Q"
DAYS = [Bucket("2026-01-01", "deposits"), Bucket("2026-01-02", "deposits")]
STATE = BucketState(1, {"visa": Cell(5, 1)})
REMEDY = "another program wrote it; put the right value back, or empty Redis"
FIXED = [key for key in redis_keys.KINDS if not key.endswith(":")]


class Stored:
    """A lane with a source, one batch in its queue, and all kinds of work to do."""

    def __init__(self, redis: RedisConnection) -> None:
        self.redis = redis
        self.lease = Lease(redis, redis_keys.LANE_LEASE, redis_keys.LANE, 60)
        self.queue = TransactionQueue(redis, QUEUE, QueueLimits(100, 10_000, 10_000))
        self.sources, self.dumps = SourceRegistry(redis), Dumps(redis)

    async def begin(self) -> None:
        await self.lease.acquire(steal=True)
        await self.restore()
        source = Source("s", "/s", b"head")
        assert await self.sources.register(source, await self.sources.version())
        await self.enqueue(0)

    async def restore(self) -> None:
        await restore(self.redis, QUEUE, self.lease.token, ArchiveState("archive", 0), [])

    async def enqueue(self, start: int) -> None:
        reject = Reject("s", start + 2, "x", "bad")
        assert (await self.queue.enqueue("s", start, Position(offset=start + 10, rows=1), b"batch", [reject])).ok

    async def commit(self) -> None:
        writes = [BucketWrite(day, None, STATE, closed=True) for day in DAYS]
        restatement = Restatement("2026-01-01", "deposits", 1, 0, "s", 0, 10, "now", "", {"visa": Change("0", "5", 1)})
        move = LedgerMove("s", 0, Position(offset=10, rows=1))
        commit = Commit(1, 1, 5, [move], writes, [Reject("s", 3, "y", "bad")], [restatement])
        assert await Commits(self.redis, QUEUE).commit(self.lease.token, commit) == []

    async def settle(self) -> None:
        source = ArchivedSource(Source("s", "/s", b"head"), 1)
        await self.dumps.settle(self.lease.token, Snapshot(1, {DAYS[0]: STATE}, [source], []))

    async def content(self) -> dict[bytes, Any]:
        """Return the value of each key, without the leases, which expire."""
        leases = redis_keys.source_lease("").encode()
        keys = await self.redis.command("KEYS", "*")
        return {key: await self._value(key) for key in keys if not key.startswith(leases)}

    async def _value(self, key: bytes) -> Any:
        read: dict[bytes, tuple[str | int, ...]] = {
            b"hash": ("HGETALL",),
            b"set": ("SMEMBERS",),
            b"list": ("LRANGE", 0, -1),
            b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
            b"string": ("GET",),
        }
        name, *rest = read[await self.redis.command("TYPE", key)]
        found = await self.redis.command(name, key, *rest)
        return sorted(found) if isinstance(found, set) else found


@pytest.fixture
async def stored(shared_redis: Endpoint) -> AsyncIterator[Stored]:
    redis = shared_redis.connect()
    found = Stored(redis)
    await found.begin()
    yield found
    await redis.close()


WORKS: dict[str, Callable[[Stored], Awaitable[Any]]] = {
    "enqueue": lambda stored: stored.enqueue(10),
    "commit": lambda stored: stored.commit(),
    "snapshot": lambda stored: stored.dumps.snapshot(stored.lease.token),
    "settle": lambda stored: stored.settle(),
    "evict": lambda stored: stored.dumps.evict(stored.lease.token, DAYS, 1 << 50),
    "read again": lambda stored: Requeue(stored.redis, QUEUE).read_again(stored.lease.token),
    "restore": lambda stored: stored.restore(),
    "update": lambda stored: stored.sources.update("s", path="/t", problem="x"),
    "lease": lambda stored: Lease(stored.redis, redis_keys.LANE_LEASE, redis_keys.LANE, 60).acquire(),
    "state": lambda stored: HotBuckets(stored.redis).state(),
    "buckets": lambda stored: HotBuckets(stored.redis).read(DAYS),
    "resident": lambda stored: HotBuckets(stored.redis).resident("2026-01-01", "2026-01-02"),
    "list of sources": lambda stored: SourceRegistry(stored.redis).all(),
    "progress": lambda stored: SourceRegistry(stored.redis).progress(),
    "rejects": lambda stored: HotBuckets(stored.redis).waiting_rejects(),
    "contributions": lambda stored: waiting_contributions(stored.redis),
    "index of the archive": lambda stored: Evicted(stored.redis).days(),
}


async def spoil(stored: Stored, key: str) -> str:
    """Put another type under a key; return its name."""
    await stored.redis.command("DEL", key)
    if redis_keys.kind_of(key) == "hash":
        await stored.redis.command("RPUSH", key, "foreign")
        return "list"
    await stored.redis.command("HSET", key, "foreign", "value")
    return "hash"


async def failure_of(work: Awaitable[Any]) -> ForeignKeyError | None:
    try:
        await work
    except ForeignKeyError as error:
        return error
    return None


@pytest.mark.parametrize("work", WORKS)
async def test_work_does_all_or_names_the_key_and_does_nothing(stored: Stored, work: str) -> None:
    named = set[str]()
    for key in [*FIXED, redis_keys.LANE_LEASE, QUEUE, redis_keys.source("s")]:
        await stored.redis.command("FLUSHDB")
        await stored.begin()
        if work == "settle":
            await stored.commit()
        foreign = await spoil(stored, key)
        before = await stored.content()
        error = await failure_of(WORKS[work](stored))
        if error is None:
            continue
        named.add(error.key)
        assert str(error).startswith(f"Redis key {key} holds a {foreign}, not a ")
        assert "another program wrote it" in str(error)
        if (work, key) != ("settle", redis_keys.source("s")):  # each of its writes is true by itself
            assert await stored.content() == before, key
    assert named, "some of the keys concern this work"


async def test_the_message_says_what_to_do(stored: Stored) -> None:
    await stored.redis.command("SET", redis_keys.DIRTY, "x")
    with pytest.raises(ForeignKeyError) as told:
        await stored.commit()
    assert str(told.value).startswith(f"Redis key {redis_keys.DIRTY} holds a string, not a set: {REMEDY}")
    await stored.redis.command("DEL", QUEUE)
    await stored.redis.command("SET", QUEUE, "x")
    with pytest.raises(ForeignKeyError, match=r"^Redis key Q holds a string, not a list: .* wrote it; delete it$"):
        await stored.queue.length()


async def test_a_lease_that_never_expires_is_no_lease(stored: Stored) -> None:
    """The lane waited for its end for ever, and said nothing."""
    await stored.redis.command("SET", redis_keys.LANE_LEASE, "x")
    with pytest.raises(
        ForeignKeyError, match=r"lease:lane holds a value that never expires, not a lease: .*delete it$"
    ):
        await Lease(stored.redis, redis_keys.LANE_LEASE, redis_keys.LANE, 60).acquire()


async def test_a_foreign_key_is_remembered_until_it_is_mended(stored: Stored) -> None:
    await stored.redis.command("SET", redis_keys.DIRTY, "x")
    await stored.redis.check_foreign()
    for _ in range(2):
        with pytest.raises(ForeignKeyError):
            await stored.commit()
        with pytest.raises(ForeignKeyError, match=redis_keys.DIRTY):
            await stored.redis.check_foreign()
    await stored.redis.command("DEL", redis_keys.DIRTY)
    await stored.redis.check_foreign()
    await stored.commit()


def test_the_type_of_every_key_is_known() -> None:
    names = {value for name, value in vars(redis_keys).items() if name.isupper() and isinstance(value, str)}
    assert {name for name in names if redis_keys.is_made_anew(name)} == {redis_keys.LANE_LEASE, redis_keys.EVICTED}
    assert names <= redis_keys.KINDS.keys() | {redis_keys.LANE_LEASE}
