"""The bound on payment methods in a bucket: the rest is rejected row by row, and the books balance."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daybook.domain.reject import Reject
from daybook.domain.source import QUEUE_SOURCE
from daybook.embedded.valkey_server import EmbeddedValkey
from support.pipeline import QUEUE, Parts, lane

HEADER = "timestamp,type,payment_method,amount\n"
LIMIT = 3
REASON = "its day and type already have 3 payment methods (MaxMethodsPerBucket)"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "data") as valkey:
        yield valkey


def rows(*methods: str, day: str = "2001-01-01") -> str:
    return "".join(f'{day},deposit,"{method}",1.00\n' for method in methods)


async def rejects(parts: Parts, source: str) -> list[Reject]:
    await parts.dumper.dump_once()
    return await parts.archive.rejects(source, 0, 1000)


async def methods(parts: Parts) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for day, _, method in await parts.totals():
        found.setdefault(day, set()).add(method)
    return found


async def check_books(parts: Parts) -> None:
    total = 0
    sources = list((await parts.sources.known()).sources)
    if queue := await parts.sources.get(QUEUE_SOURCE):
        sources.append(queue)
    for source in sources:
        assert source.waiting == 0
        assert source.read.rows == source.applied_rows + source.rejected_rows
        assert len(await rejects(parts, source.id)) == source.rejected_rows
        assert source.control_totals == {"deposits": f"{source.applied_rows}.00", "withdrawals": "0.00"}
        total += source.applied_rows
    assert sum((await parts.totals()).values()) == total


async def test_rows_of_a_file_keep_line_and_text(server: EmbeddedValkey, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        HEADER
        + rows("a", "b", "bad\n method", "c", "d", "a", "e")
        + rows("e", "f", day="2001-01-02")
        + "2001-01-01,deposit,d,1.00\n"
    )
    async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=LIMIT) as parts:
        await parts.import_all(file)
        await parts.drain()
        (source,) = (await parts.sources.known()).sources
        found = await rejects(parts, source.id)
        kept = (await methods(parts))["2001-01-01"]
        assert len(kept) == LIMIT
        assert [(reject.line, reject.raw) for reject in found if reject.reason == REASON] == [
            (line, raw)
            for line, method, raw in [
                (2, "a", '2001-01-01,deposit,"a",1.00'),
                (3, "b", '2001-01-01,deposit,"b",1.00'),
                (6, "c", '2001-01-01,deposit,"c",1.00'),
                (7, "d", '2001-01-01,deposit,"d",1.00'),
                (8, "a", '2001-01-01,deposit,"a",1.00'),
                (9, "e", '2001-01-01,deposit,"e",1.00'),
                (12, "d", "2001-01-01,deposit,d,1.00"),
            ]
            if method not in kept
        ]
        assert [reject.line for reject in found if reject.reason != REASON] == [4]
        assert (await methods(parts))["2001-01-02"] == {"e", "f"}
        await check_books(parts)


async def test_methods_that_are_there_go_on_to_count(server: EmbeddedValkey, tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(HEADER + rows("a", "b", "c"))
    second.write_text(HEADER + rows("a", "x", "b", "y", "c", "a"))
    async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=LIMIT) as parts:
        for file in (first, second):
            await parts.import_all(file)
        await parts.drain()
        _, source = (await parts.sources.known()).sources
        assert [(reject.line, reject.reason) for reject in await rejects(parts, source.id)] == [
            (3, REASON),
            (5, REASON),
        ]
        await check_books(parts)


async def test_json_of_others_among_batches(server: EmbeddedValkey, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(HEADER + rows("a", "b"))
    async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=LIMIT) as parts:
        await parts.redis.command("LPUSH", QUEUE, json_row("j1") + "\nnonsense\n" + json_row("j1"))
        await parts.import_all(file)
        await parts.redis.command("LPUSH", QUEUE, json_row("j2"), json_row("a") + "\n" + json_row("j3"))
        await parts.drain()
        assert await methods(parts) == {"2001-01-01": {"j1", "a", "b"}}
        found = await rejects(parts, "queue")
        assert [(reject.line, reject.raw, reject.reason) for reject in found if reject.reason == REASON] == [
            (4, json_row("j2"), REASON),
            (6, json_row("j3"), REASON),
        ]
        await check_books(parts)


def json_row(method: str) -> str:
    return f'{{"Timestamp":"2001-01-01","Type":"deposit","PaymentMethod":"{method}","Amount":1}}'


@pytest.mark.parametrize("change", ["gone", "other"])
async def test_a_file_that_is_not_there_any_more(server: EmbeddedValkey, tmp_path: Path, change: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(HEADER + rows("a", "", "b", "c", "d", "d", "e"))
    async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=LIMIT) as parts:
        await parts.import_all(file)
        if change == "gone":
            file.unlink()
        else:
            file.write_text(file.read_text().replace('"d"', '"z"'))
        await parts.drain()
        (source,) = (await parts.sources.known()).sources
        found = await rejects(parts, source.id)
        assert len({reject.line for reject in found}) == len(found)
        assert all(REASON in reject.reason for reject in found if reject.line != 3)
        assert sorted(reject.raw for reject in found if reject.line != 3) != []
        await check_books(parts)


async def test_redis_wiped_after_a_refusal(server: EmbeddedValkey, tmp_path: Path) -> None:
    file, other = tmp_path / "rows.csv", tmp_path / "other.csv"
    file.write_text(HEADER + rows("a", "b", "c", "d"))
    other.write_text(HEADER + rows("x", "a", "y"))
    async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=LIMIT) as parts:
        await parts.import_all(file)
        await parts.drain()
        await parts.dumper.dump_once()
        await parts.import_all(other)
        await parts.drain()
        await parts.redis.command("FLUSHALL")
    async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=LIMIT) as parts:
        await parts.import_all(file)
        await parts.import_all(other)
        await parts.drain()
        first, second = (await parts.sources.known()).sources
        assert [first.refused.rows, second.refused.rows] == [1, 2]
        await check_books(parts)
