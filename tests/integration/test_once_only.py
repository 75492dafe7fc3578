"""Every row once: wiped and rolled-back Redis, take-over, late rows. Real server, single steps."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.errors import ConfigurationError, FencedError, LaneLostError
from daybook.importing.context import Step
from daybook.runtime.stop import StopToken
from support.pipeline import QUEUE, lane, oracle, write_rows


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "data") as valkey:
        yield valkey


async def test_a_commit_sent_again_is_done_and_a_lost_lane_writes_nothing(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    file = write_rows(tmp_path / "rows.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as old:
        await old.import_all(file)
        async with lane(server.socket, tmp_path / "archive.sqlite") as new:
            with pytest.raises(LaneLostError):
                await old.aggregator.aggregate_once()
            with pytest.raises(LaneLostError):
                await old.dumper.dump_once()
            await new.drain()
            assert await new.totals() == oracle(file)


async def test_the_archive_refuses_a_replaced_dumper(server: EmbeddedValkey, tmp_path: Path) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as old:
        await old.import_all(write_rows(tmp_path / "rows.csv"))
        await old.drain()
        snapshot = await old.dumps.snapshot(old.token)
        assert snapshot is not None
        async with lane(server.socket, tmp_path / "archive.sqlite"):
            with pytest.raises(FencedError):
                await old.archive.write(snapshot)


async def test_redis_wiped_after_a_dump_comes_back_exact(server: EmbeddedValkey, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        importer = parts.importer(file, buckets=4)
        for _ in range(3):
            await importer.import_next(StopToken())
        await parts.drain()
        await parts.dumper.dump_once()
        for _ in range(2):
            await importer.import_next(StopToken())
        await parts.aggregator.aggregate_once()
        await parts.redis.command("FLUSHALL")
        with pytest.raises(LaneLostError):
            await parts.dumper.dump_once()
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        (source,) = (await parts.sources.known()).sources
        assert 0 < source.applied.offset < file.stat().st_size
        await parts.import_all(file)
        await parts.drain()
        assert await parts.totals() == oracle(file)


async def test_what_was_queued_and_not_applied_at_the_dump_is_read_again(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    file = write_rows(tmp_path / "rows.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as old:
        importer = old.importer(file, buckets=4)
        for _ in range(3):
            await importer.import_next(StopToken())
        await old.drain()
        while await importer.import_next(StopToken()) is not Step.AT_END:
            pass
        await old.dumper.dump_once()
        await old.redis.command("FLUSHALL")
        async with lane(server.socket, tmp_path / "archive.sqlite") as new:
            (source,) = (await new.sources.known()).sources
            assert source.read == source.applied
            while await importer.import_next(StopToken()) is not Step.AT_END:
                pass
            await new.drain()
            assert await new.totals() == oracle(file)


async def test_an_importer_at_its_end_notices_that_redis_went_back(server: EmbeddedValkey, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as old:
        await old.import_all(file)
        await old.drain()
        again = old.importer(file)
        assert await again.import_next(StopToken()) is Step.AT_END
        assert again.already_imported
        await old.redis.command("FLUSHALL")
        async with lane(server.socket, tmp_path / "archive.sqlite") as new:
            while await again.import_next(StopToken()) is not Step.AT_END:
                pass
            await new.drain()
            assert await new.totals() == oracle(file)


async def test_a_rotated_file_is_read_to_its_end(server: EmbeddedValkey, tmp_path: Path) -> None:
    path, rotated = write_rows(tmp_path / "a.csv"), tmp_path / "a.csv.1"
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await parts.import_all(path)
        more = write_rows(tmp_path / "more.csv", rows=30, seed=7).read_text().splitlines(keepends=True)[1:]
        with path.open("a") as file:
            file.writelines(more)
        path.rename(rotated)
        write_rows(path, rows=50, seed=9)
        for each in (path, rotated, path, rotated):
            await parts.import_all(each)
        await parts.drain()
        assert await parts.totals() == oracle(path, rotated)


async def test_redis_rolled_back_to_an_older_copy_comes_back_exact(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.csv")
    data, copy, archive = tmp_path / "data", tmp_path / "copy", tmp_path / "archive.sqlite"
    server = EmbeddedValkey(data)
    await server.start()
    try:
        async with lane(server.socket, archive) as parts:
            importer = parts.importer(file, buckets=4)
            await importer.import_next(StopToken())
            await importer.import_next(StopToken())
            for amount in ("1.10", "2.20", "3.30"):
                await parts.redis.command("LPUSH", QUEUE, _json(amount))
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
            await parts.drain()
            await parts.import_all(file)
            await parts.drain()
            totals = await parts.totals()
            pushed = totals.pop(("2026-03-01", "deposits", "wire"))
            assert f"{pushed:.2f}" == "6.60"
            assert totals == oracle(file)
    finally:
        await server.stop()


def _json(amount: str) -> str:
    return '{"Timestamp":"2026-03-01T10:30:00","Type":"deposit","PaymentMethod":"wire","Amount":' + amount + "}"


async def test_a_late_row_gets_the_evicted_days_full_total(server: EmbeddedValkey, tmp_path: Path) -> None:
    first, late = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", rows=7, seed=5)
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await parts.import_all(first)
        await parts.drain()
        await parts.dumper.dump_once()
        assert await parts.dumps.resident_count() == 0
        await parts.import_all(late)
        await parts.drain()
        assert await parts.dumps.resident_count() > 0
        assert await parts.totals() == oracle(first, late)
        await parts.dumper.dump_once()
        assert await parts.dumps.resident_count() == 0
        assert await parts.totals() == oracle(first, late)


async def test_an_archive_of_another_redis_is_refused(server: EmbeddedValkey, tmp_path: Path) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await parts.import_all(write_rows(tmp_path / "rows.csv"))
    with pytest.raises(ConfigurationError, match="another archive"):
        async with lane(server.socket, tmp_path / "other.sqlite"):
            pass


async def test_an_older_copy_of_the_archive_is_refused(server: EmbeddedValkey, tmp_path: Path) -> None:
    archive, copy = tmp_path / "archive.sqlite", tmp_path / "copy.sqlite"
    async with lane(server.socket, archive):
        pass
    shutil.copy(archive, copy)
    async with lane(server.socket, archive) as parts:
        await parts.import_all(write_rows(tmp_path / "rows.csv"))
        await parts.drain()
        await parts.dumper.dump_once()
    with pytest.raises(ConfigurationError, match="older than Redis"):
        async with lane(server.socket, copy):
            pass


async def test_two_importers_on_one_file_queue_each_row_once(server: EmbeddedValkey, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        importers, ended = [parts.importer(file, buckets=4) for _ in range(2)], 0
        while ended < 2:
            steps = [await importer.import_next(StopToken()) for importer in importers]
            ended = sum(step is Step.AT_END for step in steps)
        await parts.drain()
        assert await parts.totals() == oracle(file)


async def test_resident_buckets_are_bounded(server: EmbeddedValkey, tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    rows = (f"{year:04d}-{month:02d}-01T00:00:00,deposit,wire,1.25" for year in range(1, 120) for month in range(1, 13))
    file.write_text("timestamp,type,payment_method,amount\n" + "\n".join(rows) + "\n")
    async with lane(server.socket, tmp_path / "archive.sqlite", max_buckets=200) as parts:
        importer, most = parts.importer(file), 0
        while await importer.import_next(StopToken()) is not Step.AT_END:
            await parts.drain()
            most = max(most, await parts.dumps.resident_count())
        assert most <= 200
        await parts.dumper.dump_once()
        assert await parts.dumps.resident_count() <= 200
        assert await parts.totals() == oracle(file)
