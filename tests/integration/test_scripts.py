"""What each script answers and what it leaves untouched, on Valkey and on Redis 7.0."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from daybook.domain.bucket import Bucket, BucketState, Cell
from daybook.domain.position import Position
from daybook.domain.reject import Reject
from daybook.domain.source import QUEUE_SOURCE, Source
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.errors import ConfigurationError, LaneLostError, RecoveringError, RedisUnavailableError
from daybook.stores import redis_keys
from daybook.stores.archive import ArchivedSource, ArchiveState, Snapshot
from daybook.stores.commit import BucketWrite, Commit, LedgerMove
from daybook.stores.connection import RedisConnection
from daybook.stores.lease import Lease
from daybook.stores.restore import Dropped, restore
from daybook.stores.source_registry import Version
from daybook.stores.sqlite_archive import SqliteArchive
from daybook.stores.stores import Stores
from daybook.stores.transaction_queue import Oversized, QueueLimits, TransactionQueue
from support.outside import OutsideRedis

QUEUE = "Q"
DAY = Bucket("2026-01-01", "deposits")
LIMITS = QueueLimits(elements=3, queued_bytes=100, reject_bytes=400)


Address = dict[str, Any]


@pytest.fixture(scope="module", params=["valkey", "redis 7.0"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    folder: Path = tmp_path_factory.mktemp("server")
    if request.param == "valkey":
        valkey = EmbeddedValkey(folder)
        with asyncio.Runner() as runner:
            runner.run(valkey.start())
            yield {"unix_socket": str(valkey.socket)}
            runner.run(valkey.stop())
    else:
        with OutsideRedis(folder) as server:
            server.start()
            yield {"host": "127.0.0.1", "port": server.port}


class Lane:
    """A lane on an empty server."""

    def __init__(self, connection: RedisConnection) -> None:
        queue = TransactionQueue(connection, QUEUE, LIMITS)
        stores = Stores(redis=connection, queue=queue, archive=SqliteArchive(Path("never-opened.sqlite")))
        self.redis, self.queue, self.sources = connection, queue, stores.sources
        self.hot, self.commits, self.dumps = stores.hot, stores.commits, stores.dumps
        self.lease = Lease(connection, redis_keys.LANE_LEASE, redis_keys.LANE, 60)
        self.token = self.lease.token

    async def begin(self) -> None:
        await self.lease.acquire(steal=True)
        await self.restore(0)

    async def restore(self, snapshot: int, *sources: ArchivedSource) -> Dropped:
        return await restore(self.redis, QUEUE, self.token, ArchiveState("archive", snapshot), sources)

    async def register(self, name: str = "s") -> None:
        assert await self.sources.register(Source(name, f"/{name}", b"head"), await self.sources.version())

    async def commit(self, sequence: int, *, version: int | None = None, trim: int = 0, units: int = 5) -> list[Bucket]:
        state = BucketState((version or 0) + 1, {"visa": Cell(units, 1)})
        write = BucketWrite(DAY, version, state)
        return await self.commits.commit(self.token, Commit(sequence, trim, 0, [], [write], []))

    async def apply(self, sequence: int, position: Position) -> None:
        """Move the ledger of the source `s` by one."""
        move = LedgerMove("s", position.offset - 1, position)
        await self.commits.commit(self.token, Commit(sequence, 1, 0, [move], [], []))

    async def snapshot(self) -> Snapshot:
        found = await self.dumps.snapshot(self.token)
        assert found is not None
        return found

    async def held(self) -> BucketState | None:
        held = (await self.hot.read([DAY])).get(DAY)
        return held and held.state


@pytest.fixture
async def stores(address: Address) -> AsyncIterator[Lane]:
    connection = RedisConnection.to(**address)
    await connection.command("FLUSHALL")
    found = Lane(connection)
    await found.begin()
    yield found
    await connection.close()


async def test_nothing_is_registered_or_queued_before_the_state_is_restored(stores: Lane) -> None:
    await stores.redis.command("DEL", redis_keys.STATE)
    with pytest.raises(RecoveringError):
        await stores.sources.version()
    with pytest.raises(RecoveringError):
        await stores.sources.register(Source("s", "/s", b""), Version(1))
    with pytest.raises(RecoveringError):
        await stores.queue.enqueue("s", 0, Position(offset=1), b"x", [])
    with pytest.raises(RecoveringError):
        await stores.hot.resident("0001-01-01", "9999-12-31")
    assert await stores.queue.length() == 0


async def test_a_source_is_registered_under_the_version_that_was_looked_at(stores: Lane) -> None:
    version = await stores.sources.version()
    assert await stores.sources.register(Source("a", "/a", b"h"), version)
    assert not await stores.sources.register(Source("b", "/b", b"h"), version)
    assert [source.id for source in (await stores.sources.known()).sources] == ["a"]


async def test_a_batch_is_queued_only_at_the_expected_checkpoint(stores: Lane) -> None:
    assert (await stores.queue.enqueue("s", 0, Position(offset=5), b"x", [])).unknown
    await stores.register()
    assert (await stores.queue.enqueue("s", 0, Position(offset=5), b"x", [])).ok
    again = await stores.queue.enqueue("s", 0, Position(offset=5), b"x", [Reject("s", 1, "r", "why")])
    assert again.moved_to == 5
    assert await stores.queue.length() == 1
    assert await stores.dumps.record_bytes() == 0


async def test_a_full_queue_and_full_rejects_hold_the_importer_back(stores: Lane) -> None:
    await stores.register()
    reject = Reject("s", 1, "r" * 300, "why")
    assert (await stores.queue.enqueue("s", 0, Position(offset=1), b"x" * 90, [reject])).ok
    assert (await stores.queue.enqueue("s", 1, Position(offset=2), b"y" * 20, [])).full
    assert (await stores.queue.enqueue("s", 1, Position(offset=2), b"y", [reject])).full
    assert (await stores.queue.enqueue("s", 1, Position(offset=2), b"y", [])).ok
    assert (await stores.queue.enqueue("s", 2, Position(offset=3), b"z", [])).ok
    assert (await stores.queue.enqueue("s", 3, Position(offset=4), b"z", [])).full


async def test_peeking_leaves_the_queue_as_it_is(stores: Lane) -> None:
    assert not await stores.queue.wait(0.01)
    elements = [b"%d" % number * (number + 1) for number in range(300)]
    for element in elements:
        await stores.redis.command("LPUSH", QUEUE, element)
    assert await stores.queue.wait(0.01)
    assert await stores.queue.peek(1000, 1 << 20) == elements
    assert await stores.queue.peek(7, 1 << 20) == elements[:7]
    assert await stores.queue.peek(1000, 10) == elements[:4]
    assert await stores.queue.length() == 300


async def test_an_oversized_element_is_only_shown(stores: Lane) -> None:
    queue = TransactionQueue(stores.redis, QUEUE, LIMITS._replace(element_bytes=10))
    await stores.redis.command("LPUSH", QUEUE, b"x" * 11)
    assert await queue.peek(10, 100) == [Oversized(11, b"x" * 11)]


async def test_a_commit_counts_once(stores: Lane) -> None:
    assert await stores.commit(1) == []
    assert await stores.commit(1, units=7) == []
    assert await stores.held() == BucketState(1, {"visa": Cell(5, 1)})
    assert await stores.redis.client.hget("agg:2026-01-01:deposits", "visa") == b"0.00000005"
    assert await stores.redis.client.get("count:2026-01-01:deposits") == b'{"visa":1}'


@pytest.mark.parametrize("sequence", [0, 3])
async def test_a_commit_out_of_step_is_refused(stores: Lane, sequence: int) -> None:
    await stores.commit(1)
    with pytest.raises(LaneLostError):
        await stores.commit(sequence, version=1)
    assert await stores.held() == BucketState(1, {"visa": Cell(5, 1)})


async def test_a_commit_that_would_trim_what_is_not_there_is_refused(stores: Lane) -> None:
    with pytest.raises(LaneLostError):
        await stores.commit(1, trim=1)
    assert await stores.held() is None


async def test_a_commit_at_another_version_names_the_bucket_and_writes_nothing(stores: Lane) -> None:
    await stores.redis.command("LPUSH", QUEUE, "x")
    await stores.commit(1)
    assert await stores.commit(2, version=None, trim=1) == [DAY]
    assert await stores.commit(2, version=4, trim=1) == [DAY]
    assert (await stores.queue.length(), await stores.commits.sequence()) == (1, 1)
    assert await stores.commit(2, version=1, trim=1, units=9) == []
    assert await stores.queue.length() == 0
    assert await stores.held() == BucketState(2, {"visa": Cell(9, 1)})


async def test_a_commit_needs_the_ledger_that_it_was_made_for(stores: Lane) -> None:
    await stores.register()
    moves = [LedgerMove("s", 3, Position(offset=9))]
    with pytest.raises(LaneLostError, match="gap"):
        await stores.commits.commit(stores.token, Commit(1, 0, 0, moves, [], []))
    moves = [LedgerMove("s", 0, Position(offset=9, rows=2)), LedgerMove(QUEUE_SOURCE, 0, Position(offset=1, rows=1))]
    await stores.commits.commit(stores.token, Commit(1, 0, 0, moves, [], []))
    source, queue = await stores.sources.get("s"), await stores.sources.get(QUEUE_SOURCE)
    assert source is not None
    assert queue is not None
    assert (source.applied.offset, source.read.offset) == (9, 0)
    assert (queue.applied.rows, queue.read.rows) == (1, 1)


async def test_what_another_program_left_under_a_buckets_keys_is_not_added_to(stores: Lane) -> None:
    await stores.redis.command("HSET", "agg:2026-01-01:deposits", "paypal", "689339.00999999999993406")
    await stores.commit(1)
    assert await stores.held() == BucketState(1, {"visa": Cell(5, 1)})


async def test_only_the_owner_writes(stores: Lane) -> None:
    await stores.commit(1)
    other = Lease(stores.redis, redis_keys.LANE_LEASE, redis_keys.LANE, 60)
    assert await other.acquire() > 0
    assert await other.acquire(steal=True) == 0
    assert other.epoch == stores.lease.epoch + 1
    assert not await stores.lease.renew()
    for attempt in (
        stores.commit(2, version=1),
        stores.dumps.snapshot(stores.token),
        stores.dumps.evict(stores.token, [DAY], 1 << 60),
        stores.restore(9),
    ):
        with pytest.raises(LaneLostError):
            await attempt
    await stores.lease.release()
    assert await other.renew()


async def test_an_expired_lease_can_be_had(stores: Lane) -> None:
    await stores.redis.command("DEL", redis_keys.LANE_LEASE)
    other = Lease(stores.redis, redis_keys.LANE_LEASE, redis_keys.LANE, 60)
    assert await other.acquire() == 0
    await other.release()
    assert await Lease(stores.redis, redis_keys.LANE_LEASE, redis_keys.LANE, 60).acquire() == 0


async def test_a_bucket_leaves_only_at_the_version_that_the_archive_holds(stores: Lane) -> None:
    now = await stores.dumps.now_milliseconds()
    await stores.commit(1)
    assert await stores.dumps.evict(stores.token, [DAY], now + 60_000) == 0
    snapshot = await stores.dumps.snapshot(stores.token)
    assert snapshot is not None
    await stores.commit(2, version=1, units=8)
    await stores.dumps.settle(stores.token, snapshot)
    assert await stores.dumps.evict(stores.token, [DAY], now + 60_000) == 0
    later = await stores.dumps.snapshot(stores.token)
    assert later is not None
    assert later.buckets == {DAY: BucketState(2, {"visa": Cell(8, 1)})}
    await stores.dumps.settle(stores.token, later)
    await stores.dumps.settle(stores.token, later)
    assert await stores.dumps.evict(stores.token, [DAY], now - 60_000) == 0
    assert await stores.dumps.evict(stores.token, [DAY], now + 60_000) == 1
    assert await stores.hot.resident("0001-01-01", "9999-12-31") == []
    assert await stores.redis.client.keys("agg:*") == []
    assert await stores.dumps.snapshot(stores.token) is None


async def test_rejects_leave_redis_only_when_they_are_applied_and_archived(stores: Lane) -> None:
    """Those before the ledgers, as all that is archived: a row behind them may be judged again, after a restore."""
    await stores.register()
    first, second = Reject("s", 1, "a", "why"), Reject("s", 2, "b", "why")
    await stores.queue.enqueue("s", 0, Position(offset=1, line=1), b"x", [first])
    await stores.queue.enqueue("s", 1, Position(offset=2, line=2), b"x", [second])
    assert (await stores.snapshot()).rejects == []
    await stores.apply(1, Position(offset=1, line=1))
    snapshot = await stores.snapshot()
    assert snapshot.rejects == [first]
    await stores.apply(2, Position(offset=2, line=2))
    await stores.dumps.settle(stores.token, snapshot)
    later = await stores.snapshot()
    assert later.rejects == [second]
    await stores.dumps.settle(stores.token, later)
    assert await stores.dumps.record_bytes() == 0


async def test_a_reject_does_not_wait_for_another_source(stores: Lane) -> None:
    for name in ("s", "t"):
        await stores.register(name)
    behind, first, more = Reject("t", 1, "a", "why"), Reject("s", 1, "b", "why"), Reject("t", 2, "c", "why")
    await stores.queue.enqueue("t", 0, Position(offset=1, line=1), b"x", [behind])
    await stores.queue.enqueue("s", 0, Position(offset=1, line=1), b"x", [first])
    await stores.apply(1, Position(offset=1, line=1))
    snapshot = await stores.snapshot()
    assert snapshot.rejects == [first]
    await stores.queue.enqueue("t", 1, Position(offset=2, line=2), b"x", [more])
    await stores.dumps.settle(stores.token, snapshot)
    assert await stores.hot.waiting_rejects() == [behind, more]


async def test_a_restore_sets_everything_back(stores: Lane) -> None:
    for name in ("known", "new"):
        await stores.register(name)
        await stores.queue.enqueue(name, 0, Position(offset=7), b"\xff\xff\xff\xff", [])
    await stores.redis.command("LPUSH", QUEUE, "{}")
    await stores.commit(1)
    await stores.redis.command("RPUSH", redis_keys.RESTATEMENTS, "one")
    await stores.redis.command("SADD", redis_keys.CLOSED, "2026-01-15:deposits")
    archived = Source("known", "/known", b"head", Position(offset=4), Position(offset=4), size=9)
    dropped = await stores.restore(12, ArchivedSource(archived, 3))
    assert dropped == (1, 2, 0)
    assert await stores.redis.command("EXISTS", redis_keys.RESTATEMENTS, redis_keys.CLOSED, redis_keys.REJECTS) == 0
    assert await stores.redis.client.lrange(QUEUE, 0, -1) == [b"{}"]
    assert await stores.held() is None
    positions = {
        source.id: (source.read.offset, source.applied.offset) for source in (await stores.sources.known()).sources
    }
    assert positions == {"known": (4, 4), "new": (0, 0)}
    state = await stores.hot.state()
    assert state is not None
    assert (state.snapshot, state.settled) == (12, 12)
    assert (await stores.queue.enqueue("new", 7, Position(offset=8), b"x", [])).moved_to == 0


@pytest.mark.parametrize("moves", [False, True])
async def test_a_redis_at_its_memory_limit_still_commits_and_dumps(stores: Lane, *, moves: bool) -> None:
    await stores.redis.command("LPUSH", QUEUE, "x" * 1000)
    write = BucketWrite(DAY, None, BucketState(1, {"visa": Cell(5, 1)}))
    commit = Commit(1, 1, 1000, [], [write], [], contributions=[], moves_elements=moves)
    await stores.redis.command("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(RedisUnavailableError, match="cannot write"):
            await stores.redis.command("SET", "k", "v")
        assert await stores.commits.commit(stores.token, commit) == []
        snapshot = await stores.snapshot()
        assert await stores.dumps.contributions(snapshot.waiting) == ([b"x" * 1000] if moves else [])
        await stores.dumps.settle(stores.token, snapshot)
    finally:
        await stores.redis.command("CONFIG", "SET", "maxmemory", 0)
    assert await stores.queue.length() == await stores.redis.command("LLEN", redis_keys.CONTRIBUTIONS) == 0
    assert await stores.dumps.waiting_bytes() == (0, 0)
    assert await stores.held() == BucketState(1, {"visa": Cell(5, 1)})


async def test_a_redis_that_may_delete_totals_is_refused(stores: Lane) -> None:
    await stores.redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigurationError, match="allkeys-lru"):
            await stores.redis.check_server()
    finally:
        await stores.redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
