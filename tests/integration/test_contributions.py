"""What each source added: exactly once, whatever ends in between. Real server, single steps."""

import shutil
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from daybook.books.contributions import effect_of, effects_of
from daybook.domain.source import QUEUE_SOURCE
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.importing.context import Step
from daybook.lane import contributing
from daybook.runtime.stop import StopToken
from daybook.sources.contributions import record
from daybook.stores import redis_keys
from daybook.stores.commit import Commit, LedgerMove
from support.pipeline import QUEUE, Parts, Totals, amounts_of, lane, oracle, write_rows

JSON = '{"Timestamp":"2026-03-01T10:30:00","Type":"deposit","PaymentMethod":"wire","Amount":1.25}'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "data") as valkey:
        yield valkey


def write_months(path: Path, *, months: int = 6, rows: int = 90) -> Path:
    """Write rows without bad ones whose days jump within some months of 2026."""
    lines = (
        f"2026-{number * 5 % months + 1:02d}-{number * 11 % 28 + 1:02d}T10:00:00,"
        f"{('deposit', 'withdrawal')[number % 2]},method {number % 4},{number + 1}.{number % 100:02d}"
        for number in range(rows)
    )
    path.write_text("timestamp,type,payment_method,amount\n" + "\n".join(lines) + "\n")
    return path


async def by_path(parts: Parts) -> dict[str, Totals]:
    found = await parts.effects()
    sources = (await parts.sources.known()).sources
    return {Path(source.path).name: amounts_of(found[source.id].cells) for source in sources}


async def waiting(parts: Parts) -> int:
    return int(await parts.redis.command("LLEN", redis_keys.CONTRIBUTIONS))


async def test_each_source_has_what_its_file_adds(server: EmbeddedValkey, tmp_path: Path) -> None:
    first, second = write_rows(tmp_path / "a.csv", rows=60), write_months(tmp_path / "b.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        for file in (first, second):
            importer = parts.importer(file, buckets=4)
            while await importer.import_next(StopToken()) is not Step.AT_END:
                await parts.drain()
                await parts.effects()
        await parts.drain()
        expected = {"a.csv": oracle(first), "b.csv": oracle(second)}
        assert await by_path(parts) == expected
        assert await waiting(parts) > 1
        await parts.dumper.dump_once()
        assert await waiting(parts) == 0
        assert await parts.dumps.waiting_bytes() == (0, 0)
        assert await by_path(parts) == expected


async def test_a_snapshot_that_was_written_and_not_settled_counts_once(server: EmbeddedValkey, tmp_path: Path) -> None:
    file = write_months(tmp_path / "a.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        importer, steps = parts.importer(file, buckets=4), 0
        while await importer.import_next(StopToken()) is not Step.AT_END:
            await parts.drain()
            await parts.dump_without_settling()
            await parts.effects()
            steps += 1
            if steps % 3 == 0:
                await parts.dumper.dump_once()
                await parts.effects()
        assert steps > 6
        assert await by_path(parts) == {"a.csv": oracle(file)}


async def test_the_next_owner_goes_on(server: EmbeddedValkey, tmp_path: Path) -> None:
    """An owner that ends after the snapshot, or after the write, leaves the list to the next one."""
    file = write_months(tmp_path / "a.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await parts.import_all(file)
        await parts.aggregator.aggregate_once()
        await parts.dumps.snapshot(parts.token)
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await parts.effects()
        await parts.drain()
        await parts.dump_without_settling()
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        assert await by_path(parts) == {"a.csv": oracle(file)}
        await parts.dumper.dump_once()
        assert await by_path(parts) == {"a.csv": oracle(file)}


@pytest.mark.parametrize("settles", [True, False])
async def test_redis_wiped(server: EmbeddedValkey, tmp_path: Path, *, settles: bool) -> None:
    file, archive = write_months(tmp_path / "a.csv"), tmp_path / "archive.sqlite"
    async with lane(server.socket, archive) as parts:
        importer = parts.importer(file, buckets=4)
        for _ in range(3):
            await importer.import_next(StopToken())
        await parts.drain()
        await (parts.dumper.dump_once() if settles else parts.dump_without_settling())
        for _ in range(2):
            await importer.import_next(StopToken())
        await parts.drain()
        await parts.redis.command("FLUSHALL")
        (archived,) = (await effects_of(parts.stores)).values()
        assert archived.adds_up
        assert archived.account.transactions > 0
    async with lane(server.socket, archive) as parts:
        await parts.effects()
        await parts.import_all(file)
        await parts.drain()
        assert await by_path(parts) == {"a.csv": oracle(file)}
        await parts.dumper.dump_once()
        assert await by_path(parts) == {"a.csv": oracle(file)}


async def test_redis_set_back_to_an_older_copy(tmp_path: Path) -> None:
    file, archive = write_months(tmp_path / "a.csv"), tmp_path / "archive.sqlite"
    data, copy = tmp_path / "data", tmp_path / "copy"
    server = EmbeddedValkey(data)
    await server.start()
    try:
        async with lane(server.socket, archive) as parts:
            importer = parts.importer(file, buckets=4)
            for _ in range(2):
                await importer.import_next(StopToken())
            await parts.drain()
        await server.stop()
        shutil.copytree(data, copy)
        await server.start()
        async with lane(server.socket, archive) as parts:
            await parts.import_all(file)
            await parts.drain()
            await parts.dumper.dump_once()
        await server.stop()
        shutil.rmtree(data)
        shutil.copytree(copy, data)
        await server.start()
        async with lane(server.socket, archive) as parts:
            assert await waiting(parts) == 0
            await parts.import_all(file)
            await parts.drain()
            assert await by_path(parts) == {"a.csv": oracle(file)}
    finally:
        await server.stop()


async def test_what_other_producers_push(server: EmbeddedValkey, tmp_path: Path) -> None:
    """JSON among batches, with a row that is rejected; elements that are no batch."""
    file = write_months(tmp_path / "a.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        importer = parts.importer(file, buckets=4)
        for number in range(5):
            await importer.import_next(StopToken())
            await parts.redis.command("LPUSH", QUEUE, JSON, '{"Amount": "none"}', b"\xff\xff\xff\xffno batch")
            if number % 2:
                await parts.drain()
                await parts.effects()
        await parts.drain()
        await parts.dumper.dump_once()
        await parts.redis.command("LPUSH", QUEUE, JSON)
        await parts.drain()
        effect = (await parts.effects())[QUEUE_SOURCE]
        assert amounts_of(effect.cells) == {("2026-03-01", "deposits", "wire"): Decimal("7.50")}
        assert effect.account.transactions == 6


async def test_refused_rows_add_nothing(server: EmbeddedValkey, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    lines = [f"2026-01-0{number % 3 + 1}T10:00:00,deposit,method {number % 7},{number}.50" for number in range(1, 60)]
    file.write_text("timestamp,type,payment_method,amount\n" + "\n".join(lines) + "\n")
    async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=3) as parts:
        await parts.import_all(file)
        await parts.redis.command("LPUSH", QUEUE, JSON.replace("2026-03-01", "2026-01-01"), JSON)
        await parts.drain()
        found = await parts.effects()
        assert found[QUEUE_SOURCE].account.transactions == 1
        (source,) = (await parts.sources.known()).sources
        assert 0 < found[source.id].account.transactions == source.applied_rows < len(lines)
        await parts.dumper.dump_once()
        assert {name: effect.account for name, effect in (await parts.effects()).items()} == {
            name: effect.account for name, effect in found.items()
        }


async def test_a_batch_that_comes_again_adds_nothing(server: EmbeddedValkey, tmp_path: Path) -> None:
    file = write_months(tmp_path / "a.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        importer = parts.importer(file, buckets=4)
        await importer.import_next(StopToken())
        (element,) = await parts.redis.command("LRANGE", QUEUE, 0, -1)
        await parts.drain()
        await parts.redis.command("LPUSH", QUEUE, element)
        await importer.import_next(StopToken())
        assert await parts.aggregator.aggregate_once() == 2
        await parts.effects()
        await parts.import_all(file)
        await parts.drain()
        assert await by_path(parts) == {"a.csv": oracle(file)}


async def test_a_source_read_in_part_without_keeping_is_incomplete(server: EmbeddedValkey, tmp_path: Path) -> None:
    part, whole = write_months(tmp_path / "part.csv"), write_rows(tmp_path / "whole.csv", rows=60)
    async with lane(server.socket, tmp_path / "archive.sqlite", keep_contributions=False) as parts:
        importer = parts.importer(part, buckets=4)
        for _ in range(2):
            await importer.import_next(StopToken())
        await parts.drain()
        assert await waiting(parts) == 0
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await parts.import_all(part)
        await parts.import_all(whole)
        await parts.drain()
        for _ in range(2):
            found = [await effect_of(parts.stores, source.id) for source in (await parts.sources.known()).sources]
            assert [effect and (effect.complete, effect.adds_up) for effect in found] == [(False, False), (True, True)]
            await parts.dumper.dump_once()
    async with lane(server.socket, tmp_path / "archive.sqlite", keep_contributions=False) as parts:
        with whole.open("a") as file:
            file.write("2026-01-01T10:00:00,deposit,wire,1.00\n")
        await parts.import_all(whole)
        await parts.drain()
        effects = await effects_of(parts.stores)
        assert [(effect.complete, effect.adds_up) for effect in effects.values()] == [(False, False), (False, False)]
        assert await effect_of(parts.stores, "unknown") is None


@pytest.mark.parametrize("dumps", ["before", "after", "before and after", "unsettled"])
async def test_what_a_source_added_is_taken_away(server: EmbeddedValkey, tmp_path: Path, dumps: str) -> None:
    """A commit may say that all that a source added before is void."""
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await parts.import_all(write_months(tmp_path / "a.csv"))
        await parts.drain()
        if "before" in dumps:
            await parts.dumper.dump_once()
        if dumps == "unsettled":
            await parts.dump_without_settling()
        (source,) = (await parts.sources.known()).sources
        move = LedgerMove(source.id, source.applied.offset, source.applied, drops_contributions=True)
        sequence = await parts.stores.commits.sequence() + 1
        commit = Commit(sequence, 0, 0, [move], [], [], contributions=[record(source.id, None)])
        assert await parts.stores.commits.commit(parts.token, commit) == []
        if dumps != "before":
            await parts.dumper.dump_once()
        found = await effect_of(parts.stores, source.id)
        assert found is not None
        assert (found.complete, found.account.transactions, len(found.cells.days)) == (True, 0, 0)


async def test_a_month_too_large_for_one_row_goes_on_by_day(
    server: EmbeddedValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_months(tmp_path / "a.csv", months=2, rows=200)
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        importer, steps = parts.importer(file, buckets=4), 0
        while await importer.import_next(StopToken()) is not Step.AT_END:
            await parts.drain()
            await parts.effects()
            steps += 1
            await (parts.dump_without_settling() if steps % 3 else parts.dumper.dump_once())
            await parts.effects()
            monkeypatch.setattr(contributing, "MOST_ROW_BYTES", 150)
        periods = {row.period async for row in parts.archive.contributions("", "~")}
        assert {len(period) for period in periods} == {len("2026-01"), len("2026-01-01")}
        assert await by_path(parts) == {"a.csv": oracle(file)}
