"""Late rows for closed days: recorded once, whatever happens, and undone by `as_of`."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from daybook.books.history import History
from daybook.clock import utc_now
from daybook.domain.bucket import Bucket
from daybook.domain.money import to_decimal
from daybook.domain.restatement import Change, Restatement
from daybook.embedded.valkey_server import EmbeddedValkey
from support.pipeline import QUEUE, Parts, lane

HEADER = "timestamp,type,payment_method,amount,file\n"
FIRST = ("deposit,paypal,10.00", "deposit,paypal,0.50", "deposit,visa,3")
AHEAD = timedelta(seconds=30)
DAY = Bucket("2001-01-01", "deposits")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "data") as valkey:
        yield valkey


def write(path: Path, *rows: str) -> Path:
    """Files of the same rows are two, because they name themselves."""
    path.write_text(HEADER + "".join(f"2001-01-01T10:00:00,{row},{path.stem}\n" for row in rows))
    return path


async def add(parts: Parts, path: Path, *rows: str) -> None:
    await parts.import_all(write(path, *rows))
    await parts.drain()


async def close_day(parts: Parts) -> None:
    """Archive it and let it leave Redis."""
    await parts.dumper.dump_once()
    await parts.dumper.dump_once()
    assert await parts.dumps.resident_count() == 0


async def recorded(parts: Parts) -> list[Restatement]:
    return await History(parts.stores).restatements(date.min, date.max, "", 100)


def changes_of(found: list[Restatement]) -> list[dict[str, Change]]:
    return [each.changes for each in found]


async def known_at(parts: Parts, moment: datetime) -> dict[str, tuple[Decimal, int]] | None:
    """Methods of the day's deposits; None when nobody knows."""
    history, range_of_days = History(parts.stores), (date(2001, 1, 1), date(2001, 1, 1))
    found = await history.as_of(*range_of_days, moment)
    if found.unknown_days:
        assert not found.known
        return None
    return {
        method: (to_decimal(cell.units), cell.transactions) for method, cell in found.known[DAY].state.cells.items()
    }


async def test_each_change_of_a_closed_day_is_recorded_once(server: EmbeddedValkey, tmp_path: Path) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, tmp_path / "first.csv", *FIRST)
        assert await recorded(parts) == []
        await close_day(parts)
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        late = tmp_path / "late.csv"
        await add(parts, late, "deposit,paypal,0.25", "withdrawal,paypal,1", "deposit,wire,7")
        (found,) = await recorded(parts)
        assert found.changes == {"paypal": Change("10.50", "10.75", 1), "wire": Change("0.00", "7.00", 1)}
        (source,) = [each.id for each in (await parts.sources.known()).sources if each.path == str(late)]
        assert (found.bucket, found.source) == (DAY, source)
        assert (found.offset, found.end) == (0, late.stat().st_size)
        assert before <= datetime.fromisoformat(found.at) <= datetime.now(UTC)

        await add(parts, tmp_path / "later.csv", "deposit,paypal,0.25")
        await parts.redis.command("LPUSH", QUEUE, json_row("2001-01-01", "visa", "1"))
        await parts.drain()
        assert await parts.dumps.record_bytes() > 0
        await close_day(parts)
        assert await parts.dumps.record_bytes() == 0
        assert await parts.hot.waiting_restatements() == []
        assert changes_of(await recorded(parts)) == [
            found.changes,
            {"paypal": Change("10.75", "11.00", 1)},
            {"visa": Change("3.00", "4.00", 1)},
        ]
        assert [each.source for each in await recorded(parts)][2] == "queue"


def json_row(day: str, method: str, amount: str) -> str:
    return f'{{"Timestamp":"{day}","Type":"deposit","PaymentMethod":"{method}","Amount":{amount}}}'


async def test_two_sources_in_one_commit_are_two_steps(server: EmbeddedValkey, tmp_path: Path) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, tmp_path / "first.csv", *FIRST)
        await close_day(parts)
        await parts.import_all(write(tmp_path / "a.csv", "deposit,paypal,1"))
        await parts.import_all(write(tmp_path / "b.csv", "deposit,paypal,2"))
        await parts.drain()
        found = await recorded(parts)
        assert changes_of(found) == [{"paypal": Change("10.50", "11.50", 1)}, {"paypal": Change("11.50", "13.50", 1)}]
        assert {each.version for each in found} == {found[0].version}
        assert await known_at(parts, datetime.now(UTC)) == {"paypal": (Decimal("13.5"), 4), "visa": (Decimal(3), 1)}
        then = datetime.fromisoformat(found[0].at) - timedelta(milliseconds=1)
        assert await known_at(parts, then) == {"paypal": (Decimal("10.5"), 2), "visa": (Decimal(3), 1)}


async def test_as_of_any_moment_since_the_day_was_closed(server: EmbeddedValkey, tmp_path: Path) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, tmp_path / "first.csv", *FIRST)
        open_then = datetime.now(UTC) - timedelta(seconds=1)
        await close_day(parts)
        closed = datetime.fromisoformat((await parts.archive.load([DAY]))[DAY].since)
        states = [(closed, {"paypal": (Decimal("10.5"), 2), "visa": (Decimal(3), 1)})]
        total = Decimal("10.5")
        for number in range(1, 5):
            await add(parts, tmp_path / f"{number}.csv", f"deposit,paypal,0.0{number}", "deposit,crypto,1")
            total += Decimal(number) / 100
            moment = datetime.fromisoformat((await recorded(parts))[-1].at)
            cells = {"paypal": (total, 2 + number), "visa": (Decimal(3), 1), "crypto": (Decimal(number), number)}
            states.append((moment, cells))
            if number % 2:
                await close_day(parts)
        assert await known_at(parts, open_then) is None
        for index, (moment, cells) in enumerate(states):
            assert await known_at(parts, moment) == cells
            if index + 1 < len(states) and (just_before := states[index + 1][0] - timedelta(milliseconds=1)) > moment:
                assert await known_at(parts, just_before) == cells
        assert await known_at(parts, datetime(9999, 1, 1, tzinfo=UTC)) == states[-1][1]


async def test_a_dump_that_is_cut_off_records_nothing_twice(server: EmbeddedValkey, tmp_path: Path) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, tmp_path / "first.csv", *FIRST)
        await close_day(parts)
        await add(parts, tmp_path / "late.csv", "deposit,paypal,1")
        snapshot = await parts.dumps.snapshot(parts.token)
        assert snapshot is not None
        await parts.archive.write(snapshot)
        assert len(await recorded(parts)) == 1
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, tmp_path / "later.csv", "deposit,paypal,1")
        await close_day(parts)
        assert changes_of(await recorded(parts)) == [
            {"paypal": Change("10.50", "11.50", 1)},
            {"paypal": Change("11.50", "12.50", 1)},
        ]


async def test_redis_wiped_after_a_late_row_records_it_once(server: EmbeddedValkey, tmp_path: Path) -> None:
    late = tmp_path / "late.csv"
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, tmp_path / "first.csv", *FIRST)
        await close_day(parts)
        await add(parts, late, "deposit,paypal,1")
        await parts.redis.command("FLUSHALL")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        assert await recorded(parts) == []
        await parts.import_all(late)
        await parts.drain()
        assert changes_of(await recorded(parts)) == [{"paypal": Change("10.50", "11.50", 1)}]
        await close_day(parts)
        assert changes_of(await recorded(parts)) == [{"paypal": Change("10.50", "11.50", 1)}]


async def test_a_new_owner_knows_that_a_resident_day_is_closed(server: EmbeddedValkey, tmp_path: Path) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, tmp_path / "first.csv", *FIRST)
        await close_day(parts)
        await add(parts, tmp_path / "late.csv", "deposit,paypal,1")
        changed = (await parts.hot.read([DAY]))[DAY].since
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, tmp_path / "later.csv", "deposit,paypal,1")
        first, second = await recorded(parts)
        assert changes_of([first, second]) == [
            {"paypal": Change("10.50", "11.50", 1)},
            {"paypal": Change("11.50", "12.50", 1)},
        ]
        assert second.since == changed


async def test_the_next_owners_clock_is_behind(server: EmbeddedValkey, tmp_path: Path) -> None:
    """Versions are never mixed: what came after something later came later."""
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, tmp_path / "first.csv", "deposit,paypal,10")
        await close_day(parts)
    async with lane(server.socket, tmp_path / "archive.sqlite", clock=lambda: utc_now() + AHEAD) as parts:
        await add(parts, tmp_path / "late.csv", "deposit,paypal,1")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, tmp_path / "later.csv", "deposit,paypal,5")
        earlier, later = await recorded(parts)
        assert later.at < earlier.at
        between = await known_at(parts, datetime.now(UTC) + timedelta(seconds=10))
        assert between == {"paypal": (Decimal(10), 1)}
        assert await known_at(parts, datetime.now(UTC) + timedelta(seconds=60)) == {"paypal": (Decimal(16), 3)}
