"""The scripts under any order of events, on a real server, against a plain model.

After every step the totals are exactly the rows before each file's ledger plus the pushed transactions that
were applied; in the end nothing waits. What changed of closed days is recorded without a gap, and what was known
of them at any moment is answered ever after.
"""

import asyncio
import tempfile
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from daybook.books.history import History
from daybook.clock import utc_now
from daybook.domain.bucket import Bucket, Cells
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.runtime.stop import StopToken
from support.pipeline import QUEUE, Parts, Totals, lane

FILES = 2
ALL_DAYS = "0001-01-01", "9999-12-31"
Row = tuple[str, str, str, Decimal]

rows = st.tuples(
    st.sampled_from(["2026-01-01", "2026-01-02", "1999-12-31", "9999-12-31"]),
    st.sampled_from(["deposit", "withdrawal"]),
    st.sampled_from(["visa", "wire"]),
    st.decimals("0.01", "999.99", places=2),
)


class _Memory(NamedTuple):
    moment: datetime
    cells: dict[Bucket, Cells]
    closed: AbstractSet[Bucket]
    """Not in Redis then."""


class Daybook(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.lane_stack = AsyncExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.server = self.runner.run(self.stack.enter_async_context(EmbeddedValkey(self.folder / "data")))
        self.files: list[list[Row]] = [[] for _ in range(FILES)]
        for number in range(FILES):
            self.path(number).write_text(
                f"timestamp,type,payment_method,amount,file {number}\n"
            )  # else they may be one
        self.pushed: list[Row] = []
        self.applied: list[Row] = []
        self.archived: list[Row] = []
        self.memories: list[_Memory] = []
        self.parts: Parts
        self.take_over()

    def path(self, number: int) -> Path:
        return self.folder / f"{number}.csv"

    @rule(number=st.integers(0, FILES - 1), new=st.lists(rows, min_size=1, max_size=6))
    def append(self, number: int, new: list[Row]) -> None:
        self.files[number] += new
        with self.path(number).open("a") as file:
            for day, kind, method, amount in new:
                file.write(f"{day}T12:00:00,{kind},{method},{amount},\n")

    @rule(number=st.integers(0, FILES - 1), steps=st.integers(1, 5))
    def read(self, number: int, steps: int) -> None:
        async def go() -> None:
            importer = self.parts.importer(self.path(number), buckets=2)
            for _ in range(steps):
                await importer.import_next(StopToken())
            await importer.close()

        self.runner.run(go())

    @rule(new=st.lists(rows, min_size=1, max_size=4))
    def push(self, new: list[Row]) -> None:
        self.pushed += new
        for day, kind, method, amount in new:
            text = f'{{"Timestamp":"{day}","Type":"{kind}","PaymentMethod":"{method}","Amount":{amount}}}'
            self.runner.run(self.parts.redis.command("LPUSH", QUEUE, text))

    @rule()
    def aggregate(self) -> None:
        self.runner.run(self.parts.drain())
        self.applied += self.pushed
        self.pushed = []

    @rule(new=st.lists(rows, min_size=1, max_size=4))
    def push_and_aggregate(self, new: list[Row]) -> None:
        self.push(new)
        self.aggregate()
        self.remember()

    @rule()
    def dump(self) -> None:
        self.runner.run(self.parts.dumper.dump_once())
        self.archived = list(self.applied)
        self.remember()

    @rule()
    def dump_without_settling(self) -> None:
        self.runner.run(self.parts.dump_without_settling())
        self.archived = list(self.applied)

    @rule()
    def take_over(self) -> None:
        async def go() -> None:
            await self.lane_stack.aclose()
            self.parts = await self.lane_stack.enter_async_context(
                lane(self.server.socket, self.folder / "archive.sqlite", max_buckets=8, age=timedelta(days=-3660))
            )

        self.runner.run(go())

    @rule()
    def wipe(self) -> None:
        """What others pushed is only as safe as Redis; files are read again."""
        self.runner.run(self.parts.redis.command("FLUSHALL"))
        self.applied, self.pushed = list(self.archived), []
        self.take_over()

    @invariant()
    def totals_are_those_of_the_applied_rows(self) -> None:
        known = self.runner.run(self.parts.sources.known()).sources
        expected = list(self.applied)
        for source in known:
            assert source.read.rows == source.applied.rows + source.waiting
            expected += self.files[int(Path(source.path).stem)][: source.applied.rows]
        assert self.runner.run(self.parts.totals()) == totals(expected)

    @invariant()
    def contributions_are_the_ledgers_and_the_totals(self) -> None:
        self.runner.run(self.parts.effects())

    @invariant()
    def restatements_lead_to_the_totals(self) -> None:
        """From the first one on, each change of a bucket is one, and begins where the one before ended."""
        history = History(self.parts.stores)
        found = self.runner.run(history.restatements(date.min, date.max, "", 100_000))
        reached: Totals = {}
        for each in found:
            for method, change in each.changes.items():
                key = each.day, each.type, method
                assert reached.get(key, Decimal(change.old)) == Decimal(change.old) < Decimal(change.new)
                reached[key] = Decimal(change.new)
        now = self.runner.run(self.parts.totals())
        assert reached == {key: now[key] for key in reached}

    def remember(self) -> None:
        """What the archive has of each bucket, where Redis has nothing newer; a later wipe cannot change that."""

        async def go() -> _Memory:
            held = {bucket: found.state async for bucket, found in self.parts.archive.days(*ALL_DAYS)}
            newer = await self.parts.hot.read(held)
            await asyncio.sleep(0.003)
            moment = utc_now()
            await asyncio.sleep(0.003)
            states = {
                bucket: held[bucket] for bucket in held if bucket not in newer or newer[bucket].state == held[bucket]
            }
            return _Memory(
                moment, {bucket: state.cells for bucket, state in states.items()}, held.keys() - newer.keys()
            )

        self.memories.append(self.runner.run(go()))

    def check_memories(self) -> None:
        history = History(self.parts.stores)
        for moment, cells, closed in self.memories:
            known, unknown = self.runner.run(history.as_of(date.min, date.max, moment))
            assert closed <= known.keys()
            assert cells.keys() <= known.keys() | unknown
            for bucket in cells.keys() & known.keys():
                assert known[bucket].state.cells == cells[bucket]

    def teardown(self) -> None:
        if not hasattr(self, "parts"):
            return
        try:
            for number in range(FILES):
                self.runner.run(self.parts.import_all(self.path(number)))
            self.aggregate()
            expected = [row for file in self.files for row in file] + self.applied
            assert self.runner.run(self.parts.totals()) == totals(expected)
            self.check_memories()
        finally:
            self.runner.run(self.lane_stack.aclose())
            self.runner.run(self.stack.aclose())
            self.runner.close()


def totals(some: list[Row]) -> Totals:
    sums: Totals = {}
    for day, kind, method, amount in some:
        key = day, f"{kind}s", method
        sums[key] = sums.get(key, Decimal(0)) + amount
    return sums


TestDaybook = Daybook.TestCase
TestDaybook.settings = settings(max_examples=25, stateful_step_count=20, deadline=None, derandomize=True)
