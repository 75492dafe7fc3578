"""What only the MongoDB archive must do: documents that others read, and writes that break off anywhere."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import datetime
from itertools import pairwise
from operator import attrgetter
from typing import Any, ClassVar
from uuid import uuid4

import bson
import pymongo
import pytest
from bson import Decimal128, Int64
from pymongo import UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError, WriteError
from pymongo.results import BulkWriteResult

from daybook.domain.bucket import Bucket, BucketState, Cell
from daybook.domain.position import Position
from daybook.domain.reject import Correction, Reject
from daybook.domain.restatement import Change, Restatement
from daybook.domain.source import Source
from daybook.domain.transaction import check_payment_method
from daybook.errors import (
    ConfigurationError,
    DaybookError,
    FencedError,
    IntegrityError,
    StoreUnavailableError,
)
from daybook.settings import MOST_METHODS_IN_MONGODB
from daybook.stores.archive import ArchivedSource, ContributionRow, Snapshot, Written
from daybook.stores.mongo_archive import MongoArchive
from daybook.stores.mongo_client import PacedWrites, Upsert
from daybook.stores.mongo_schema import redo_parts
from support.archives import states
from support.mongo_server import Fate, MongoProxy, MongoServer, mongod, secantus

# PyMongo 4.20 forgets the socket of an attempt to connect when its own closing interrupts that. Each test
# that loses connections collects the garbage, so that no other test gets the warning.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

Document = dict[str, Any]

DEPOSITS = Bucket("2026-01-15", "deposits")
WITHDRAWALS = Bucket("2026-01-15", "withdrawals")
ONE_ITEM = 1
"""As `part_bytes`: each item in a redo document of its own."""


@pytest.fixture(scope="session", params=["secantus", "mongod"])
def server(request: pytest.FixtureRequest) -> Iterator[MongoServer]:
    with {"secantus": secantus, "mongod": mongod}[request.param]() as running:
        yield running


class Store:
    """One database: archives over it, plain clients, proxies in front of it."""

    def __init__(self, server: MongoServer, stack: AsyncExitStack) -> None:
        self.server = server
        self._stack = stack
        self.name = f"daybook_{uuid4().hex}"
        self.loses_connections = False
        client = stack.enter_context(pymongo.MongoClient[Document](server.uri))
        self.plain: Database[Document] = client[self.name]
        stack.callback(lambda: client.drop_database(self.name))

    def archive(self, uri: str = "", *, timeout_seconds: float = 5.0, part_bytes: int = 1 << 20) -> MongoArchive:
        made = MongoArchive(uri or self.server.uri, self.name, timeout_seconds=timeout_seconds, part_bytes=part_bytes)
        self._stack.push_async_callback(made.close)
        return made

    async def proxy(self, decide: Callable[[str], Awaitable[Fate]]) -> MongoProxy:
        self.loses_connections = True
        return await self._stack.enter_async_context(MongoProxy(self.server, decide))

    def fence(self) -> Document:
        found = self.plain["DaybookState"].find_one({"_id": "fence"})
        assert found is not None
        return found

    def redo_documents(self) -> int:
        return self.plain["DaybookRedo"].count_documents({})


@pytest.fixture
async def store(server: MongoServer) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        found = Store(server, stack)
        yield found
    if found.loses_connections:
        gc.collect()


def state(version: int, **cells: int) -> BucketState:
    return BucketState(version, {method: Cell(units, version) for method, units in cells.items()})


def ledger(source_id: str, offset: int) -> ArchivedSource:
    position = Position(offset, offset, offset)
    return ArchivedSource(Source(source_id, f"/data/{source_id}", b"", position, position, offset), offset)


FIRST = Snapshot(1, {DEPOSITS: state(1, paypal=100)}, [ledger("a", 10)], [Reject("a", 3, "raw", "reason")])
SECOND = Snapshot(
    2,
    {DEPOSITS: state(2, paypal=150, card=7), WITHDRAWALS: state(1, card=9)},
    [ledger("a", 20), ledger("b", 5)],
    [Reject("b", 1, "raw", "reason")],
    contributions=[ContributionRow("a", "2026-01", 2, b"a2")],
)
THIRD = Snapshot(
    3,
    {DEPOSITS: state(3, paypal=151, card=7)},
    [ledger("a", 30)],
    [],
    contributions=[ContributionRow("a", "2026-01", 3, b"a3")],
)


async def content(archive: MongoArchive) -> tuple[object, ...]:
    buckets = [(bucket, held.state) async for bucket, held in archive.days("0001-01-01", "9999-12-31")]
    sources = sorted(await archive.sources(), key=lambda held: held.source.id)
    contributions = [row async for row in archive.contributions("", "~")]
    return buckets, sources, contributions, await archive.rejects("a", 0, 10), await archive.rejects("b", 0, 10)


by_line = attrgetter("line")


def merged(*snapshots: Snapshot) -> tuple[object, ...]:
    """What the archive must hold after these."""
    buckets: dict[Bucket, BucketState] = {}
    sources: dict[str, ArchivedSource] = {}
    contributions: dict[str, ContributionRow] = {}
    rejects: list[Reject] = []
    for snapshot in snapshots:
        buckets |= snapshot.buckets
        sources |= {held.source.id: held for held in snapshot.sources}
        contributions |= {row.period: row for row in snapshot.contributions}
        rejects += snapshot.rejects
    by_source = [
        sorted({reject.line: reject for reject in rejects if reject.source == name}.values(), key=by_line)
        for name in "ab"
    ]
    held = [held for _, held in sorted(sources.items())]
    return sorted(buckets.items()), held, [*contributions.values()], *by_source


class TestDocuments:
    async def test_another_client_reads_them(self, store: Store) -> None:
        archive = store.archive()
        await archive.open()
        cells = {"paypal": Cell(52763_85000000, 3), "card": Cell(1, 1), "large": Cell(10**34 - 1, 2)}
        await archive.write(Snapshot(1, {DEPOSITS: BucketState(5, cells)}, [], []))
        (found,) = store.plain["DailyAggregates"].find()
        assert isinstance(found.pop("LastUpdated"), datetime)
        found.pop("_id")
        assert found == {
            "Date": "2026-01-15",
            "Type": "deposits",
            "TotalAmount": {
                "paypal": Decimal128("52763.85"),
                "card": Decimal128("0.00000001"),
                "large": Decimal128("99999999999999999999999999.99999999"),
            },
            "TransactionCount": {"paypal": 3, "card": 1, "large": 2},
            "Version": 5,
        }
        assert str(found["TotalAmount"]["paypal"]) == "52763.85"
        assert {type(found["Version"]), *map(type, found["TransactionCount"].values())} == {Int64}

    async def test_indexes_and_validator(self, store: Store) -> None:
        archive = store.archive()
        await archive.open()
        await archive.open()
        aggregates = store.plain["DailyAggregates"]
        indexes = {
            name: (dict(index["key"]), index.get("unique", False))
            for name, index in aggregates.index_information().items()
        }
        assert indexes == {
            "_id_": ({"_id": 1}, False),
            "idx_date": ({"Date": 1}, False),
            "idx_type": ({"Type": 1}, False),
            "idx_date_type": ({"Date": 1, "Type": 1}, True),
        }
        good = {"Date": "2026-01-15", "Type": "deposits", "TotalAmount": {"paypal": 1.5, "card": 3}}
        aggregates.insert_one(dict(good))
        for wrong in (
            {"Date": "2026-1-15"},
            {"Date": "2026-13-01"},
            {"Date": "2026-01-15\n"},
            {"Date": datetime(2026, 1, 15)},  # noqa: DTZ001
            {"Type": "deposit"},
            {"TotalAmount": {"paypal": "1.50"}},
            {"TotalAmount": 1.5},
            {"TransactionCount": {"paypal": 1.5}},
            {"Version": "1"},
        ):
            with pytest.raises(WriteError) as refused:
                aggregates.insert_one({**good, "Date": "2026-01-16", **wrong})
            assert refused.value.code == 121, wrong
        with pytest.raises(pymongo.errors.DuplicateKeyError):
            aggregates.insert_one(dict(good))

    async def test_documents_of_the_original_system(self, store: Store) -> None:
        aggregates = store.plain["DailyAggregates"]
        doubles = {"paypal": 52763.850000000006, "card": 689339.01, "x": 0.1, "big": 1e22, "whole": 7}
        aggregates.insert_many(
            [
                {"Date": "2026-01-15", "Type": "deposits", "TotalAmount": doubles},
                {"Date": "2026-01-15", "Type": "withdrawals", "TotalAmount": {"long": Int64(2**40)}},
            ]
        )
        aggregates.create_index("Date", name="idx_date")
        archive = store.archive()
        await archive.open()
        units = {
            "paypal": 52763_85000000,
            "card": 689339_01000000,
            "x": 10**7,
            "big": 10**30,
            "whole": 7 * 10**8,
        }
        deposits = BucketState(0, {method: Cell(total, 0) for method, total in units.items()})
        withdrawals = BucketState(0, {"long": Cell(2**40 * 10**8, 0)})
        assert states(await archive.load([DEPOSITS, WITHDRAWALS])) == {DEPOSITS: deposits, WITHDRAWALS: withdrawals}
        assert [bucket async for bucket, _ in archive.days("2026-01-15", "2026-01-15")] == [
            DEPOSITS,
            WITHDRAWALS,
        ]

        assert await archive.write(Snapshot(1, {DEPOSITS: state(1, paypal=1)}, [], [])) == Written(0, 1, 0)
        assert states(await archive.load([DEPOSITS])) == {DEPOSITS: state(1, paypal=1)}
        assert aggregates.count_documents({}) == 2

    @pytest.mark.parametrize("total", [float("nan"), float("inf"), 1e300, "1.50", None, True, Decimal128("NaN")])
    async def test_a_total_that_is_none_is_not_served(self, store: Store, total: object) -> None:
        document = {"Date": DEPOSITS.day, "Type": DEPOSITS.type, "TotalAmount": {"paypal": total}}
        store.plain["DailyAggregates"].insert_one(document)
        archive = store.archive()
        await archive.open()
        with pytest.raises(IntegrityError, match="2026-01-15 deposits"):
            states(await archive.load([DEPOSITS]))

    async def test_what_no_document_can_hold_is_refused_whole(self, store: Store) -> None:
        archive = store.archive()
        await archive.open()
        with pytest.raises(IntegrityError, match="34 digits"):
            await archive.write(Snapshot(1, {WITHDRAWALS: state(1), DEPOSITS: state(1, a=10**34 + 1)}, [], []))
        huge = BucketState(1, {f"{n:06}" + "𝒳" * 58: Cell(n, n) for n in range(32_000)})
        with pytest.raises(DaybookError, match="more than a MongoDB document holds"):
            await archive.write(Snapshot(1, {WITHDRAWALS: state(1), DEPOSITS: huge}, [], []))
        assert (await content(archive))[0] == []
        assert await archive.write(FIRST) == Written(1, 0, 0)

    async def test_two_documents_of_one_bucket_stop_the_start(self, store: Store) -> None:
        document = {"Date": "2026-01-15", "Type": "deposits", "TotalAmount": {}}
        store.plain["DailyAggregates"].insert_many([dict(document), dict(document)])
        with pytest.raises(ConfigurationError, match="MongoDB refuses"):
            await store.archive().open()


class TestAddress:
    async def test_no_answer_names_no_password(self, store: Store) -> None:
        archive = MongoArchive("mongodb://me:secret@127.0.0.1:1/", store.name, timeout_seconds=0.2)
        for call in (archive.open(), archive.write(FIRST)):
            with pytest.raises(StoreUnavailableError, match=r"does not answer: 127\.0\.0\.1:1") as refused:
                await call
            assert "secret" not in str(refused.value)
            assert len(str(refused.value)) < 250
        await archive.close()
        gc.collect()

    @pytest.mark.parametrize(
        "uri",
        [
            *("redis://h/", "mongodb://me:top/secret@h/", "mongodb://h:secret/", "", "secret"),
            *("mongodb+srv://secret.example.com:27017/", "mongodb+srv://", "mongodb://h,/"),
        ],
    )
    async def test_a_bad_address_is_not_repeated(self, uri: str) -> None:
        with pytest.raises(ConfigurationError, match="MongoDbUri") as refused:
            MongoArchive(uri, "x")
        assert "secret" not in str(refused.value)
        assert refused.value.__suppress_context__

    async def test_a_name_that_is_not_found_may_be_found_later(self) -> None:
        archive = MongoArchive("mongodb+srv://me:secret@daybook.invalid/", "x", timeout_seconds=1)
        for call in (archive.open, archive.check):
            with pytest.raises(StoreUnavailableError, match="the address of MongoDB is not found") as refused:
                await call()
            assert "secret" not in str(refused.value)
            assert "\n" not in str(refused.value)
        await archive.close()

    @pytest.mark.parametrize("host", ["127.0.0.1", "a..b"])
    async def test_a_name_that_no_look_up_can_have_is_refused(self, host: str) -> None:
        archive = MongoArchive(f"mongodb+srv://me:secret@{host}/", "x", timeout_seconds=1)
        with pytest.raises(ConfigurationError, match="MongoDB cannot be used") as refused:
            await archive.open()
        assert "secret" not in str(refused.value)
        await archive.close()

    async def test_it_cannot_weaken_the_writes(self, store: Store) -> None:
        options = "w=0&journal=false&readPreference=secondaryPreferred&readConcernLevel=available&retryWrites=true"
        archive = store.archive(f"{store.server.uri}{'&' if '?' in store.server.uri else '?'}{options}")
        await archive.open()
        assert await archive.write(FIRST) == Written(1, 0, 0)
        assert archive._database.write_concern.document == {"w": "majority", "j": True, "wtimeout": 5000}
        assert archive._database.read_concern.level == "majority"
        assert archive._database.read_preference == pymongo.ReadPreference.PRIMARY


class Cut:
    """Lets messages pass until one of them meets its fate; `steps` are the commands so far."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.at = 0
        self.fate = Fate.PASS
        self.break_at: tuple[str, int] | None = None
        """Command and how many of its kind, instead."""

    async def __call__(self, command: str) -> Fate:
        self.steps.append(command)
        if self.break_at is not None:
            name, number = self.break_at
            return Fate.LOSE_REQUEST if self.steps.count(name) == number else Fate.PASS
        return self.fate if len(self.steps) == self.at else Fate.PASS

    def arm(self, at: int, fate: Fate) -> None:
        self.steps, self.at, self.fate = [], at, fate


APPLY_STEPS = [*["update"] * 4, "insert", "update"]
"""Buckets and sources, then what is only ever added, then contributions."""
WRITE_STEPS = ["find", *["insert"] * 6, "update", *APPLY_STEPS, "update", "delete"]
"""Look at the fence, store the parts, accept, apply the parts, finish, sweep."""
ACCEPTED = WRITE_STEPS.index("update") + 1
"""Number of the step, from 1, that makes the write happen."""
OPEN_STEPS = [
    *("create", "collMod", *["createIndexes"] * 4),
    *("update", "find", "update"),  # create the fence, raise its epoch
    *(
        "find",
        "find",
        *("update", "update", "insert", "update"),
        "update",
        "delete",
        "find",
    ),  # finish what was accepted
    *("delete", "find"),
]

Scenario = Callable[[Store, int, Fate], Awaitable[None]]


async def at_each_step(server: MongoServer, steps: list[str], scenario: Scenario) -> None:
    """Runs the scenario at the same time for each step that may be the last, each in its own database.

    To lose a request leaves the server as the lost reply before it does, so one of the two is enough. Reads
    are left out: the driver itself asks again.
    """

    async def run(number: int, fate: Fate) -> None:
        async with AsyncExitStack() as stack:
            try:
                await scenario(Store(server, stack), number, fate)
            except BaseException as error:
                error.add_note(f"at step {number}, {steps[number - 1]}: {fate.value}")
                raise

    async with asyncio.TaskGroup() as group:
        for number, (previous, command) in enumerate(pairwise(["find", *steps]), 1):
            if command != "find":
                group.create_task(run(number, Fate.LOSE_REPLY))
                if previous == "find":
                    group.create_task(run(number, Fate.LOSE_REQUEST))
    gc.collect()


def happens(number: int, fate: Fate) -> bool:
    """Whether a write that breaks off there is to be finished."""
    return number > ACCEPTED or (number == ACCEPTED and fate is Fate.LOSE_REPLY)


async def broken_write(store: Store, number: int, fate: Fate, *, part_bytes: int = ONE_ITEM) -> MongoArchive:
    """An archive that holds FIRST and whose write of SECOND broke off."""
    cut = Cut()
    archive = store.archive((await store.proxy(cut)).uri, part_bytes=part_bytes)
    await archive.open()
    await archive.write(FIRST)
    cut.arm(number, fate)
    with pytest.raises(StoreUnavailableError, match="MongoDB does not answer"):
        await archive.write(SECOND)
    assert len(cut.steps) == number
    return archive


class TestBrokenOff:
    """The connection breaks at each step in turn, before the server gets the message or after it obeyed."""

    async def test_the_steps_are_those(self, store: Store) -> None:
        cut = Cut()
        archive = store.archive((await store.proxy(cut)).uri, part_bytes=ONE_ITEM)
        await archive.open()
        await archive.write(FIRST)
        cut.arm(0, Fate.PASS)
        await archive.write(SECOND)
        assert cut.steps == WRITE_STEPS

    async def test_the_next_to_open_finds_all_or_nothing(self, server: MongoServer) -> None:
        async def scenario(store: Store, number: int, fate: Fate) -> None:
            broken = await broken_write(store, number, fate)
            happened = happens(number, fate)
            successor = store.archive()
            assert await successor.newest_snapshot() == (2 if happened else 1), "with what it may hold of a snapshot"
            assert (await successor.open()).snapshot == (2 if happened else 1)
            assert await content(successor) == merged(FIRST, *[SECOND] * happened)
            assert store.redo_documents() == 0
            assert "redo" not in store.fence()
            await successor.write(SECOND)
            assert await content(successor) == merged(FIRST, SECOND)
            with pytest.raises(FencedError):
                await broken.write(SECOND)

        await at_each_step(server, WRITE_STEPS, scenario)

    @pytest.mark.parametrize("again", [SECOND, THIRD], ids=["the same snapshot", "the next"])
    async def test_it_goes_on_itself(self, server: MongoServer, again: Snapshot) -> None:

        async def scenario(store: Store, number: int, fate: Fate) -> None:
            broken = await broken_write(store, number, fate)
            await broken.write(again)
            happened = happens(number, fate) or again is SECOND
            assert await content(broken) == merged(FIRST, *[SECOND] * happened, again)
            assert store.redo_documents() == 0
            assert "redo" not in store.fence()
            assert store.fence()["snapshot"] == again.number

        await at_each_step(server, WRITE_STEPS, scenario)

    async def test_an_opening_that_finishes_a_write(self, server: MongoServer) -> None:
        async def scenario(store: Store, number: int, fate: Fate) -> None:
            await broken_write(store, 3, Fate.LOSE_REPLY, part_bytes=1 << 20)  # accepted, in one part
            cut = Cut()
            opener = store.archive((await store.proxy(cut)).uri)
            cut.arm(number, fate)
            with pytest.raises(StoreUnavailableError):
                await opener.open()
            assert cut.steps == OPEN_STEPS[:number]
            successor = opener if number % 2 else store.archive()
            assert (await successor.open()).snapshot == 2
            assert await content(successor) == merged(FIRST, SECOND)
            assert store.redo_documents() == 0

        await at_each_step(server, OPEN_STEPS, scenario)


class Hold:
    """Holds back the nth message of a kind, counted from `arm`, until `release`."""

    def __init__(self) -> None:
        self._held = asyncio.Event()
        self._released = asyncio.Event()
        self._left: list[str] = []

    def arm(self, *commands: str) -> None:
        """The last of these commands, seen in this order, is the one."""
        self._left = list(commands)

    async def __call__(self, command: str) -> Fate:
        if self._left and command == self._left[0]:
            del self._left[0]
            if not self._left:
                self._held.set()
                await self._released.wait()
        return Fate.PASS

    async def held(self) -> None:
        await asyncio.wait_for(self._held.wait(), 10)

    def release(self) -> None:
        self._released.set()


async def given_up(hold: Hold, call: Awaitable[object]) -> None:
    """Cancelled while the server has not got the message."""
    calling = asyncio.ensure_future(call)
    await hold.held()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


async def arrives(proxy: MongoProxy, hold: Hold) -> None:
    """Let the message go that its sender gave up long ago, and wait until the server has dealt with it."""
    before = len(proxy.answered)
    hold.release()
    async with asyncio.timeout(10):
        while len(proxy.answered) == before:  # noqa: ASYNC110 - a list in the proxy
            await asyncio.sleep(0.005)


class TestPausedAndReplaced:
    async def test_before_it_was_accepted(self, store: Store) -> None:
        hold = Hold()
        old = store.archive((await store.proxy(hold)).uri)
        new = store.archive()
        await old.open()
        await old.write(FIRST)
        hold.arm("insert", "update")
        writing = asyncio.create_task(old.write(SECOND))
        await hold.held()
        assert store.redo_documents() == 1
        assert (await new.open()).snapshot == 1
        assert store.redo_documents() == 0
        hold.release()
        with pytest.raises(FencedError):
            await writing
        assert await content(new) == merged(FIRST)
        assert "redo" not in store.fence()
        assert (await new.open()).snapshot == 1

    async def test_while_it_stored_its_parts(self, store: Store) -> None:
        hold = Hold()
        old = store.archive((await store.proxy(hold)).uri, part_bytes=ONE_ITEM)
        new = store.archive()
        await old.open()
        await old.write(FIRST)
        hold.arm("insert", "insert", "insert")
        writing = asyncio.create_task(old.write(SECOND))
        await hold.held()
        await new.open()
        hold.release()
        with pytest.raises(FencedError):
            await writing
        assert store.redo_documents() > 0
        await new.write(THIRD)
        assert store.redo_documents() == 0
        assert await content(new) == merged(FIRST, THIRD)

    @pytest.mark.parametrize("applied", range(6))
    async def test_after_it_was_accepted(self, store: Store, applied: int) -> None:
        """Its late updates change nothing newer, and it learns at the end that it was replaced."""
        hold = Hold()
        old = store.archive((await store.proxy(hold)).uri, part_bytes=ONE_ITEM)
        new = store.archive()
        await old.open()
        await old.write(FIRST)
        hold.arm("insert", "update", *[*APPLY_STEPS, "update"][: applied + 1])
        writing = asyncio.create_task(old.write(SECOND))
        await hold.held()
        assert (await new.open()).snapshot == 2
        assert await content(new) == merged(FIRST, SECOND)
        await new.write(THIRD)
        hold.release()
        with pytest.raises(FencedError):
            await writing
        assert await content(new) == merged(FIRST, SECOND, THIRD)
        assert store.fence()["snapshot"] == 3
        assert (await new.open()).snapshot == 3

    async def test_while_its_successor_finishes_the_same(self, store: Store) -> None:
        old_hold, new_hold = Hold(), Hold()
        old = store.archive((await store.proxy(old_hold)).uri)
        new = store.archive((await store.proxy(new_hold)).uri)
        await old.open()
        await old.write(FIRST)
        old_hold.arm("insert", "update", "update")
        writing = asyncio.create_task(old.write(SECOND))
        await old_hold.held()
        new_hold.arm("update", "find", "update", "find")
        opening = asyncio.create_task(new.open())
        await new_hold.held()
        old_hold.release()
        with pytest.raises(FencedError):
            await writing
        new_hold.release()
        assert (await opening).snapshot == 2
        assert await content(new) == merged(FIRST, SECOND)


class TestLateMessages:
    """A message that the sender gave up reaches the server after all, when the world has moved on."""

    @pytest.mark.parametrize("retried", [SECOND, THIRD], ids=["the same snapshot", "the next"])
    async def test_late_acceptance(self, store: Store, retried: Snapshot) -> None:
        hold = Hold()
        proxy = await store.proxy(hold)
        archive = store.archive(proxy.uri)
        await archive.open()
        await archive.write(FIRST)
        hold.arm("insert", "update")
        await given_up(hold, archive.write(SECOND))
        await archive.write(retried)
        await arrives(proxy, hold)
        assert "redo" not in store.fence()
        assert await content(archive) == merged(FIRST, retried)
        last = Snapshot(4, {DEPOSITS: state(9, paypal=9)}, [], [])
        await archive.write(last)
        assert await content(archive) == merged(FIRST, retried, last)

    async def test_late_acceptance_just_before_the_next(self, store: Store) -> None:
        hold, gate = Hold(), Hold()

        async def both(command: str) -> Fate:
            await gate(command)
            return await hold(command)

        proxy = await store.proxy(both)
        archive = store.archive(proxy.uri)
        await archive.open()
        await archive.write(FIRST)
        hold.arm("insert", "update")
        await given_up(hold, archive.write(SECOND))
        gate.arm("insert", "update")
        writing = asyncio.create_task(archive.write(THIRD))
        await gate.held()
        await arrives(proxy, hold)
        gate.release()
        with pytest.raises(StoreUnavailableError, match="arrived late"):
            await writing
        await archive.write(THIRD)
        assert await content(archive) == merged(FIRST, SECOND, THIRD)
        assert store.fence()["snapshot"] == 3
        assert store.redo_documents() == 0

    async def test_late_opening_fences_nobody(self, store: Store) -> None:
        hold = Hold()
        proxy = await store.proxy(hold)
        archive = store.archive(proxy.uri)
        hold.arm("update", "find", "update")
        await given_up(hold, archive.open())
        await archive.open()
        await arrives(proxy, hold)
        await archive.write(FIRST)
        assert store.fence()["epoch"] == 1

    async def test_late_sweep_spares_the_next_write(self, store: Store) -> None:
        hold, cut = Hold(), Cut()

        async def both(command: str) -> Fate:
            await hold(command)
            return await cut(command)

        proxy = await store.proxy(both)
        archive = store.archive(proxy.uri)
        await archive.open()
        hold.arm("delete")
        await given_up(hold, archive.write(FIRST))
        cut.arm(3, Fate.LOSE_REPLY)  # accepted
        with pytest.raises(StoreUnavailableError):
            await archive.write(SECOND)
        await arrives(proxy, hold)
        assert (await archive.open()).snapshot == 2
        assert await content(archive) == merged(FIRST, SECOND)


async def test_of_many_inserts_at_once_the_newest_stays(store: Store) -> None:
    """The server may refuse the newest as a duplicate of an older one that came first."""
    archive = store.archive()
    await archive.open()
    aggregates = archive._collection("DailyAggregates")
    days = [f"2026-01-{day:02}" for day in range(1, 11)]
    versions = list(range(1, 21))

    async def put(version: int) -> None:
        guard = {"Type": "deposits", "Version": {"$not": {"$gte": version}}}
        content = {"$set": {"TotalAmount": {}, "Version": version}}
        await PacedWrites().upsert(aggregates, [Upsert({"Date": day, **guard}, content) for day in days])

    await asyncio.gather(*map(put, versions))
    found = [(found["Date"], found["Version"]) for found in store.plain["DailyAggregates"].find()]
    assert sorted(found) == [(day, versions[-1]) for day in days]


async def test_what_was_refused_as_a_duplicate_is_tried_as_an_update() -> None:
    """The same, forced: another insert came between the server's look for the document and its own insert."""

    class Racing:
        asked: ClassVar[list[list[UpdateOne]]] = []

        async def bulk_write(self, operations: list[UpdateOne], *, ordered: bool) -> BulkWriteResult:
            self.asked.append(operations)
            answer = {"nUpserted": 1, "nModified": 0, "writeConcernErrors": []}
            if len(self.asked) == 1:
                raise BulkWriteError({**answer, "writeErrors": [{"index": 1, "code": 11000, "errmsg": ""}]})
            return BulkWriteResult({"nUpserted": 0, "nModified": 1}, acknowledged=not ordered)

    upserts = [Upsert({"Date": day}, {"$set": {"Version": 2}}) for day in ("2026-01-01", "2026-01-02")]
    collection: Any = Racing()
    assert await PacedWrites().upsert(collection, upserts) == (1, 1)
    assert collection.asked[1] == [UpdateOne(*upserts[1])]


class TestRacingCorrections:
    """Two importers correct one row whose correction so far is void; only one of them knows that it is."""

    VOID, OLD, NEW = (Correction("a", 7, by, 2) for by in ("void", "old", "new"))

    async def test_the_void_one_goes_between_insert_and_read(self, store: Store) -> None:
        old_hold, new_hold = Hold(), Hold()
        old = store.archive((await store.proxy(old_hold)).uri)
        new = store.archive((await store.proxy(new_hold)).uri)
        await old.correct([self.VOID])
        old_hold.arm("insert", "find")
        new_hold.arm("delete", "insert")
        correcting = asyncio.create_task(old.correct([self.OLD]))
        await old_hold.held()
        deleting = asyncio.create_task(new.correct([self.NEW], {self.VOID}))
        await new_hold.held()
        old_hold.release()
        assert await correcting == [self.OLD]
        new_hold.release()
        assert await deleting == [self.OLD]

    async def test_it_does_not_try_for_ever(self, store: Store) -> None:
        async def delete_before_each_read(command: str) -> Fate:
            if command == "find":
                store.plain["DaybookCorrections"].delete_many({})
            return Fate.PASS

        archive = store.archive((await store.proxy(delete_before_each_read)).uri)
        with pytest.raises(StoreUnavailableError, match="keep deleting corrections"):
            await archive.correct([self.OLD])

    async def test_many_races(self, store: Store) -> None:
        old, new = store.archive(), store.archive()
        for line in range(1, 151):
            void, first, second = (Correction("a", line, each.by_source, 2) for each in (self.VOID, self.OLD, self.NEW))
            await old.correct([void])
            (one,), (two,) = await asyncio.gather(old.correct([first]), new.correct([second], {void}))
            assert one in {void, first, second}
            assert two in {first, second}
            assert await old.corrections("a", [line]) == {line: two}
            assert one in {void, two}


class TestNumbers:
    async def test_another_content_under_a_taken_number_does_not_pass(self, store: Store) -> None:
        archive = store.archive()
        await archive.open()
        await archive.write(FIRST)
        await archive.write(SECOND)
        for other in (
            SECOND._replace(buckets={DEPOSITS: state(2, paypal=151)}),
            SECOND._replace(buckets={DEPOSITS: state(3, paypal=150)}),
            SECOND._replace(buckets={Bucket("2026-01-16", "deposits"): state(1, paypal=1)}),
            SECOND._replace(sources=[ledger("a", 21)]),
            SECOND._replace(sources=[ledger("c", 1)]),
            FIRST._replace(buckets={DEPOSITS: state(3, paypal=150)}),
        ):
            with pytest.raises(IntegrityError, match="MongoDB holds snapshot"):
                await archive.write(other)
        assert await content(archive) == merged(FIRST, SECOND)

    async def test_nothing_is_written_before_open(self, store: Store) -> None:
        with pytest.raises(FencedError):
            await store.archive().write(FIRST)

    async def test_a_lost_part_is_not_skipped(self, store: Store) -> None:
        archive = store.archive(part_bytes=ONE_ITEM)
        await archive.open()
        redo = {"epoch": 1, "snapshot": 1, "write": "lost", "parts": 2}
        store.plain["DaybookState"].update_one({"_id": "fence"}, {"$set": {"redo": redo}})
        with pytest.raises(IntegrityError, match="lost part 0"):
            await archive.open()


async def test_a_snapshot_beyond_the_size_of_a_message_is_redone(store: Store) -> None:
    cells = {f"{n:04}" + "𝒳" * 60: Cell(10**33 + n, 2**40) for n in range(1300)}
    buckets = {Bucket(f"2026-01-{day:02}", "deposits"): BucketState(1, cells) for day in range(1, 27)}
    big = Snapshot(1, buckets, [ledger("a", 10)], [])
    cut = Cut()
    archive = store.archive((await store.proxy(cut)).uri, part_bytes=2 << 20)
    await archive.open()
    cut.arm(0, Fate.PASS)
    cut.break_at = "update", 2
    with pytest.raises(StoreUnavailableError):
        await archive.write(big)
    sizes = [len(bson.encode(part)) for part in redo_parts(big, 2 << 20)]
    assert sum(sizes) > 16 << 20
    assert max(sizes) < 3 << 20
    assert store.redo_documents() == len(sizes)
    successor = store.archive()
    assert (await successor.open()).snapshot == 1
    assert states(await successor.load(buckets)) == buckets
    assert await successor.sources() == big.sources
    assert store.redo_documents() == 0


async def test_as_many_methods_as_are_allowed_fit_with_the_longest_names(store: Store) -> None:
    names = [chr(0x20000 + n // 1000) + chr(0x20000 + n % 1000) + "𠀀" * 62 for n in range(MOST_METHODS_IN_MONGODB)]
    assert {check_payment_method(name) for name in (names[0], names[-1])} == {names[0], names[-1]}
    assert {len(name.encode()) for name in names} == {256}
    full = BucketState(2**62, {name: Cell(10**34 - 1 - n, 2**62) for n, name in enumerate(names)})
    changes = {name: Change("0.00000001", "9999999999999999999999.99999999", 2**62) for name in names}
    restatement = Restatement(
        day=DEPOSITS.day, type=DEPOSITS.type, version=2**62, step=0, source="a" * 64, offset=2**62, end=2**62,
        at="2026-01-15T00:00:00.000Z", since="2026-01-15T00:00:00.000Z", changes=changes,
    )  # fmt: skip
    archive = store.archive()
    await archive.open()
    assert await archive.write(Snapshot(1, {DEPOSITS: full}, [], [], [restatement])) == Written(1, 0, 0)
    assert states(await archive.load([DEPOSITS])) == {DEPOSITS: full}
    assert await archive.restatements("", "~", 1) == [restatement]
    one_in_twenty_more = {f"{n:05}" + "𠀀" * 63: Cell(1, 1) for n in range(MOST_METHODS_IN_MONGODB // 20)}
    with pytest.raises(DaybookError, match="more than a MongoDB document holds"):
        await archive.write(Snapshot(2, {DEPOSITS: BucketState(2**62 + 1, full.cells | one_in_twenty_more)}, [], []))


async def test_a_server_too_slow_for_large_requests_gets_smaller_ones(store: Store) -> None:
    """It needs a second for more than 8 KB of updates, and the client waits half of one."""

    async def slow(command: str) -> Fate:
        if command == "update" and proxy.message_bytes > 8 << 10:
            await asyncio.sleep(1)
        return Fate.PASS

    proxy = await store.proxy(slow)
    archive = store.archive(proxy.uri, timeout_seconds=0.5)
    await archive.open()
    buckets = {Bucket(f"{year}-01-01", "deposits"): state(1, paypal=year) for year in range(1900, 1960)}
    for _ in range(10):
        try:
            await archive.write(Snapshot(1, buckets, [], []))
            break
        except StoreUnavailableError:
            continue
    else:
        pytest.fail("no request was small enough")
    assert states(await store.archive().load(buckets)) == buckets
