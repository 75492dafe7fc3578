"""Rejected rows, corrected and imported again: each counts once, and says what it stands for."""

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daybook.books.rejects import Rejects
from daybook.domain.reject import Correction, Reject
from daybook.domain.source import Source
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.errors import RecoveringError
from daybook.runtime.stop import StopToken
from support.pipeline import QUEUE, Parts, lane

HEADER = "when,Timestamp,TYPE,payment_method,amount\n"
BAD = (
    'a,2001-01-01,deposit,paypal,"1,5"\n'
    "b,2001-01-01,deposit,paypal,10\n"
    "c,2001-13-01,deposit,paypal,20\n"
    "d,2001-01-01,deposit,paypal,30,too many\n"
    '"e\nf",2001-01-02,gift,paypal,40\n'
)
BAD_LINES = [2, 4, 5, 6]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "data") as valkey:
        yield valkey


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "original.csv"
    path.write_text(HEADER + BAD)
    return path


async def add(parts: Parts, *files: Path) -> None:
    for file in files:
        await parts.import_all(file)
        await parts.drain()


async def source_of(parts: Parts, path: Path) -> Source:
    return next(each for each in reversed((await parts.sources.known()).sources) if each.path == str(path))


async def exported(parts: Parts, source_id: str) -> str:
    rejects = Rejects(parts.stores)
    return "".join([text async for text in rejects.csv(await rejects.source(source_id))])


async def corrections(parts: Parts, source_id: str) -> dict[int, Correction]:
    page = await Rejects(parts.stores).page(source_id, 0, 1000)
    return {reject.line: correction for reject, correction in page if correction}


async def total(parts: Parts) -> str:
    return str(sum((await parts.totals()).values()))


async def rejects_of(parts: Parts, path: Path) -> list[Reject]:
    await parts.dumper.dump_once()
    return await parts.archive.rejects((await source_of(parts, path)).id, 0, 100)


def repaired(text: str) -> str:
    """What a person makes of an export: all rows are right."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    for row in rows:
        row |= {"timestamp": "2001-01-03", "type": "deposit", "payment_method": "paypal", "amount": "100"}
    found = io.StringIO(newline="")
    writer = csv.DictWriter(found, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return found.getvalue()


async def test_the_export_is_the_files_own_columns_and_the_reason(
    server: EmbeddedValkey, tmp_path: Path, original: Path
) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, original)
        source = await source_of(parts, original)
        waiting = await exported(parts, source.id)
        await parts.dumper.dump_once()
        assert await exported(parts, source.id) == waiting
        header, *rows = csv.reader(io.StringIO(waiting, newline=""))
        own = ["when", "timestamp", "type", "payment_method", "amount"]
        assert header == [*own, "rejected_reason", "rejected_source", "rejected_line", "rejected_raw"]
        assert [row[:5] for row in rows] == [
            ["a", "2001-01-01", "deposit", "paypal", "1,5"],
            ["c", "2001-13-01", "deposit", "paypal", "20"],
            ["", "", "", "", ""],
            ["e\nf", "2001-01-02", "gift", "paypal", "40"],
        ]
        assert [row[5:] for row in rows] == [
            ["amount is not a plain decimal", source.id, "2", ""],
            ["timestamp is not a date that exists", source.id, "4", ""],
            ["too many fields: 6 instead of 5", source.id, "5", "d,2001-01-01,deposit,paypal,30,too many"],
            ["type is neither deposit nor withdrawal", source.id, "6", ""],
        ]


async def test_what_nobody_corrected_never_counts(server: EmbeddedValkey, tmp_path: Path, original: Path) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        pushed = {"Timestamp": "2001-01-01", "Type": "deposit", "PaymentMethod": "paypal", "Amount": 5}
        changes: list[dict[str, object]] = [
            {"PaymentMethod": None},
            {"PaymentMethod": 123},
            {"Timestamp": 20010101},
            {"Type": "gift"},
            {"Amount": None},
        ]
        await parts.redis.command("LPUSH", QUEUE, *(json.dumps(pushed | change) for change in changes))
        await parts.redis.command("LPUSH", QUEUE, '{"Timestamp":"2001-01-01","Type":"gift"}', "nonsense")
        await add(parts, original)
        untouched = tmp_path / "untouched.csv"
        for source_id in ((await source_of(parts, original)).id, "queue"):
            untouched.write_text(await exported(parts, source_id))
            await add(parts, untouched)
            source = await source_of(parts, untouched)
            assert (source.applied_rows, source.rejected_rows) == (0, source.read.rows)
        assert await total(parts) == "10.00000000"


async def test_corrected_rows_count_once_and_are_linked(server: EmbeddedValkey, tmp_path: Path, original: Path) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, original)
        await parts.dumper.dump_once()
        first = (await source_of(parts, original)).id
        fixed, again, copy = (tmp_path / name for name in ("fixed.csv", "again.csv", "copy.csv"))
        text = repaired(await exported(parts, first))
        fixed.write_text(text)
        copy.write_text(text)
        again.write_text(text + text.splitlines()[1].replace("100", "7") + "\n")
        await add(parts, fixed, copy, again)
        assert await total(parts) == "410.00000000"
        fixed_id = (await source_of(parts, fixed)).id
        assert await corrections(parts, first) == {
            line: Correction(first, line, fixed_id, index) for line, index in zip(BAD_LINES, range(2, 6), strict=True)
        }
        source = await source_of(parts, again)
        assert (source.applied_rows, source.rejected_rows) == (0, 5)
        assert (await rejects_of(parts, again))[0].reason == (
            f"line 2 of source {first} is already corrected by line 2 of source {fixed_id}"
        )
        assert (await exported(parts, first)).count("\n") == 1
        assert (await exported(parts, source.id)).count("\n") == 1


async def test_a_row_that_was_never_rejected_cannot_be_corrected(
    server: EmbeddedValkey, tmp_path: Path, original: Path
) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, original)
        first = (await source_of(parts, original)).id
        wrong = tmp_path / "wrong.csv"
        links = [(first, "3"), ("nobody", "2"), (first, "0"), (first, "x"), ("", ""), (first, "1" * 40), (first, "-2")]
        wrong.write_text(
            "timestamp,type,payment_method,amount,rejected_source,rejected_line\n"
            + "".join(f"2001-01-01,deposit,paypal,1,{source},{line}\n" for source, line in links)
        )
        await add(parts, wrong)
        source = await source_of(parts, wrong)
        assert (source.applied_rows, source.rejected_rows) == (0, len(links))
        assert [reject.reason for reject in await rejects_of(parts, wrong)][:2] == [
            f"source {first} has no rejected row in line 3",
            "source nobody has no rejected row in line 2",
        ]
        assert await corrections(parts, first) == {}


async def test_a_reject_that_redis_lost_is_corrected_once_it_is_there_again(
    server: EmbeddedValkey, tmp_path: Path, original: Path
) -> None:
    fixed, better = tmp_path / "fixed.csv", tmp_path / "better.csv"
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, original)
        await parts.dumper.dump_once()
        with original.open("a") as file:
            file.write("g,2001-01-01,gift,paypal,50\n")
        await add(parts, original)
        first = (await source_of(parts, original)).id
        fixed.write_text(repaired(await exported(parts, first)))
        await parts.redis.command("FLUSHALL")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, fixed, original)
        source = await source_of(parts, fixed)
        assert (source.applied_rows, source.rejected_rows) == (len(BAD_LINES), 1)
        assert (await rejects_of(parts, fixed))[0].reason == f"source {first} has no rejected row in line 8"
        left = await exported(parts, source.id)
        assert [row["rejected_line"] for row in csv.DictReader(io.StringIO(left, newline=""))] == ["8"]
        better.write_text(repaired(left))
        await add(parts, better)
        assert await total(parts) == "510.00000000"
        assert sorted(await corrections(parts, first)) == [*BAD_LINES, 8]


async def test_a_correction_that_is_wrong_itself_can_be_corrected(
    server: EmbeddedValkey, tmp_path: Path, original: Path
) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, original)
        first = (await source_of(parts, original)).id
        await parts.dumper.dump_once()
        fixed, better = tmp_path / "fixed.csv", tmp_path / "better.csv"
        fixed.write_text(repaired(await exported(parts, first)).replace("deposit", "gift", 1))
        await add(parts, fixed)
        assert await total(parts) == "310.00000000"
        left = await exported(parts, (await source_of(parts, fixed)).id)
        assert left.count("\n") == 2
        better.write_text(repaired(left))
        await add(parts, better)
        assert await total(parts) == "410.00000000"
        assert sorted(await corrections(parts, first)) == BAD_LINES


async def test_redis_lost_before_the_archive_knew_of_the_corrections(
    server: EmbeddedValkey, tmp_path: Path, original: Path
) -> None:
    fixed = tmp_path / "fixed.csv"
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, original)
        await parts.dumper.dump_once()
        first = (await source_of(parts, original)).id
        fixed.write_text(repaired(await exported(parts, first)))
        await add(parts, fixed)
        lost = (await source_of(parts, fixed)).id
        await parts.redis.command("FLUSHALL")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, original)
        assert await corrections(parts, first) == {}
        await add(parts, fixed)
        source = await source_of(parts, fixed)
        assert source.id != lost
        assert source.applied_rows == len(BAD_LINES)
        assert await total(parts) == "410.00000000"
        assert {each.by_source for each in (await corrections(parts, first)).values()} == {source.id}


async def test_redis_lost_in_the_middle_of_the_corrections(
    server: EmbeddedValkey, tmp_path: Path, original: Path
) -> None:
    fixed = tmp_path / "fixed.csv"
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, original)
        await parts.dumper.dump_once()
        fixed.write_text(repaired(await exported(parts, (await source_of(parts, original)).id)))
        await parts.import_all(fixed)
        await parts.dumper.dump_once()  # the archive knows the file, none of its rows is applied
        await parts.drain()
        await parts.redis.command("FLUSHALL")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, original, fixed)
        assert (await source_of(parts, fixed)).applied_rows == len(BAD_LINES)
        assert await total(parts) == "410.00000000"


async def test_a_correction_without_room_can_be_corrected_itself(
    server: EmbeddedValkey, tmp_path: Path, original: Path
) -> None:
    full = tmp_path / "full.csv"
    full.write_text("timestamp,type,payment_method,amount\n2001-01-03,deposit,visa,1\n")
    fixed, better = tmp_path / "fixed.csv", tmp_path / "better.csv"
    async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=1) as parts:
        await add(parts, original, full)
        await parts.dumper.dump_once()
        first = (await source_of(parts, original)).id
        fixed.write_text(repaired(await exported(parts, first)))
        await add(parts, fixed)
        source = await source_of(parts, fixed)
        assert (source.applied_rows, source.rejected_rows) == (0, len(BAD_LINES))
        assert await total(parts) == "11.00000000"
        assert await corrections(parts, first) == {}
        assert len(list(csv.DictReader(io.StringIO(await exported(parts, first), newline="")))) == len(BAD_LINES)
        left = await exported(parts, source.id)
        assert {row["rejected_source"] for row in csv.DictReader(io.StringIO(left, newline=""))} == {first}
        better.write_text(left.replace("paypal", "visa"))
        with pytest.raises(RecoveringError, match=r"earlier correction .* was refused \(MaxMethodsPerBucket\)"):
            await add(parts, better)
        await parts.dumper.dump_once()
        await add(parts, better, fixed)
        assert await total(parts) == "411.00000000"
        assert {each.by_source for each in (await corrections(parts, first)).values()} == {
            (await source_of(parts, better)).id
        }
        assert (await exported(parts, source.id)).count("\n") == 1


async def correctable(parts: Parts, path: Path) -> str:
    """Import rejected rows in the lines 2 to 4 and a day that has its one payment method; the source's id."""
    await add(parts, write_rejects(path))
    await parts.dumper.dump_once()
    return (await source_of(parts, path)).id


def write_rejects(path: Path) -> Path:
    rejects = "2001-13-01,deposit,visa,1\n" * 3
    path.write_text(f"timestamp,type,payment_method,amount\n{rejects}2001-01-03,deposit,visa,1000\n")
    return path


def write_corrections(path: Path, source: str, *rows: tuple[str, int, int]) -> Path:
    """Payment method, amount, and the line that each row corrects."""
    path.write_text(
        "timestamp,type,payment_method,amount,rejected_source,rejected_line\n"
        + "".join(f"2001-01-03,deposit,{method},{amount},{source},{line}\n" for method, amount, line in rows)
    )
    return path


async def test_a_row_without_room_does_not_speak_for_its_neighbours(server: EmbeddedValkey, tmp_path: Path) -> None:
    """Nor when the file holds others that are refused, or has gone before its rows are applied."""
    async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=1) as parts:
        first = await correctable(parts, tmp_path / "original.csv")
        await add(parts, write_corrections(tmp_path / "fixed.csv", first, ("visa", 100, 2)))
        more = write_corrections(tmp_path / "more.csv", first, ("visa", 100, 2), ("visa", 5, 3), ("paypal", 7, 4))
        await parts.import_all(more)
        source = (await source_of(parts, more)).id
        more.unlink()
        await parts.drain()
        await parts.dumper.dump_once()
        assert [reject.line for reject in await parts.archive.rejects(source, 0, 9)] == [2, 4]
        assert sorted(await corrections(parts, first)) == [2, 3]
        await add(parts, write_corrections(tmp_path / "third.csv", first, ("visa", 5, 3), ("visa", 7, 4)))
        assert await total(parts) == "1112.00000000"
        assert sorted(await corrections(parts, first)) == [2, 3, 4]


async def test_a_restore_changes_no_verdict_on_corrections(server: EmbeddedValkey, tmp_path: Path) -> None:
    """The rejected row came after the last dump, and the corrections are read again before it is."""
    original, fixed = tmp_path / "original.csv", tmp_path / "fixed.csv"
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        first = await correctable(parts, original)
        with original.open("a") as file:
            file.write("2001-13-01,deposit,visa,5\n")
        await add(parts, original)
        with pytest.raises(RecoveringError, match=r"the reject of line 6 of source .* is not archived yet"):
            await add(parts, write_corrections(fixed, first, ("visa", 5, 6)))
        await parts.dumper.dump_once()
        await add(parts, fixed)
        assert await total(parts) == "1005.00000000"
        await parts.redis.command("FLUSHALL")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, fixed, original)
        assert await total(parts) == "1005.00000000"


async def test_a_correction_is_never_corrected_itself(server: EmbeddedValkey, tmp_path: Path) -> None:
    """Whoever wrote `1,50` without quotes finds the row where it was, once."""
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        first = await correctable(parts, tmp_path / "original.csv")
        fixed, other = tmp_path / "fixed.csv", tmp_path / "other.csv"
        fixed.write_text(repaired(await exported(parts, first)).replace(",100,", ",1,50,", 1))
        await add(parts, fixed)
        await parts.dumper.dump_once()
        source = await source_of(parts, fixed)
        assert (source.applied_rows, source.rejected_rows) == (2, 1)
        assert list(csv.DictReader(io.StringIO(await exported(parts, source.id), newline=""))) == []
        await add(parts, write_corrections(other, source.id, ("visa", 7, 2)))
        assert (await rejects_of(parts, other))[0].reason == (
            f"source {source.id} holds corrections itself: name the row that they correct"
        )
        better = tmp_path / "better.csv"
        better.write_text(repaired(await exported(parts, first)))
        await add(parts, better)
        assert await total(parts) == "1300.00000000"


async def test_a_row_that_is_judged_again_after_a_restore_is_no_reject_any_more(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=1) as parts:
        first = await correctable(parts, tmp_path / "original.csv")
        await parts.import_all(write_corrections(one, first, ("paypal", 7, 2)))
        await parts.import_all(write_corrections(two, first, ("visa", 5, 2)))  # too late: `one` has noted it
        parts.aggregator._one_by_one = True
        while not (await source_of(parts, one)).refused.rows:
            await parts.aggregator.aggregate_once()
            parts.aggregator._one_by_one = True
        await parts.dumper.dump_once()
        await parts.redis.command("FLUSHALL")
    async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=1) as parts:
        await add(parts, two)
        assert (await source_of(parts, two)).applied_rows == 1
        assert await rejects_of(parts, two) == []
        assert sorted(await corrections(parts, first)) == [2]
        assert await total(parts) == "1005.00000000"


async def test_another_redis_for_a_moment_makes_no_correction_void(server: EmbeddedValkey, tmp_path: Path) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        first = await correctable(parts, tmp_path / "original.csv")
        await add(parts, write_corrections(tmp_path / "one.csv", first, ("visa", 5, 2)))
        importer = parts.importer(write_corrections(tmp_path / "two.csv", first, ("wire", 5, 2)))
        await importer.import_next(StopToken())
        await parts.redis.command("SWAPDB", 0, 1)
        with pytest.raises(RecoveringError):
            await importer.import_next(StopToken())
        with pytest.raises(RecoveringError):
            await exported(parts, first)
        await importer.close()
        await parts.redis.command("SWAPDB", 1, 0)
        await add(parts, tmp_path / "two.csv")
        assert await total(parts) == "1005.00000000"


async def test_a_note_whose_row_was_never_read_corrects_nothing_yet(server: EmbeddedValkey, tmp_path: Path) -> None:
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        first = await correctable(parts, tmp_path / "original.csv")
        importer = parts.importer(write_corrections(tmp_path / "one.csv", first, ("visa", 5, 2)))
        await importer.import_next(StopToken())
        source = (await source_of(parts, tmp_path / "one.csv")).id
        await parts.archive.correct([Correction(first, 2, source, 2)])  # and the importer is killed
        assert await corrections(parts, first) == {}
        await importer.import_next(StopToken())
        assert sorted(await corrections(parts, first)) == [2]


async def test_columns_of_the_file_that_are_like_the_added_ones(server: EmbeddedValkey, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("timestamp,type,payment_method,amount,reason,raw\n2001-01-01,gift,paypal,1,declined,xyz\n")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, path)
        (row,) = csv.DictReader(io.StringIO(await exported(parts, (await source_of(parts, path)).id), newline=""))
        assert (row["reason"], row["raw"]) == ("declined", "xyz")
        assert row["rejected_reason"] == "type is neither deposit nor withdrawal"


HEADERS = {
    "plain": "timestamp,type,payment_method,amount",
    "longer than what is kept of a file's beginning": "".join(f"column{number}," for number in range(600))
    + "timestamp,type,payment_method,amount",
    "with a bare CR": '"a\rb",timestamp,type,payment_method,amount',
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
async def test_a_file_of_corrections_is_known_by_its_whole_header(
    server: EmbeddedValkey, tmp_path: Path, header: str
) -> None:
    original, fixed, better = (tmp_path / name for name in ("original.csv", "fixed.csv", "better.csv"))
    write_exactly(original, header + "\n" + "," * header.count(",") + "\n")
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, original)
        await parts.dumper.dump_once()
        first = (await source_of(parts, original)).id
        text = repaired(await exported(parts, first))
        write_exactly(fixed, text.replace(",100,", ",1,50,", 1))
        await add(parts, fixed)
        await parts.dumper.dump_once()
        source = await source_of(parts, fixed)
        assert (source.applied_rows, source.rejected_rows, source.is_of_corrections) == (0, 1, True)
        assert (await exported(parts, source.id)).count("\n") == 1
        write_exactly(better, text)
        await add(parts, better)
        assert await total(parts) == "100.00000000"


def write_exactly(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
