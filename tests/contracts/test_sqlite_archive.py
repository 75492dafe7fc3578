"""What only the SQLite archive must do."""

import asyncio
import gc
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daybook.errors import FencedError
from daybook.stores.archive import Snapshot
from daybook.stores.sqlite_archive import SqliteArchive


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
