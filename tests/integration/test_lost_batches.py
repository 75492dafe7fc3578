"""Batches that leave the queue without a commit: found, and their rows queued anew."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from daybook.domain.source import Source
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.errors import LaneLostError, RecoveringError
from daybook.importing.context import Step
from daybook.importing.importer import Importer
from daybook.lane.lost_batches import LostBatches
from daybook.runtime.stop import StopToken
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection
from daybook.stores.requeue import Requeue
from daybook.stores.stores import Stores
from daybook.stores.transaction_queue import QueueLimits, TransactionQueue
from support.pipeline import QUEUE, Parts, lane, oracle, write_rows

NOTICED_SECONDS = 10.0
JSON = '{"Timestamp":"2026-01-02","Type":"deposit","PaymentMethod":"method 1","Amount":7}'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "data") as valkey:
        yield valkey


@pytest.fixture
async def parts(server: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Parts]:
    async with lane(server.socket, tmp_path / "archive.sqlite") as found:
        yield found


async def queued(parts: Parts, path: Path) -> Importer:
    """An importer that has queued the whole file, in several batches."""
    importer = parts.importer(path, buckets=2)
    await to_end(importer)
    assert await parts.queue.length() > 3
    return importer


async def to_end(importer: Importer) -> None:
    while await importer.import_next(StopToken()) is not Step.AT_END:
        pass


async def steal(parts: Parts, number: int = 1) -> None:
    for _ in range(number):
        assert await parts.redis.command("RPOP", QUEUE) is not None


async def look(parts: Parts) -> list[str]:
    """Look at once, as an idle consumer does some time later; what it reported."""
    reported: list[str] = []
    await LostBatches(parts.stores, parts.token, lambda: reported.append("loss")).look(idle=True)
    return reported


async def source_of(parts: Parts) -> Source:
    (source,) = (await parts.sources.known()).sources
    return source


async def test_a_batch_in_the_middle_is_noticed_by_the_next_one(parts: Parts, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", days=8, rows=200)
    importer = await queued(parts, path)
    await parts.aggregator.aggregate_once()
    await parts.drain()
    assert await parts.totals() == oracle(path)
    other = write_rows(tmp_path / "b.csv", days=8, rows=200, seed=2)
    thief = await queued(parts, other)
    await parts.redis.command("LPUSH", QUEUE, JSON)
    await steal(parts)
    await parts.drain()
    source = next(each for each in (await parts.sources.known()).sources if each.path == str(other))
    assert (source.applied.offset, source.read.offset, source.rereads) == (0, 0, 1)
    await to_end(thief)
    await to_end(importer)
    await parts.drain()
    expected = oracle(path, other)
    expected["2026-01-02", "deposits", "method 1"] += 7
    assert await parts.totals() == expected


async def test_the_last_batch_is_noticed_when_the_queue_is_empty(parts: Parts, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", days=8, rows=200)
    importer = await queued(parts, path)
    number = await parts.queue.length()
    limit = parts.aggregator
    await steal(parts, number)
    assert await limit.aggregate_once() == 0
    assert await look(parts) == ["loss"]
    source = await source_of(parts)
    assert (source.waiting, source.rereads) == (0, 1)
    await to_end(importer)
    await parts.drain()
    assert await look(parts) == []
    assert await parts.totals() == oracle(path)
    source = await source_of(parts)
    assert source.read == source.applied
    assert source.complete


async def test_nothing_is_read_again_while_batches_only_wait(parts: Parts, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", days=8, rows=200)
    await queued(parts, path)
    watch = LostBatches(parts.stores, parts.token, pytest.fail)
    await watch.look(idle=True)
    while done := await parts.aggregator.aggregate_once():
        watch.trimmed(done)
        await watch.look(idle=False)
    await watch.look(idle=True)
    assert await parts.totals() == oracle(path)
    assert (await source_of(parts)).rereads == 0


async def test_a_loss_is_noticed_while_other_elements_keep_coming(parts: Parts, tmp_path: Path) -> None:
    """The queue is never empty when somebody looks; the mark's elements are all trimmed some time."""
    path = write_rows(tmp_path / "a.csv", days=8, rows=200)
    importer = await queued(parts, path)
    number = await parts.queue.length()
    now = 0.0
    reported: list[str] = []
    watch = LostBatches(parts.stores, parts.token, lambda: reported.append("loss"), clock=lambda: now)
    await steal(parts, number)
    pushed = 0
    for _ in range(6):
        await parts.redis.command("LPUSH", QUEUE, JSON)
        await watch.look(idle=False)
        watch.trimmed(await parts.aggregator.aggregate_once())
        pushed += 1
        now += 3
        await parts.redis.command("LPUSH", QUEUE, JSON)
        watch.trimmed(await parts.aggregator.aggregate_once())
        pushed += 1
    await watch.look(idle=False)
    assert reported == ["loss"]
    await to_end(importer)
    await parts.drain()
    expected = oracle(path)
    expected["2026-01-02", "deposits", "method 1"] += 7 * pushed
    assert await parts.totals() == expected


async def test_rejects_of_lost_rows_are_counted_once(parts: Parts, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", days=8, rows=200)
    lines = path.read_text().splitlines()
    lines[10:190:9] = [f"2026-01-01T10:00:00,deposit,visa,-{number}" for number in range(len(lines[10:190:9]))]
    path.write_text("\n".join(lines) + "\n")
    importer = await queued(parts, path)
    await parts.aggregator.aggregate_once()
    await parts.dumper.dump_once()
    await parts.drain()
    before = await parts.totals()
    again = write_rows(tmp_path / "b.csv", days=8, rows=200, seed=3)
    second = await queued(parts, again)
    await steal(parts, await parts.queue.length())
    await parts.aggregator.aggregate_once()
    await look(parts)
    await to_end(second)
    await to_end(importer)
    await parts.drain()
    await parts.dumper.dump_once()
    assert await parts.dumps.record_bytes() == 0
    first = next(each for each in (await parts.sources.known()).sources if each.path == str(path))
    assert first.rejected_rows == 20
    assert len(await parts.archive.rejects(first.id, 0, 1000)) == 20
    assert {key: value for key, value in (await parts.totals()).items() if key not in before} == {}


async def test_a_queue_under_a_new_name_takes_over_what_waits_under_the_former(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.csv", days=8, rows=200)
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await queued(parts, path)
        await parts.redis.command("LPUSH", QUEUE, JSON)
        waiting = await parts.queue.length()
    async with lane(server.socket, tmp_path / "archive.sqlite", queue="Renamed") as parts:
        assert await parts.redis.command("LLEN", QUEUE) == 0
        assert await parts.queue.length() == waiting
        await parts.drain()
        assert (await source_of(parts)).rereads == 0
        expected = oracle(path)
        expected["2026-01-02", "deposits", "method 1"] += 7
        assert await parts.totals() == expected
        assert await parts.redis.command("HGET", redis_keys.STATE, "queue") == b"Renamed"


async def test_an_importer_with_another_queue_waits_and_says_so(parts: Parts, tmp_path: Path) -> None:
    other = TransactionQueue(parts.redis, "Other", QueueLimits(10, 1 << 20, 1 << 20))
    importer = parts.importer(write_rows(tmp_path / "a.csv"))
    importer._context = importer._context._replace(stores=Stores(redis=parts.redis, queue=other, archive=parts.archive))
    with pytest.raises(RecoveringError, match="is used with the queue TransactionQueue, not Other"):
        await to_end(importer)
    assert await other.length() == 0


async def test_the_wait_for_another_queue_lasts_from_try_to_try_until_rows_move(parts: Parts, tmp_path: Path) -> None:
    other = TransactionQueue(parts.redis, "Other", QueueLimits(10, 1 << 20, 1 << 20))
    importer = parts.importer(write_rows(tmp_path / "a.csv"))
    stores = importer._context.stores
    importer._context = importer._context._replace(stores=Stores(redis=parts.redis, queue=other, archive=parts.archive))
    for _ in range(3):
        with pytest.raises(RecoveringError, match="is used with the queue"):
            await importer.visit(StopToken())
        await asyncio.sleep(0.2)
    assert importer.wait.seconds >= 0.6
    importer._context = importer._context._replace(stores=stores)
    await importer.visit(StopToken())
    assert importer.wait.reason == ""


async def test_a_wait_ends_when_the_file_turns_bad(parts: Parts, tmp_path: Path) -> None:
    other = TransactionQueue(parts.redis, "Other", QueueLimits(10, 1 << 20, 1 << 20))
    path = write_rows(tmp_path / "a.csv")
    importer = parts.importer(path)
    importer._context = importer._context._replace(stores=Stores(redis=parts.redis, queue=other, archive=parts.archive))
    with pytest.raises(RecoveringError, match="is used with the queue"):
        await importer.visit(StopToken())
    path.unlink()
    await importer.visit(StopToken())
    assert (importer.problem, importer.wait.reason) == (f"{path}: No such file or directory", "")


async def test_a_checkpoint_that_is_set_ahead_is_noticed_soon(parts: Parts, tmp_path: Path) -> None:
    """No batch is said to be queued, so only a full look finds it."""
    path = write_rows(tmp_path / "a.csv", days=8, rows=200)
    importer = parts.importer(path)
    assert await importer.import_next(StopToken()) is Step.MOVED
    await parts.drain()
    reported: list[str] = []
    watch = LostBatches(parts.stores, parts.token, lambda: reported.append("loss"))
    await watch.look(idle=True)
    source = await source_of(parts)
    await parts.redis.command("HSET", redis_keys.source(source.id), "checkpoint", source.read.offset + 100)
    begun = time.monotonic()
    while not reported:
        assert time.monotonic() - begun < NOTICED_SECONDS
        await asyncio.sleep(0.1)
        await watch.look(idle=True)
    await importer.close()
    await to_end(importer)
    await parts.drain()
    assert await parts.totals() == oracle(path)


async def test_full_looks_leave_redis_its_time(parts: Parts) -> None:
    """They come after 200 times what one took."""
    await look(parts)  # Redis knows the script then
    ticks = count(step=0.1)
    watch = LostBatches(parts.stores, parts.token, pytest.fail, clock=lambda: next(ticks))
    before = await scripts_run(parts)
    for _ in range(200):
        await watch.look(idle=True)
    passed = next(ticks)
    assert 1 <= await scripts_run(parts) - before <= passed / 20 + 1


async def test_a_user_who_may_not_read_every_key_sees_the_same(
    parts: Parts, server: EmbeddedValkey, tmp_path: Path
) -> None:
    """`SORT_RO` with `GET` is not for such a user."""
    await queued(parts, write_rows(tmp_path / "a.csv", days=8, rows=200))
    keys = ("~daybook:*", f"~{QUEUE}", "~agg:*", "~count:*")
    await parts.redis.command("ACL", "SETUSER", "limited", "on", ">secret", "+@all", *keys)
    limited = RedisConnection.to(unix_socket=str(server.socket), username="limited", password="secret")
    try:
        found = await Requeue(limited, QUEUE).waiting()
    finally:
        await limited.close()
    assert found.checkpoints
    assert found == await parts.stores.requeue.waiting()


async def scripts_run(parts: Parts) -> int:
    found = await parts.redis.command("INFO", "commandstats")
    return int(found["cmdstat_evalsha"]["calls"])


async def test_a_number_of_queued_bytes_that_is_set_by_hand_is_put_right(parts: Parts, tmp_path: Path) -> None:
    """Else the queue would count as full for ever."""
    path = write_rows(tmp_path / "a.csv", days=8, rows=200)
    await parts.redis.command("HSET", redis_keys.STATE, "queued_bytes", 1 << 40)
    reported = await look(parts)
    assert reported == []
    assert await parts.stores.requeue.queued_bytes() == 0
    await queued(parts, path)
    await parts.drain()
    assert await parts.totals() == oracle(path)


async def test_a_loss_concerns_the_source_that_lost(parts: Parts, tmp_path: Path) -> None:
    """The batches of another source stay, whose file may have gone."""
    gone = write_rows(tmp_path / "gone.csv", days=8, rows=200)
    await queued(parts, gone)
    expected = oracle(gone)
    before = await parts.queue.length()
    robbed = write_rows(tmp_path / "robbed.csv", days=8, rows=200, seed=2)
    importer = await queued(parts, robbed)
    gone.unlink()
    assert await parts.redis.command("LPOP", QUEUE) is not None  # its newest batch
    assert await look(parts) == []
    await parts.drain()
    assert before > 3
    assert await look(parts) == ["loss"]
    assert {key: value for key, value in (await parts.totals()).items() if value < expected.get(key, 0)} == {}
    await to_end(importer)
    await parts.drain()
    assert await parts.totals() == {
        key: expected.get(key, 0) + oracle(robbed).get(key, 0) for key in expected.keys() | oracle(robbed).keys()
    }
    rereads = {source.path: source.rereads for source in (await parts.sources.known()).sources}
    assert rereads == {str(gone): 0, str(robbed): 1}


async def test_a_batch_in_the_middle_goes_and_others_of_other_sources_stay(parts: Parts, tmp_path: Path) -> None:
    gone = write_rows(tmp_path / "gone.csv", days=8, rows=200)
    robbed = write_rows(tmp_path / "robbed.csv", days=8, rows=200, seed=2)
    importer = await queued(parts, robbed)
    await queued(parts, gone)
    expected = oracle(gone)
    gone.unlink()
    await steal(parts)  # the oldest of the robbed one
    await parts.drain()
    assert await parts.totals() == expected
    await to_end(importer)
    await parts.drain()
    assert sum((await parts.totals()).values()) == sum(expected.values()) + sum(oracle(robbed).values())


async def test_a_batch_that_comes_back_after_its_loss_keeps_its_rejects(parts: Parts, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "timestamp,type,payment_method,amount\n" + "2026-01-01,deposit,visa,1\n2026-01-01,deposit,visa,-1\n" * 3
    )
    await to_end(parts.importer(path))
    stolen = await parts.redis.command("RPOP", QUEUE)
    while await parts.queue.length():
        await parts.redis.command("RPOP", QUEUE)
    path.unlink()
    assert await look(parts) == ["loss"]
    await parts.redis.command("RPUSH", QUEUE, stolen)
    await parts.drain()
    await look(parts)
    await parts.dumper.dump_once()
    source = await source_of(parts)
    assert (source.applied_rows, source.rejected_rows, source.waiting) == (3, 3, 0)
    assert len(await parts.archive.rejects(source.id, 0, 100)) == 3


async def test_a_batch_that_fits_nowhere_is_rejected(parts: Parts, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", days=8, rows=200)
    await queued(parts, path)
    copy = await parts.redis.command("LINDEX", QUEUE, 0)
    await parts.redis.command("RPUSH", QUEUE, copy)
    await parts.drain()
    assert await parts.queue.length() == 0
    assert await parts.totals() == oracle(path)
    rejects = await parts.hot.waiting_rejects()
    assert [reject.source for reject in rejects] == ["queue"]
    assert "does not continue" in rejects[0].reason


async def test_only_the_lanes_owner_sets_checkpoints_back(parts: Parts, server: EmbeddedValkey, tmp_path: Path) -> None:
    await queued(parts, write_rows(tmp_path / "a.csv", days=8, rows=200))
    await steal(parts)
    before = await source_of(parts)
    async with lane(server.socket, tmp_path / "archive.sqlite"):
        with pytest.raises(LaneLostError):
            await parts.stores.requeue.read_again(parts.token)
    assert await source_of(parts) == before
