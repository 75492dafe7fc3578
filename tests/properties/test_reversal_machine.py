"""Imports, reversals, replacements, thefts, take-overs and losses of Redis in any order, on a real server.

After every step the totals are exactly the applied rows of the sources that stand, and each source stands or is
reverted as a whole. What was reverted and dumped stays reverted.
"""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from daybook.books.reconciliation import reconcile
from daybook.domain.source import Source
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.importing.reverting import Request
from daybook.runtime.stop import StopToken
from support.pipeline import Parts, Totals, lane

Row = tuple[str, str, str, Decimal]

rows = st.lists(
    st.tuples(
        st.sampled_from(["2026-01-01", "2026-01-02", "1999-12-31"]),
        st.sampled_from(["deposit", "withdrawal"]),
        st.sampled_from(["visa", "wire"]),
        st.decimals("0.01", "999.99", places=2),
    ),
    min_size=1,
    max_size=6,
)


class Reversals(RuleBasedStateMachine):
    @initialize(first=rows, second=rows)
    def begin(self, first: list[Row], second: list[Row]) -> None:
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.lane_stack = AsyncExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.server = self.runner.run(self.stack.enter_async_context(EmbeddedValkey(self.folder / "data")))
        self.files: dict[Path, list[Row]] = {}
        self.reverted: set[str] = set()
        """Ids of the sources whose reversal the archive holds."""
        self.parts: Parts
        self.take_over()
        for content in (first, second):
            self.read(self.write(content), 10)
        self.aggregate()

    def write(self, content: list[Row]) -> Path:
        path = self.folder / f"{len(self.files)}.csv"
        lines = [f"{day}T12:00:00,{kind},{method},{amount},\n" for day, kind, method, amount in content]
        path.write_text(f"timestamp,type,payment_method,amount,file {len(self.files)}\n{''.join(lines)}")
        self.files[path] = content
        return path

    def read(self, path: Path, steps: int) -> None:
        async def go() -> None:
            importer = self.parts.importer(path, buckets=2)
            for _ in range(steps):
                await importer.import_next(StopToken())
            await importer.close()

        self.runner.run(go())

    def sources(self) -> list[Source]:
        return self.runner.run(self.parts.sources.known()).sources

    def standing(self) -> list[Source]:
        """Sources that can be reverted now."""
        return [each for each in self.sources() if not (each.reverted or each.reverting) and each.read == each.applied]

    @rule(content=rows, steps=st.integers(1, 3))
    def import_a_file(self, content: list[Row], steps: int) -> None:
        self.read(self.write(content), steps)

    @rule(number=st.integers(0, 99), steps=st.integers(1, 3))
    def read_on(self, number: int, steps: int) -> None:
        self.read([*self.files][number % len(self.files)], steps)

    @rule(number=st.integers(0, 99), is_made=st.booleans())
    def revert(self, number: int, *, is_made: bool) -> None:
        self.aggregate()
        if found := self.standing():
            wanted = Request(found[number % len(found)].id, "a test", "it can")
            self.runner.run(self.parts.reverter.revert(wanted))
            if is_made:
                self.aggregate()

    @rule(number=st.integers(0, 99), content=rows, is_made=st.booleans())
    def replace(self, number: int, content: list[Row], *, is_made: bool) -> None:
        self.aggregate()
        if found := [each for each in self.standing() if each.read.offset]:
            wanted, path = Request(found[number % len(found)].id, "a test", "it can"), self.write(content)
            self.runner.run(self.parts.reverter.replace(wanted, path, self.parts.context()))
            if is_made:
                self.aggregate()

    @rule()
    def aggregate(self) -> None:
        self.runner.run(self.parts.drain())

    @rule()
    def dump(self) -> None:
        self.runner.run(self.parts.dumper.dump_once())
        self.reverted |= {each.id for each in self.sources() if each.reverted}

    @rule(elements=st.integers(1, 3))
    def steal(self, elements: int) -> None:
        async def go() -> None:
            for _ in range(elements):
                await self.parts.redis.command("RPOP", self.parts.queue.key)
            await self.parts.aggregator._lost.read_again()  # the look is due only later

        self.runner.run(go())

    @rule()
    def take_over(self) -> None:
        async def go() -> None:
            await self.lane_stack.aclose()
            self.parts = await self.lane_stack.enter_async_context(
                lane(self.server.socket, self.folder / "archive.sqlite", max_buckets=8, age=timedelta(days=-3660))
            )

        self.runner.run(go())

    @rule(forgets=st.booleans())
    def lose_redis(self, *, forgets: bool) -> None:
        """Redis is wiped, or set back to the archive with its list of sources."""
        words = ("FLUSHALL",) if forgets else ("HDEL", "daybook:state", "archive")
        self.runner.run(self.parts.redis.command(*words))
        self.take_over()

    @invariant()
    def totals_are_those_of_what_stands(self) -> None:
        expected: Totals = {}
        standing = {each.id for each in self.sources() if not each.reverted}
        for source in self.sources():
            assert not (source.applied.rows and source.replaces in standing), "both the replaced and the replacement"
            assert not source.reverted or source.applied.rows == source.read.rows == 0
            assert not source.replaces or source.applied.rows in (0, len(self.files[Path(source.path)]))
            for day, kind, method, amount in self.files[Path(source.path)][: source.applied.rows]:
                key = day, f"{kind}s", method
                expected[key] = expected.get(key, Decimal(0)) + amount
        assert self.runner.run(self.parts.totals()) == expected
        assert self.reverted <= {each.id for each in self.sources() if each.reverted}

    def teardown(self) -> None:
        if not hasattr(self, "parts"):
            return
        try:
            self.aggregate()
            for path in self.files:
                self.runner.run(self.parts.import_all(path))
            self.aggregate()
            self.totals_are_those_of_what_stands()
            for each in self.sources():
                assert (
                    each.reverted
                    or each.is_replacement_to_come
                    or each.applied.rows == len(self.files[Path(each.path)])
                )
            assert self.runner.run(reconcile(self.parts.stores)).balanced
        finally:
            self.runner.run(self.lane_stack.aclose())
            self.runner.run(self.stack.aclose())
            self.runner.close()


TestReversals = Reversals.TestCase
TestReversals.settings = settings(max_examples=25, stateful_step_count=20, deadline=None, derandomize=True)
