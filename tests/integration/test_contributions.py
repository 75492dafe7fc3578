"""What each source added: exactly once, whatever ends in between. Real server, single steps."""

from collections import defaultdict
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from daybook.books.contributions import Effect, effects_of
from daybook.domain.money import to_decimal
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.importing.context import Step
from daybook.runtime.stop import StopToken
from daybook.sources.columns.cells import CellColumns
from daybook.stores import redis_keys
from support.pipeline import Parts, Totals, lane, oracle, write_rows


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "data") as valkey:
        yield valkey


def write_months(path: Path, *, months: int = 6, rows: int = 90, start: int = 0) -> Path:
    """Write rows without bad ones whose days go to and fro within some months of 2026."""
    lines = (
        f"2026-{number * 5 % months + 1:02d}-{number * 7 % 28 + 1:02d}T10:00:00,"
        f"{('deposit', 'withdrawal')[number % 2]},method {number % 4},{number + 1}.{number % 100:02d}"
        for number in range(start, start + rows)
    )
    path.write_text("timestamp,type,payment_method,amount\n" + "\n".join(lines) + "\n")
    return path


def amounts(cells: CellColumns) -> Totals:
    return {
        (bucket.day, bucket.type, method): to_decimal(cell.units)
        for bucket, held in cells.sums().items()
        for method, cell in held.items()
    }


async def effects(parts: Parts) -> dict[str, Effect]:
    """Return the effect of each source. They must add up to its ledger, and together to the totals."""
    found = await effects_of(parts.stores)
    together: Totals = defaultdict(Decimal)
    for effect in found.values():
        assert effect.complete
        assert effect.adds_up, (effect.account, effect.ledger)
        for cell, amount in amounts(effect.cells).items():
            together[cell] += amount
    assert dict(together) == await parts.totals()
    return found


async def by_path(parts: Parts) -> dict[str, Totals]:
    found = await effects(parts)
    return {Path(source.path).name: amounts(found[source.id].cells) for source in (await parts.sources.known()).sources}


async def waiting(parts: Parts) -> int:
    return int(await parts.redis.command("LLEN", redis_keys.CONTRIBUTIONS))


async def test_each_source_has_what_its_file_adds(server: EmbeddedValkey, tmp_path: Path) -> None:
    first, second = write_rows(tmp_path / "a.csv", rows=60), write_months(tmp_path / "b.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        for file in (first, second):
            importer = parts.importer(file, buckets=4)
            while await importer.import_next(StopToken()) is not Step.AT_END:
                await parts.drain()
                await effects(parts)
        await parts.drain()
        expected = {"a.csv": oracle(first), "b.csv": oracle(second)}
        assert await by_path(parts) == expected
        assert await waiting(parts) > 1
        await parts.dumper.dump_once()
        assert await waiting(parts) == 0
        assert await by_path(parts) == expected


async def test_a_snapshot_that_was_written_and_not_settled_counts_once(server: EmbeddedValkey, tmp_path: Path) -> None:
    file = write_months(tmp_path / "a.csv")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        importer, steps = parts.importer(file, buckets=4), 0
        while await importer.import_next(StopToken()) is not Step.AT_END:
            await parts.drain()
            await write_without_settling(parts)
            await effects(parts)
            steps += 1
            if steps % 3 == 0:
                await parts.dumper.dump_once()
                await effects(parts)
        assert steps > 6
        assert await by_path(parts) == {"a.csv": oracle(file)}


async def write_without_settling(parts: Parts) -> None:
    """Dump as a dumper that is killed between the write and the settling."""
    settle = parts.dumps.settle

    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    parts.dumps.settle = killed  # type: ignore[assignment]
    try:
        await parts.dumper.dump_once()
    except KeyboardInterrupt:
        pass
    finally:
        parts.dumps.settle = settle  # type: ignore[method-assign]
