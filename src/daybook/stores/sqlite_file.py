"""The file of the SQLite archive. A new file is for its owner only; a name that no longer leads to it is noticed.

A connection goes on with a file that was deleted, moved or replaced, and all that it writes may be lost. SQLite does
not notice that in WAL mode, so the file's identity is checked before and after each use.
"""

import os
import sqlite3
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from daybook.errors import StoreUnavailableError

_BUSY_SECONDS = 5.0
_BESIDE = ("-wal", "-shm")
"""Endings of the names of SQLite's files beside the archive."""
_INTO_THE_FILE = "PRAGMA wal_checkpoint(TRUNCATE)"


class _Identity(NamedTuple):
    device: int
    inode: int


class SqliteFile:
    """The one connection to a file. At most one thread may use it at a time. Methods raise what sqlite3 raises."""

    def __init__(self, path: Path, schema: str) -> None:
        """Take `schema`: SQL that creates what is missing. Opens nothing yet."""
        self._path, self._schema = path, schema
        self._connection: sqlite3.Connection | None = None
        self._opened: _Identity | None = None
        self._beside: dict[Path, _Identity] = {}

    def connection(self) -> sqlite3.Connection:
        """Return the connection; the first call makes it. Raises StoreUnavailableError as `check` does."""
        if self._connection is not None:
            self.check()
            if any(_identity(path) != identity for path, identity in self._beside.items()):
                self._end_with_the_log(self._connection)
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def check(self) -> None:
        """Raise StoreUnavailableError unless the name leads to the file that is open.

        Before it raises, it writes the log into the open file. That file is then complete without its log, wherever it
        is now, and the log under the old name is empty: SQLite would apply it to any other file of that name.
        """
        found = _identity(self._path)
        if self._connection is None or found == self._opened:
            return
        with suppress(sqlite3.Error):
            self._connection.execute(_INTO_THE_FILE)
        raise StoreUnavailableError(
            f"SQLite archive {self._path} was {'replaced' if found else 'deleted or moved'} while it was in use: put "
            "the same file back under this name, or stop Daybook, put a copy there and start it again; until then "
            "nothing is archived"
        )

    def close(self) -> None:
        """End the connection. SQLite leaves its files alone if the archive was moved."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        # Only a new file is opened here: closing it would end this process's locks on one that is in use.
        with suppress(OSError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._opened = _identity(self._path)
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        with ExitStack() as stack:
            stack.callback(connection.close)
            connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + self._schema)
            if _identity(self._path) != self._opened:
                raise StoreUnavailableError(f"SQLite archive {self._path} was replaced while it was being opened")
            stack.pop_all()
        beside = [self._path.with_name(self._path.name + end) for end in _BESIDE]
        self._beside = {path: identity for path in beside if (identity := _identity(path))}
        return connection

    def _end_with_the_log(self, connection: sqlite3.Connection) -> None:
        """Write the deleted log into the archive, then close the connection.

        Raises StoreUnavailableError while another program reads the archive.
        """
        busy, *_ = connection.execute(_INTO_THE_FILE).fetchone()
        if busy:
            raise StoreUnavailableError(f"SQLite archive {self._path} lost its log while another program reads it")
        self.close()


def _identity(path: Path) -> _Identity | None:
    """Return the file's identity; None when there is no such file or this process may not see it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return _Identity(found.st_dev, found.st_ino)
