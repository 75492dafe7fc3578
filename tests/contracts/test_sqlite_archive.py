"""What only the SQLite archive must do."""

import asyncio
import gc
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daybook.domain.bucket import Bucket, BucketState, Cell
from daybook.errors import FencedError, StoreUnavailableError
from daybook.stores.archive import Snapshot
from daybook.stores.sqlite_archive import SqliteArchive
from support.archives import states


async def test_a_write_that_fails_after_its_caller_gave_up_is_no_unheard_error(tmp_path: Path) -> None:
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    path = tmp_path / "archive.sqlite"
    replaced, successor = SqliteArchive(path), SqliteArchive(path)
    await replaced.open()
    await successor.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(replaced.write(Snapshot(1, {}, [], [])))
        await asyncio.sleep(0.1)
        writing.cancel()
        await asyncio.sleep(0)
        blocker.execute("ROLLBACK")
    with pytest.raises(asyncio.CancelledError) as given_up:
        await writing
    assert isinstance(given_up.value.__cause__, FencedError)
    del writing, given_up
    gc.collect()
    assert unheard == []
    await replaced.close()
    await successor.close()


def move(old: Path, new: Path, suffixes: Sequence[str]) -> None:
    for suffix in suffixes:
        Path(f"{old}{suffix}").rename(f"{new}{suffix}")


def modes(folder: Path) -> list[tuple[str, int]]:
    return sorted((path.name, path.stat().st_mode & 0o777) for path in folder.iterdir())


class TestTheFileGoesAway:
    """Deleted, moved or replaced while it is open: nothing passes for archived that no file of the name holds."""

    BUCKET = Bucket("2026-01-15", "deposits")

    def snapshot(self, number: int) -> Snapshot:
        return Snapshot(number, {self.BUCKET: BucketState(number, {"paypal": Cell(number, number)})}, [], [])

    async def refuses(self, archive: SqliteArchive, how: str, number: int = 2) -> None:
        for call in (archive.check(), archive.newest_snapshot(), archive.write(self.snapshot(number)), archive.open()):
            with pytest.raises(StoreUnavailableError, match=f"archive.sqlite was {how} while it was in use: put the"):
                await call

    @pytest.fixture
    async def archive(self, tmp_path: Path) -> AsyncIterator[SqliteArchive]:
        made = SqliteArchive(tmp_path / "archive.sqlite")
        await made.open()
        await made.write(self.snapshot(1))
        yield made
        await made.close()

    async def holds(self, path: Path, number: int) -> None:
        other = SqliteArchive(path)
        assert await other.newest_snapshot() == number
        assert states(await other.load([self.BUCKET])) == self.snapshot(number).buckets
        await other.close()

    @pytest.mark.parametrize("suffixes", [("",), ("", "-wal", "-shm")], ids=["alone", "with its log"])
    async def test_moved_and_back(self, archive: SqliteArchive, tmp_path: Path, suffixes: Sequence[str]) -> None:
        path, elsewhere = tmp_path / "archive.sqlite", tmp_path / "elsewhere.sqlite"
        move(path, elsewhere, suffixes)
        await self.refuses(archive, "deleted or moved")
        assert not path.exists()
        move(elsewhere, path, suffixes)
        await archive.write(self.snapshot(2))
        await archive.close()
        await self.holds(path, 2)

    async def test_moved_away_it_is_complete(self, archive: SqliteArchive, tmp_path: Path) -> None:
        path, elsewhere = tmp_path / "archive.sqlite", tmp_path / "elsewhere.sqlite"
        path.rename(elsewhere)
        await self.refuses(archive, "deleted or moved")
        await archive.close()
        await self.holds(elsewhere, 1)

    async def test_the_log_of_the_old_file_is_not_taken_for_that_of_the_new(
        self, archive: SqliteArchive, tmp_path: Path
    ) -> None:
        path, backup = tmp_path / "archive.sqlite", tmp_path / "backup.sqlite"
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as copy:
            source.backup(copy)
        await archive.write(self.snapshot(2))
        assert (tmp_path / "archive.sqlite-wal").stat().st_size > 0
        backup.rename(path)
        await self.refuses(archive, "replaced", 3)
        await archive.close()
        await self.holds(path, 1)

    async def test_deleted_during_a_write(self, archive: SqliteArchive, tmp_path: Path) -> None:
        path = tmp_path / "archive.sqlite"
        with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(archive.write(self.snapshot(2)))
            await asyncio.sleep(0.2)
            path.unlink()
            blocker.execute("ROLLBACK")
        with pytest.raises(StoreUnavailableError, match="deleted or moved"):
            await writing

    @pytest.mark.parametrize("suffix", ["-wal", "-shm"])
    async def test_a_log_that_was_deleted_is_kept(self, archive: SqliteArchive, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / "archive.sqlite"
        (tmp_path / f"archive.sqlite{suffix}").unlink()
        assert await archive.newest_snapshot() == 1
        await self.holds(path, 1)
        await archive.write(self.snapshot(2))
        await self.holds(path, 2)


def test_it_is_for_its_owner_only(tmp_path: Path) -> None:
    async def use() -> list[tuple[str, int]]:
        archive = SqliteArchive(tmp_path / "archive.sqlite")
        await archive.open()
        found = modes(tmp_path)
        await archive.close()
        return found

    before = os.umask(0)
    try:
        found = asyncio.run(use())
    finally:
        os.umask(before)
    assert found == [("archive.sqlite", 0o600), ("archive.sqlite-shm", 0o600), ("archive.sqlite-wal", 0o600)]
