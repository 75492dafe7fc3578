"""What every archive must do, tried on each implementation."""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pymongo
import pytest

from daybook.domain.bucket import Bucket, BucketState, Cell
from daybook.domain.position import Position
from daybook.domain.reject import RAW_LIMIT, Correction, Reject
from daybook.domain.restatement import Change, Restatement
from daybook.domain.source import QUEUE_SOURCE, Source, Stat
from daybook.errors import FencedError
from daybook.stores.archive import Archive, ArchivedSource, ContributionRow, Snapshot, Written
from daybook.stores.mongo_archive import MongoArchive
from daybook.stores.sqlite_archive import SqliteArchive
from support.archives import states
from support.mongo_server import MongoServer, mongod, secantus

NewArchive = Callable[[], Archive]
"""Another object over the same store, as another process would have one."""

DEPOSITS = Bucket("2026-01-15", "deposits")
WITHDRAWALS = Bucket("2026-01-15", "withdrawals")


@pytest.fixture(scope="session")
def secantus_server() -> Iterator[MongoServer]:
    with secantus() as server:
        yield server


@pytest.fixture(scope="session")
def mongod_server() -> Iterator[MongoServer]:
    with mongod() as server:
        yield server


@pytest.fixture(params=["sqlite", "secantus", "mongod"])
async def new_archive(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NewArchive]:
    if request.param == "sqlite":
        make: NewArchive = lambda: SqliteArchive(tmp_path / "archive.sqlite")  # noqa: E731
        uri = database = ""
    else:
        uri = request.getfixturevalue(f"{request.param}_server").uri
        database = f"daybook_{uuid4().hex}"
        make = lambda: MongoArchive(uri, database)  # noqa: E731
    async with AsyncExitStack() as stack:

        def new() -> Archive:
            made = make()
            stack.push_async_callback(made.close)
            return made

        yield new
    if database:
        with pymongo.MongoClient[dict[str, object]](uri) as client:
            client.drop_database(database)


@pytest.fixture
async def archive(new_archive: NewArchive) -> Archive:
    made = new_archive()
    await made.open()
    return made


def state(version: int, **cells: int) -> BucketState:
    """Methods with their units; as many transactions as the version says."""
    return BucketState(version, {method: Cell(units, version) for method, units in cells.items()})


def snapshot(
    number: int,
    buckets: dict[Bucket, BucketState] | None = None,
    sources: list[ArchivedSource] | None = None,
    rejects: list[Reject] | None = None,
    restatements: Sequence[Restatement] = (),
) -> Snapshot:
    return Snapshot(number, buckets or {}, sources or [], rejects or [], restatements)


def source(source_id: str, offset: int, *, order: int = 1) -> Source:
    position = Position(offset, offset // 10, offset // 10, 0, "1.50", "0.00", "ab" * 32)
    return Source(source_id, f"/data/{source_id}.csv", b"Timestamp,", position, position, offset, order=order)


async def test_a_new_archive_is_empty(archive: Archive) -> None:
    await archive.check()
    assert states(await archive.load([DEPOSITS])) == {}
    assert states(await archive.load([])) == {}
    assert [(bucket, held.state) async for bucket, held in archive.days("0001-01-01", "9999-12-31")] == []
    assert await archive.sources() == []
    assert await archive.rejects("none", 0, 10) == []
    assert await archive.newest_snapshot() == 0


async def test_open_again_keeps_id_and_snapshot(new_archive: NewArchive) -> None:
    first = new_archive()
    created = await first.open()
    assert (len(created.id) >= 16, created.snapshot) == (True, 0)
    await first.write(snapshot(7, {DEPOSITS: state(1, paypal=100)}))
    assert await first.open() == created._replace(snapshot=7)
    assert await new_archive().open() == created._replace(snapshot=7)


async def test_a_snapshot_without_content_counts(new_archive: NewArchive, archive: Archive) -> None:
    assert await archive.write(snapshot(3)) == Written(0, 0, 0)
    assert await archive.newest_snapshot() == 3
    assert (await new_archive().open()).snapshot == 3


async def test_closed_it_can_be_used_again(archive: Archive) -> None:
    await archive.write(snapshot(1, {DEPOSITS: state(1, paypal=100)}))
    await archive.close()
    await archive.close()
    assert states(await archive.load([DEPOSITS])) == {DEPOSITS: state(1, paypal=100)}


class TestBuckets:
    @pytest.mark.parametrize(
        "units",
        [0, 1, -1, 10**6, 1_758_795_000_000, 10**28 + 1, 10**34 - 1, -(10**34) + 1, (10**34 - 1) * 10**3],
    )
    async def test_totals_come_back_to_the_last_digit(self, archive: Archive, units: int) -> None:
        content = {DEPOSITS: BucketState(1, {"paypal": Cell(units, 2**53 + 1)})}
        assert await archive.write(snapshot(1, content)) == Written(1, 0, 0)
        assert states(await archive.load([DEPOSITS])) == content

    async def test_any_method_comes_back(self, archive: Archive) -> None:
        methods = [
            *("a", "0", "-", "+", "&", "_", "_id", "__proto__", " ", "  x ", "Visa & Co - 2+1", "x" * 64),
            *("ü" * 64, "é", "e\u0301", "支付宝", "𝒳" * 64, "हिन्दी", "٣٤", "I", "ı", "i"),
        ]
        content = {
            DEPOSITS: BucketState(1, {method: Cell(n, n) for n, method in enumerate(methods)}),
            WITHDRAWALS: BucketState(4, {}),
        }
        await archive.write(snapshot(1, content))
        assert states(await archive.load(content)) == content

    async def test_hundreds_of_methods(self, archive: Archive) -> None:
        cells = {f"method {n} {'é' * 50}": Cell(n * 10**20 + n, n) for n in range(500)}
        await archive.write(snapshot(1, {DEPOSITS: BucketState(1, cells)}))
        assert states(await archive.load([DEPOSITS]))[DEPOSITS].cells == cells

    async def test_first_and_last_day_there_are(self, archive: Archive) -> None:
        content = {
            Bucket("0001-01-01", "deposits"): state(2**40, paypal=1),
            Bucket("9999-12-31", "withdrawals"): state(1, paypal=2),
        }
        await archive.write(snapshot(2**40, content))
        assert states(await archive.load(content)) == content
        assert [(bucket, held.state) async for bucket, held in archive.days("0001-01-01", "9999-12-31")] == list(
            content.items()
        )

    async def test_a_newer_version_replaces_the_whole_bucket(self, archive: Archive) -> None:
        await archive.write(snapshot(1, {DEPOSITS: state(1, paypal=100, card=5), WITHDRAWALS: state(1)}))
        newer = {DEPOSITS: state(3, paypal=150), Bucket("2026-01-16", "deposits"): state(1, card=7)}
        assert await archive.write(snapshot(2, newer)) == Written(1, 1, 0)
        assert states(await archive.load([*newer, WITHDRAWALS])) == {**newer, WITHDRAWALS: state(1)}

    async def test_an_older_version_replaces_nothing(self, archive: Archive) -> None:
        await archive.write(snapshot(1, {DEPOSITS: state(5, paypal=500)}))
        older = {DEPOSITS: state(4, paypal=400), WITHDRAWALS: state(1, paypal=1)}
        assert await archive.write(snapshot(2, older)) == Written(1, 0, 1)
        assert states(await archive.load([DEPOSITS])) == {DEPOSITS: state(5, paypal=500)}

    async def test_the_same_snapshot_twice_changes_nothing(self, archive: Archive) -> None:
        content = snapshot(
            1,
            {DEPOSITS: state(5, paypal=500), WITHDRAWALS: state(2, card=7)},
            [ArchivedSource(source("a", 100), 3)],
            [Reject("a", 3, "raw", "reason")],
        )
        assert await archive.write(content) == Written(2, 0, 0)
        assert await archive.write(content) == Written(0, 0, 2)
        assert states(await archive.load(content.buckets)) == content.buckets
        assert await archive.sources() == content.sources
        assert await archive.rejects("a", 0, 10) == content.rejects

    async def test_an_earlier_snapshot_again_changes_nothing(self, archive: Archive) -> None:
        first = snapshot(1, {DEPOSITS: state(1, paypal=1)}, [ArchivedSource(source("a", 10), 1)])
        second = snapshot(2, {DEPOSITS: state(2, paypal=2)}, [ArchivedSource(source("a", 20), 2)])
        await archive.write(first)
        await archive.write(second)
        assert await archive.write(first) == Written(0, 0, 1)
        assert states(await archive.load([DEPOSITS])) == second.buckets
        assert await archive.sources() == second.sources
        assert (await archive.open()).snapshot == 2

    async def test_load_answers_those_that_are_there(self, archive: Archive) -> None:
        days = [f"2{year:03}-07-04" for year in range(1000)] + [f"1{year:03}-07-04" for year in range(1000)]
        content = {Bucket(day, "deposits"): state(1, paypal=n) for n, day in enumerate(days[::50])}
        await archive.write(snapshot(1, content))
        asked = [Bucket(day, kind) for day in days for kind in ("withdrawals", "deposits")]
        assert states(await archive.load(asked)) == content
        assert states(await archive.load(iter([asked[1], asked[1]]))) == {asked[1]: content[asked[1]]}

    async def test_days_are_sorted_and_both_ends_belong(self, archive: Archive) -> None:
        days = ["2026-01-31", "2026-01-02", "2025-12-31", "2026-02-01", "2026-01-01"]
        kinds = ("withdrawals", "deposits")
        content = {Bucket(day, kind): state(1, paypal=1) for day in days for kind in kinds}
        await archive.write(snapshot(1, content))

        async def found(first: str, last: str) -> list[Bucket]:
            return [bucket async for bucket, _ in archive.days(first, last)]

        assert await found("2026-01-01", "2026-01-31") == sorted(
            bucket for bucket in content if bucket.day.startswith("2026-01")
        )
        assert await found("2025-12-31", "2025-12-31") == [Bucket("2025-12-31", kind) for kind in kinds[::-1]]
        assert await found("2026-01-03", "2026-01-30") == []
        assert await found("2026-01-31", "2026-01-01") == []

    async def test_a_long_range_can_be_left_early(self, archive: Archive) -> None:
        years = range(1900, 2000) if archive.name == "SQLite" else range(1940, 1960)  # more than one step
        days = [f"{year:04}-{month:02}-28" for year in years for month in range(1, 13)]
        content = {Bucket(day, "deposits"): state(1, paypal=n) for n, day in enumerate(days)}
        await archive.write(snapshot(1, content))
        assert [bucket.day async for bucket, _ in archive.days("1900-01-01", "1999-12-31")] == days
        seen = []
        async for bucket, _ in archive.days("1950-01-01", "1999-12-31"):
            seen.append(bucket.day)
            if len(seen) == 3:
                break
        assert seen == ["1950-01-28", "1950-02-28", "1950-03-28"]


class TestFence:
    async def test_the_second_to_open_fences_the_first(self, new_archive: NewArchive) -> None:
        first, second = new_archive(), new_archive()
        await first.open()
        await first.write(snapshot(1, {DEPOSITS: state(1, paypal=1)}))
        await second.open()
        with pytest.raises(FencedError):
            await first.write(snapshot(2, {DEPOSITS: state(2, paypal=2)}, [ArchivedSource(source("a", 1), 1)]))
        assert states(await second.load([DEPOSITS])) == {DEPOSITS: state(1, paypal=1)}
        assert await second.sources() == []
        assert await second.write(snapshot(2, {DEPOSITS: state(3, paypal=3)})) == Written(0, 1, 0)
        with pytest.raises(FencedError):
            await first.write(snapshot(2, {DEPOSITS: state(2, paypal=2)}))
        assert states(await first.load([DEPOSITS])) == {DEPOSITS: state(3, paypal=3)}

    async def test_even_a_snapshot_it_has_written(self, new_archive: NewArchive) -> None:
        first, second = new_archive(), new_archive()
        await first.open()
        content = snapshot(1, {DEPOSITS: state(1, paypal=1)})
        await first.write(content)
        await second.open()
        with pytest.raises(FencedError):
            await first.write(content)

    async def test_opening_again_takes_it_back(self, new_archive: NewArchive) -> None:
        first, second = new_archive(), new_archive()
        await first.open()
        await second.open()
        await first.open()
        await first.write(snapshot(1, {DEPOSITS: state(1, paypal=1)}))
        with pytest.raises(FencedError):
            await second.write(snapshot(2))
        assert (await second.open()).snapshot == 1


class TestSources:
    async def test_every_field_comes_back(self, archive: Archive) -> None:
        full = Source(
            id="5f" * 16,
            path=os.fsdecode(b"/data/caf\xe9 \xff.csv"),
            head=bytes(range(256)) * 16,
            read=Position(2**50, 5000, 4999, 12, "99999999999999999999999999.99999999", "0.01", "ab" * 32),
            applied=Position(2**49, 2500, 2499, 11, "1.50", "17587.95", "cd" * 32),
            size=2**51,
            untouched=Stat(2**51, 2**63, 1_790_000_000_123_456_789),
            problem="truncated: holds 3 bytes — näher",
            order=12,
        )
        bare = Source(QUEUE_SOURCE, "", b"")
        content = {full.id: ArchivedSource(full, 2**40), bare.id: ArchivedSource(bare, 0)}
        await archive.write(snapshot(1, sources=list(content.values())))
        assert {held.source.id: held for held in await archive.sources()} == content

    async def test_a_later_snapshot_replaces_them_an_earlier_one_does_not(self, archive: Archive) -> None:
        a1, a2, b1 = (
            ArchivedSource(source("a", 100), 1),
            ArchivedSource(source("a", 200), 2),
            ArchivedSource(source("b", 50, order=2), 1),
        )
        await archive.write(snapshot(1, sources=[a1, b1]))
        await archive.write(snapshot(2, sources=[a2]))
        assert sorted(await archive.sources(), key=lambda held: held.source.id) == [a2, b1]
        await archive.write(snapshot(1, sources=[a1, b1]))
        assert sorted(await archive.sources(), key=lambda held: held.source.id) == [a2, b1]


class TestRejects:
    async def test_pages_are_by_line_and_of_one_source(self, archive: Archive) -> None:
        lines = [9, 100, 1, 2**40, 20, 3]
        rejects = [Reject("a", line, f"raw {line}", "amount is not a plain decimal") for line in lines]
        await archive.write(snapshot(1, rejects=[*rejects[:4], Reject("b", 2, "other", "type")]))
        await archive.write(snapshot(2, rejects=rejects[4:]))
        expected = sorted(rejects, key=lambda reject: reject.line)
        assert await archive.rejects("a", 0, 100) == expected
        assert await archive.rejects("a", expected[1].line, 2) == expected[2:4]
        assert await archive.rejects("a", expected[4].line, 10) == expected[5:]
        assert await archive.rejects("a", 2**40, 10) == []
        assert await archive.rejects("a", 0, 0) == []
        assert [reject.raw for reject in await archive.rejects("b", 0, 10)] == ["other"]

    async def test_which_lines_are_rejected(self, archive: Archive) -> None:
        rejects = [Reject("a", line, "raw", "reason") for line in (2, 5, 2**40)] + [Reject("b", 3, "raw", "reason")]
        await archive.write(snapshot(1, rejects=rejects))
        assert await archive.rejected("a", {1, 2, 3, 2**40}) == {2, 2**40}
        assert await archive.rejected("a", []) == set()

    async def test_the_same_line_again_stays_once(self, archive: Archive) -> None:
        reject = Reject("a", 1, "raw", "reason")
        await archive.write(snapshot(1, rejects=[reject]))
        other, following = Reject("a", 1, "another", "reason"), Reject("a", 2, "next", "reason")
        await archive.write(snapshot(2, rejects=[reject, following]))
        await archive.write(snapshot(3, rejects=[other]))
        assert await archive.rejects("a", 0, 10) == [reject, following]

    async def test_any_text_comes_back(self, archive: Archive) -> None:
        texts = ["", "\x00,\x1b[0m", "\\xff\\xfe", "🎉" * RAW_LIMIT, '{"$set": "a.b"}', "a\r\nb\u2028"]
        rejects = [Reject("ä$.", line, raw, "reason: " + raw[:20]) for line, raw in enumerate(texts, 1)]
        await archive.write(snapshot(1, rejects=rejects))
        assert await archive.rejects("ä$.", 0, 100) == rejects


async def test_when_a_bucket_was_last_written(archive: Archive) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)  # stores keep whole milliseconds
    await archive.write(snapshot(1, {DEPOSITS: state(1, paypal=1), WITHDRAWALS: state(1, paypal=1)}))
    first = datetime.fromisoformat((await archive.load([DEPOSITS]))[DEPOSITS].since)
    assert before <= first <= datetime.now(UTC)
    await archive.write(snapshot(2, {DEPOSITS: state(2, paypal=2)}))
    later = {
        bucket: datetime.fromisoformat(archived.since)
        async for bucket, archived in archive.days("2026-01-15", "2026-01-15")
    }
    assert later.keys() == {DEPOSITS, WITHDRAWALS}
    second = later[DEPOSITS]
    assert second is not None
    assert second >= first


def restatement(day: str, version: int, step: int = 0, **totals: tuple[str, str]) -> Restatement:
    changes = {method: Change(*pair, transactions=version) for method, pair in totals.items()}
    at = "2026-02-01T00:00:00.000Z"
    return Restatement(day, "deposits", version, step, "source", 10 * version, 10 * version + 5, at, "", changes)


class TestRestatements:
    async def test_by_key_in_pages(self, archive: Archive) -> None:
        every = [
            restatement("2026-01-15", 2, paypal=("1.00", "1.00000001"), ä=("0.00", "999999999999.99999999")),
            restatement("2026-01-15", 2, 1, paypal=("1.00000001", "2.00")),
            restatement("2026-01-15", 10, paypal=("2.00", "3.00")),
            restatement("2026-01-16", 1, paypal=("0.00", "5.00")),
        ]
        await archive.write(snapshot(1, restatements=every[2:]))
        await archive.write(snapshot(2, restatements=every[:2]))
        await archive.write(snapshot(2, restatements=every[:2]))
        assert await archive.restatements("", "~", 10) == every
        assert await archive.restatements("", "~", 3) == every[:3]
        assert await archive.restatements(every[1].key, "~", 2) == every[2:]
        assert await archive.restatements("2026-01-16", "2026-01-16~", 10) == every[3:]
        assert await archive.restatements("", "~", 0) == []

    async def test_the_same_again_stays_once(self, archive: Archive) -> None:
        first, again = restatement("2026-01-15", 2, paypal=("1.00", "2.00")), restatement("2026-01-15", 2)
        await archive.write(snapshot(1, restatements=[first]))
        await archive.write(snapshot(2, restatements=[again]))
        assert await archive.restatements("", "~", 10) == [first]


class TestContributions:
    async def test_by_period_and_source(self, archive: Archive) -> None:
        rows = [
            ContributionRow("b", "2026-01", 3, b"b1"),
            ContributionRow("a", "2026-02", 2, b"a2"),
            ContributionRow("b", "2026-02", 3, bytes(1 << 20)),
            ContributionRow("b", "2026-02-05", 3, b""),
            *(ContributionRow(f"c{number:03d}", "2026-03", 3, b"c") for number in range(100)),
        ]
        await archive.write(snapshot(1)._replace(contributions=[*reversed(rows)]))
        assert [row async for row in archive.contributions("", "~")] == rows
        assert [row async for row in archive.contributions("2026-02", "2026-02-05")] == rows[1:4]
        assert [row async for row in archive.contributions("2026-01", "2026-03", {"b", "c099", "none"})] == [
            rows[0], rows[2], rows[3], rows[-1],
        ]  # fmt: skip
        assert [row async for row in archive.contributions("", "~", [])] == []

    async def test_the_newest_row_stays(self, archive: Archive, new_archive: NewArchive) -> None:
        old, new = ContributionRow("a", "2026-01", 2, b"old"), ContributionRow("a", "2026-01", 5, b"new")
        other = ContributionRow("a", "2026-02", 7, b"other")
        await archive.write(snapshot(1)._replace(contributions=[old]))
        await archive.write(snapshot(2)._replace(contributions=[new, other]))
        await archive.write(snapshot(3)._replace(contributions=[old]))
        assert [row async for row in archive.contributions("", "~")] == [new, other]
        assert (await new_archive().open()).contributions == 7


class TestCorrections:
    async def test_the_first_one_stands(self, archive: Archive, new_archive: NewArchive) -> None:
        first = [Correction("a", 7, "fixed", 2), Correction("a", 8, "fixed", 3), Correction("b", 7, "fixed", 4)]
        assert await archive.correct(first) == first
        assert await archive.correct(first) == first
        other = new_archive()
        wanted = [Correction("a", 8, "second", 2), Correction("a", 9, "second", 3)]
        assert await other.correct(wanted) == [first[1], wanted[1]]
        assert await archive.corrections("a", [7, 8, 9, 10]) == {7: first[0], 8: first[1], 9: wanted[1]}
        assert await archive.corrections("a", []) == {}

    async def test_two_rows_of_one_file(self, archive: Archive) -> None:
        twice = [Correction("a", 7, "fixed", 2), Correction("a", 7, "fixed", 3)]
        assert await archive.correct(twice) == [twice[0], twice[0]]

    async def test_one_that_is_void_gives_way(self, archive: Archive) -> None:
        lost, kept = Correction("a", 7, "lost", 2), Correction("a", 8, "kept", 2)
        await archive.correct([lost, kept])
        wanted = [Correction("a", 7, "new", 2), Correction("a", 8, "new", 3)]
        assert await archive.correct(wanted, {lost}) == [wanted[0], kept]
        assert await archive.correct([Correction("a", 7, "third", 2)], {lost}) == [wanted[0]]
