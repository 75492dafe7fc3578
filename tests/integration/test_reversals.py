"""Sources are reverted and replaced: the whole effect, once, in one step, whatever happens on the way."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from daybook.books.contributions import effects_of
from daybook.books.history import History
from daybook.books.reconciliation import reconcile
from daybook.books.rejects import Rejects
from daybook.domain.position import Position
from daybook.domain.reversal import Reversal, Reverses
from daybook.domain.source import Source
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.errors import ReversalError
from daybook.importing.replacing import Replacement
from daybook.importing.reverting import Request
from daybook.runtime.stop import StopToken
from daybook.sources.batch_codec import BatchHeader, decode, encode
from daybook.sources.columns.cells import empty
from daybook.stores import redis_keys
from support.pipeline import Parts, lane, oracle, write_rows

WHY = "exported twice"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "data") as valkey:
        yield valkey


@pytest.fixture
async def parts(server: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Parts]:
    async with lane(server.socket, tmp_path / "archive.sqlite") as found:
        yield found


async def add(parts: Parts, *files: Path) -> None:
    for file in files:
        await parts.import_all(file)
        await parts.drain()


async def source_of(parts: Parts, path: Path) -> Source:
    return next(each for each in reversed((await parts.sources.known()).sources) if each.path == str(path))


async def revert(parts: Parts, path: Path) -> Source:
    source = await source_of(parts, path)
    await parts.reverter.revert(Request(source.id, "ann", WHY))
    await parts.drain()
    return await parts.reverter.wait(source.id)


async def replace(parts: Parts, old: Source, new: Path) -> Source:
    found = await parts.reverter.replace(Request(old.id, "ann", WHY), new, parts.context())
    await parts.drain()
    return found


async def assert_books(parts: Parts, *standing: Path) -> None:
    assert await parts.totals() == oracle(*standing)
    assert (await reconcile(parts.stores)).balanced
    if all(effect.complete for effect in (await effects_of(parts.stores)).values()):
        await parts.effects()


async def test_a_reverted_source_counts_no_longer_and_stays_listed(parts: Parts, tmp_path: Path) -> None:
    first, second = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
    await add(parts, first, second)
    source = await revert(parts, first)
    await assert_books(parts, second)
    assert source.state == "reverted"
    assert source.reverted is not None
    assert (source.reverted.by, source.reverted.why, source.reverted.position.rows) == ("ann", WHY, 400)


async def test_methods_that_only_the_source_had_are_gone(parts: Parts, tmp_path: Path) -> None:
    """Nothing and zero are different things."""
    only, other = tmp_path / "only.csv", tmp_path / "other.csv"
    only.write_text("timestamp,type,payment_method,amount\n2026-01-01,deposit,once,5\n2026-01-02,deposit,cash,1\n")
    other.write_text("timestamp,type,payment_method,amount\n2026-01-02,deposit,cash,2\n")
    await add(parts, only, other)
    await revert(parts, only)
    assert await parts.totals() == {("2026-01-02", "deposits", "cash"): Decimal(2)}
    await parts.dumper.dump_once()
    assert await parts.totals() == {("2026-01-02", "deposits", "cash"): Decimal(2)}
    await add(parts, write_rows(tmp_path / "again.csv"))
    await assert_books(parts, other, tmp_path / "again.csv")


async def test_reverting_twice_is_reverting_once(parts: Parts, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv")
    await add(parts, path)
    assert await revert(parts, path) == await revert(parts, path)
    await assert_books(parts)


async def test_two_who_revert_at_once_revert_once(parts: Parts, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv")
    await add(parts, path, write_rows(tmp_path / "b.csv", seed=2))
    source = await source_of(parts, path)

    async def one(name: str) -> Source:
        await parts.reverter.revert(Request(source.id, name, WHY))
        return await parts.reverter.wait(source.id)

    tasks = [asyncio.create_task(one(name)) for name in ("ann", "bob")]
    while not all(task.done() for task in tasks):
        await parts.drain()
        await asyncio.sleep(0.01)
    done = [task for task in tasks if task.exception() is None]
    assert done
    assert all(isinstance(task.exception(), ReversalError) for task in tasks if task not in done)
    await assert_books(parts, tmp_path / "b.csv")


async def test_the_reverted_file_is_not_imported_again_by_itself(parts: Parts, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv")
    await add(parts, path)
    await revert(parts, path)
    await add(parts, path)
    os.utime(path)
    await add(parts, path)
    with path.open("a") as file:
        file.write("2026-01-01,deposit,later,5\n")
    await add(parts, path)
    await assert_books(parts)


async def test_an_importer_with_the_file_open_reads_no_further(parts: Parts, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv")
    importer = parts.importer(path)
    while importer.pieces == 0:
        await importer.import_next(StopToken())
    await importer.visit(StopToken())
    await parts.drain()
    await revert(parts, path)
    with path.open("a") as file:
        file.write("2026-01-01,deposit,later,5\n")
    await importer.visit(StopToken())
    await parts.drain()
    await assert_books(parts)


@pytest.fixture
async def without(server: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Parts]:
    """A lane that keeps no contributions."""
    async with lane(server.socket, tmp_path / "archive.sqlite", keep_contributions=False) as found:
        yield found


async def test_with_contributions_the_file_is_not_needed(parts: Parts, tmp_path: Path) -> None:
    first, second = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
    await add(parts, first, second)
    await parts.dumper.dump_once()
    first.unlink()
    await revert(parts, first)
    await assert_books(parts, second)


async def test_without_contributions_the_file_is_read_again(without: Parts, tmp_path: Path) -> None:
    first, second = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
    await add(without, first, second)
    await revert(without, first)
    await assert_books(without, second)


async def test_without_contributions_a_file_that_changed_is_refused(without: Parts, tmp_path: Path) -> None:
    parts, path = without, write_rows(tmp_path / "a.csv")
    await add(parts, path)
    text = path.read_text()
    path.write_text(text.replace("method 1", "method 9", 1))
    with pytest.raises(
        ReversalError,
        match=r"holds other rows now: its contributions were not kept; to revert source .* put the imported file back",
    ):
        await revert(parts, path)
    path.unlink()
    with pytest.raises(ReversalError, match=r"a\.csv.*put the imported file back"):
        await revert(parts, path)
    path.write_text(text)
    await assert_books(parts, path)
    await revert(parts, path)
    await assert_books(parts)


async def test_closed_days_get_a_restatement_and_as_of_shows_what_was(server: EmbeddedValkey, tmp_path: Path) -> None:
    first, second = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
    async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
        await add(parts, first, second)
        await parts.dumper.dump_once()
        await parts.dumper.dump_once()
        before = await parts.totals()
        source = await revert(parts, first)
        history = History(parts.stores)
        found = await history.restatements(date.min, date.max, "", 100)
        assert {each.bucket for each in found} == {(day, kind) for day, kind, _ in oracle(first)}
        assert {each.source for each in found} == {source.id}
        assert sum(change.transactions for each in found for change in each.changes.values()) == -400
        await parts.dumper.dump_once()
        assert source.reverted is not None
        await assert_books(parts, second)
        assert before == oracle(first, second)


class TestReplacing:
    async def test_one_step_takes_one_and_puts_the_other(self, parts: Parts, tmp_path: Path) -> None:
        old, new = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", rows=300, seed=2)
        await add(parts, old)
        replaced = await source_of(parts, old)
        found = await parts.reverter.replace(Request(replaced.id, "ann", WHY), new, parts.context())
        assert await parts.totals() == oracle(old)
        assert await parts.aggregator.aggregate_once() == 1
        await assert_books(parts, new)
        source = await parts.sources.get(replaced.id)
        assert source is not None
        assert source.reverted is not None
        assert source.reverted.replaced_by == found.id
        standing = await parts.sources.get(found.id)
        assert standing is not None
        assert (standing.replaces, standing.applied_rows, standing.problem) == (replaced.id, 300, "")

    async def test_the_same_path_with_other_content(self, parts: Parts, tmp_path: Path) -> None:
        """The replaced file is gone; its contributions say what it counted."""
        path = write_rows(tmp_path / "a.csv")
        await add(parts, path)
        old = await source_of(parts, path)
        write_rows(path, seed=2)
        await replace(parts, old, path)
        await assert_books(parts, path)

    async def test_the_same_path_without_contributions(self, without: Parts, tmp_path: Path) -> None:
        path = write_rows(tmp_path / "a.csv")
        await add(without, path)
        old = await source_of(without, path)
        write_rows(path, seed=2)
        with pytest.raises(ReversalError, match="put the imported file back"):
            await replace(without, old, path)
        assert (await reconcile(without.stores)).balanced

    async def test_the_replacement_is_followed_like_any_file(self, parts: Parts, tmp_path: Path) -> None:
        old, new = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
        await add(parts, old)
        await replace(parts, await source_of(parts, old), new)
        await add(parts, new)
        await assert_books(parts, new)
        with new.open("a") as file:
            file.write("2026-01-01,deposit,later,5\n")
        await add(parts, new)
        await assert_books(parts, new)

    async def test_nobody_imports_a_replacement_before_its_time(self, parts: Parts, tmp_path: Path) -> None:
        old, new = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
        await add(parts, old)
        await parts.reverter.replace(Request((await source_of(parts, old)).id, "ann", WHY), new, parts.context())
        await parts.redis.command("DEL", parts.queue.key)  # the batch is stolen
        for _ in range(3):
            await parts.aggregator._lost.read_again()  # the look is due only later
            await add(parts, new)
        await assert_books(parts, old)
        await replace(parts, await source_of(parts, old), new)
        await assert_books(parts, new)

    async def test_a_replacement_whose_source_was_reverted_otherwise_is_a_file_like_all_others(
        self, parts: Parts, tmp_path: Path
    ) -> None:
        old, new = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
        await add(parts, old)
        await parts.reverter.replace(Request((await source_of(parts, old)).id, "ann", WHY), new, parts.context())
        await parts.redis.command("DEL", parts.queue.key)  # the batch is stolen
        await parts.aggregator._lost.read_again()  # the look is due only later
        await revert(parts, old)
        await add(parts, new)
        await assert_books(parts, new)

    async def test_a_replacement_that_changes_before_it_is_read_is_refused(
        self, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A copy of it would not be known, and count again."""
        old, new = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
        await add(parts, old)
        register = Replacement.register

        async def changed_since(replacement: Replacement) -> Source:
            source = await register(replacement)
            write_rows(new, seed=3)
            return source

        monkeypatch.setattr(Replacement, "register", changed_since)
        with pytest.raises(ReversalError, match="was written to while it was read"):
            await replace(parts, await source_of(parts, old), new)
        await assert_books(parts, old)
        monkeypatch.undo()
        await replace(parts, await source_of(parts, old), new)
        shutil.copy(new, tmp_path / "copy.csv")
        await add(parts, tmp_path / "copy.csv")
        await assert_books(parts, new)

    async def test_its_rejects_are_its_own(self, parts: Parts, tmp_path: Path) -> None:
        old, new = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
        await add(parts, old)
        good = new.read_text()
        new.write_text(good + "2026-01-01,gift,cash,1\n")
        found = await replace(parts, await source_of(parts, old), new)
        page = await Rejects(parts.stores).page(found.id, 0, 10)
        assert [each.reject.line for each in page] == [402]
        assert (await reconcile(parts.stores)).balanced

    async def test_what_counts_already_is_refused(self, parts: Parts, tmp_path: Path) -> None:
        old, new = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
        await add(parts, old, new)
        with pytest.raises(ReversalError, match="its rows count already"):
            await replace(parts, await source_of(parts, old), new)
        await assert_books(parts, old, new)

    async def test_a_replacement_beyond_the_methods_limit_changes_nothing(
        self, server: EmbeddedValkey, tmp_path: Path
    ) -> None:
        old, new = write_rows(tmp_path / "a.csv"), tmp_path / "b.csv"
        new.write_text(old.read_text() + "2026-01-01,deposit,one too many,5\n2026-01-01,deposit,and another,5\n")
        async with lane(server.socket, tmp_path / "archive.sqlite", max_methods=5) as parts:
            await add(parts, old)
            source = await source_of(parts, old)
            await replace(parts, source, new)
            with pytest.raises(ReversalError, match="MaxMethodsPerBucket"):
                await parts.reverter.wait(source.id)
            await assert_books(parts, old)


class TestCorrections:
    HEADER = "timestamp,type,payment_method,amount\n"

    async def corrected(self, parts: Parts, tmp_path: Path) -> tuple[Path, Path]:
        """Import two files with a bad row each, and one file that corrects both."""
        files = []
        for name in "ab":
            files.append(tmp_path / f"{name}.csv")
            files[-1].write_text(f"{self.HEADER}2026-01-01,deposit,{name},1\n2026-01-01,gift,{name},2\n")
        await add(parts, *files)
        await parts.dumper.dump_once()
        ids = [(await source_of(parts, file)).id for file in files]
        corrections = tmp_path / "c.csv"
        rows = "".join(f"2026-01-01,deposit,{name},2,{source},3\n" for name, source in zip("ab", ids, strict=True))
        corrections.write_text("timestamp,type,payment_method,amount,rejected_source,rejected_line\n" + rows)
        await add(parts, corrections)
        await parts.dumper.dump_once()
        return files[0], corrections

    async def test_corrected_rows_go_with_their_source(self, parts: Parts, tmp_path: Path) -> None:
        file, corrections = await self.corrected(parts, tmp_path)
        await revert(parts, file)
        assert await parts.totals() == {("2026-01-01", "deposits", "b"): Decimal(3)}
        assert (await reconcile(parts.stores)).balanced
        await parts.dumper.dump_once()
        source = await source_of(parts, corrections)
        assert (source.applied_rows, source.rejected_rows) == (1, 1)
        (reject,) = await parts.archive.rejects(source.id, 0, 10)
        assert reject.line == 2
        assert "which was reverted" in reject.reason

    async def test_a_reverted_file_of_corrections_leaves_the_rows_open(self, parts: Parts, tmp_path: Path) -> None:
        file, corrections = await self.corrected(parts, tmp_path)
        await revert(parts, corrections)
        assert sum((await parts.totals()).values()) == Decimal(2)
        (judged,) = await Rejects(parts.stores).page((await source_of(parts, file)).id, 0, 10)
        assert judged.correction is None
        again = tmp_path / "d.csv"
        again.write_text(corrections.read_text().replace("deposit,a,2", "deposit,a,7"))
        await add(parts, again)
        assert (await parts.totals())["2026-01-01", "deposits", "a"] == Decimal(8)
        assert (await reconcile(parts.stores)).balanced

    async def test_two_queued_reversals_take_a_corrected_row_once(self, parts: Parts, tmp_path: Path) -> None:
        """The second one was prepared before the first was made, and counts the corrected row, too."""
        file, corrections = await self.corrected(parts, tmp_path)
        sources = [await source_of(parts, each) for each in (file, corrections)]
        for source in sources:
            await parts.reverter.revert(Request(source.id, "ann", WHY))
        await parts.drain()
        await parts.reverter.wait(sources[0].id)
        with pytest.raises(ReversalError, match="changed meanwhile"):
            await parts.reverter.wait(sources[1].id)
        assert await parts.totals() == {("2026-01-01", "deposits", "b"): Decimal(3)}
        await revert(parts, corrections)
        assert await parts.totals() == {("2026-01-01", "deposits", "b"): Decimal(1)}
        assert (await reconcile(parts.stores)).balanced

    async def test_no_row_corrects_a_reject_of_a_reverted_source(self, parts: Parts, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text(f"{self.HEADER}2026-01-01,deposit,a,1\n2026-01-01,gift,a,2\n")
        await add(parts, path)
        await parts.dumper.dump_once()
        source = await revert(parts, path)
        late = tmp_path / "c.csv"
        late.write_text(
            "timestamp,type,payment_method,amount,rejected_source,rejected_line\n"
            f"2026-01-01,deposit,a,2,{source.id},3\n"
        )
        await add(parts, late)
        assert await parts.totals() == {}
        assert (await source_of(parts, late)).rejected_rows == 1


class TestTheFence:
    """A reversal that is late, or comes twice, changes nothing."""

    async def queued(self, parts: Parts, path: Path) -> tuple[Source, bytes]:
        """Queue the reversal of a file; return its source before that, and the element, which is taken out again."""
        source = await source_of(parts, path)
        await parts.reverter.revert(Request(source.id, "ann", WHY))
        element: bytes = await parts.redis.command("RPOP", parts.queue.key)
        return source, element

    async def test_the_same_batch_twice(self, parts: Parts, tmp_path: Path) -> None:
        first, second = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
        await add(parts, first, second)
        _, element = await self.queued(parts, first)
        for _ in range(3):
            await parts.redis.command("LPUSH", parts.queue.key, element)
            await parts.drain()
        await assert_books(parts, second)

    async def test_a_batch_for_an_earlier_ledger(self, parts: Parts, tmp_path: Path) -> None:
        path = write_rows(tmp_path / "a.csv")
        await add(parts, path)
        source, element = await self.queued(parts, path)
        await parts.aggregator._lost.read_again()  # the look is due only later
        with path.open("a") as file:
            file.write("2026-01-01T10:00:00,deposit,method 1,5\n")
        await add(parts, path)
        await parts.redis.command("LPUSH", parts.queue.key, element)
        await parts.drain()
        await assert_books(parts, path)
        found = await parts.sources.get(source.id)
        assert found is not None
        assert found.reverted is None

    @pytest.mark.parametrize("is_taken_over", [False, True])
    async def test_a_batch_of_a_reverted_source(
        self, server: EmbeddedValkey, parts: Parts, tmp_path: Path, *, is_taken_over: bool
    ) -> None:
        """An importer of an older Daybook sees a source of which nothing is read."""
        path = write_rows(tmp_path / "a.csv")
        importer = parts.importer(path)
        await importer.import_next(StopToken())
        element: bytes = await parts.redis.command("LINDEX", parts.queue.key, -1)
        await add(parts, path)
        await revert(parts, path)
        await parts.redis.command("LPUSH", parts.queue.key, element)
        if is_taken_over:
            async with lane(server.socket, tmp_path / "archive.sqlite") as other:
                await other.drain()
                await assert_books(other)
        else:
            await parts.drain()
            await assert_books(parts)

    @pytest.mark.parametrize("changed", ["checkpoint", "mark"])
    async def test_a_source_that_changed_since_is_not_queued(
        self, parts: Parts, tmp_path: Path, *, changed: str
    ) -> None:
        path = write_rows(tmp_path / "a.csv")
        await add(parts, path)
        source = await source_of(parts, path)
        mark = Reversal("0", "bob", WHY, "2026-01-01T00:00:00.000Z", source.applied)
        await parts.sources.update(source.id, reverting=mark)
        source = await source_of(parts, path)
        if changed == "mark":
            await parts.sources.update(source.id, reverting=msgspec.structs.replace(mark, id="1"))
        else:
            await parts.redis.command("HSET", redis_keys.source(source.id), "checkpoint", source.read.offset + 1)
        answer = await parts.queue.enqueue(source.id, source.read.offset, source.read, b"x", [], reversed_source=source)
        assert not answer.ok
        assert await parts.queue.length() == 0

    async def test_nothing_is_queued_of_a_source_that_is_being_reverted(self, parts: Parts, tmp_path: Path) -> None:
        path = write_rows(tmp_path / "a.csv")
        await add(parts, path)
        source = await source_of(parts, path)
        await parts.sources.update(
            source.id, reverting=Reversal("0", "bob", WHY, "2026-01-01T00:00:00.000Z", source.applied)
        )
        further = msgspec.structs.replace(source.read, offset=source.read.offset + 10)
        assert (await parts.queue.enqueue(source.id, source.read.offset, further, b"x", [])).unknown


class TestLosses:
    async def test_a_stolen_reversal_is_noticed_and_can_be_made_again(self, parts: Parts, tmp_path: Path) -> None:
        path = write_rows(tmp_path / "a.csv")
        await add(parts, path)
        source = await source_of(parts, path)
        await parts.reverter.revert(Request(source.id, "ann", WHY))
        await parts.redis.command("RPOP", parts.queue.key)
        await parts.aggregator._lost.read_again()
        with pytest.raises(ReversalError, match="left the queue without a commit"):
            await parts.reverter.wait(source.id)
        await assert_books(parts, path)
        await revert(parts, path)
        await assert_books(parts)

    @pytest.mark.parametrize("dumped", [False, True])
    async def test_a_wiped_redis_forgets_it_whole_or_not_at_all(
        self, server: EmbeddedValkey, tmp_path: Path, *, dumped: bool
    ) -> None:
        old, new = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
        async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
            await add(parts, old)
            await parts.dumper.dump_once()
            await replace(parts, await source_of(parts, old), new)
            if dumped:
                await parts.dumper.dump_once()
            await parts.redis.command("FLUSHALL")
        async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
            await parts.drain()
            await assert_books(parts, new if dumped else old)
            if not dumped:
                await replace(parts, await source_of(parts, old), new)
                await assert_books(parts, new)

    @pytest.mark.parametrize("archived", [False, True])
    async def test_redis_set_back_to_the_archive(
        self, server: EmbeddedValkey, tmp_path: Path, *, archived: bool
    ) -> None:
        """Redis keeps the list of sources, and goes back to the last dump, which holds the old source or nothing."""
        old, new = write_rows(tmp_path / "a.csv"), write_rows(tmp_path / "b.csv", seed=2)
        async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
            if archived:
                await add(parts, old)
            await parts.dumper.dump_once()
            if not archived:
                await add(parts, old)
            await replace(parts, await source_of(parts, old), new)
            await parts.redis.command("HDEL", redis_keys.STATE, "archive")
        async with lane(server.socket, tmp_path / "archive.sqlite") as parts:
            await add(parts, new, old)
            await assert_books(parts, *([old] if archived else [new]))

    async def test_a_reversal_that_was_interrupted_before_it_was_queued(self, parts: Parts, tmp_path: Path) -> None:
        path = write_rows(tmp_path / "a.csv")
        await add(parts, path)
        source = await source_of(parts, path)
        mark = Reversal("0", "bob", WHY, "2026-01-01T00:00:00.000Z", source.applied)
        await parts.sources.update(source.id, reverting=mark)
        with path.open("a") as file:
            file.write("2026-01-01,deposit,later,5\n")
        importer = parts.importer(path)
        for _ in range(3):
            await importer.visit(StopToken())
            await parts.drain()
        await assert_books(parts, path)
        await parts.sources.update(source.id, reverting=mark)
        await revert(parts, path)
        await assert_books(parts)


def test_a_daybook_without_reversals_does_not_read_one_as_a_batch() -> None:
    """It reads the key `Batch` alone, and would add the cells that are to be taken back."""
    reversal = Reversal("0", "bob", WHY, "2026-01-01T00:00:00.000Z", Position(5))
    header = BatchHeader("new", 0, Position(9), Reverses("old", 5, reversal, 0))
    element = encode(header, empty())
    assert b"Reversal" in element
    key = b"\x05\x00\x00\x00Batch"
    assert key in encode(BatchHeader("new", 0, Position(9)), empty())
    assert key not in element
    assert decode(element).header == header


def test_the_header_of_an_ordinary_batch_has_no_new_fields() -> None:
    """A queue that an older version filled, or will read, holds the same bytes."""
    assert set(msgspec.json.decode(msgspec.json.encode(BatchHeader("s", 0, Position(1), methods=["m"])))) == {
        "source", "start", "end", "methods",
    }  # fmt: skip
