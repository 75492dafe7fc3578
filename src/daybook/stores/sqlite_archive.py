"""The archive in one SQLite file: a snapshot is one transaction."""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from daybook.domain.bucket import Bucket, BucketState, Cell, HeldBucket
from daybook.domain.money import format_units, parse_total
from daybook.domain.reject import Correction, Reject
from daybook.domain.restatement import Restatement
from daybook.errors import ConfigurationError, FencedError, StoreUnavailableError
from daybook.failpoints import hit
from daybook.stores import sqlite_contributions
from daybook.stores.archive import ArchivedSource, ArchiveState, ContributionRow, Snapshot, Written, archived_bucket
from daybook.stores.source_fields import pack_source, unpack_source
from daybook.stores.sqlite_file import SqliteFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS DailyAggregates (
    Date TEXT NOT NULL, Type TEXT NOT NULL CHECK (Type IN ('deposits', 'withdrawals')),
    TotalAmount TEXT NOT NULL, TransactionCount TEXT NOT NULL, LastUpdated TEXT NOT NULL,
    Version INTEGER NOT NULL, PRIMARY KEY (Date, Type)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS Sources (
    Id TEXT PRIMARY KEY, Revision INTEGER NOT NULL, Snapshot INTEGER NOT NULL, Packed BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS Rejects (
    Source TEXT NOT NULL, Line INTEGER NOT NULL, Raw TEXT NOT NULL, Reason TEXT NOT NULL,
    PRIMARY KEY (Source, Line)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS Restatements (Key TEXT PRIMARY KEY, Packed TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS Corrections (
    Source TEXT NOT NULL, Line INTEGER NOT NULL, BySource TEXT NOT NULL, ByLine INTEGER NOT NULL,
    PRIMARY KEY (Source, Line)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS State (
    Only INTEGER PRIMARY KEY CHECK (Only = 1),
    Id TEXT NOT NULL, Epoch INTEGER NOT NULL, Snapshot INTEGER NOT NULL
);
"""
_UPSERT = """
INSERT INTO DailyAggregates VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (Date, Type) DO UPDATE SET TotalAmount = excluded.TotalAmount,
    TransactionCount = excluded.TransactionCount, LastUpdated = excluded.LastUpdated,
    Version = excluded.Version WHERE excluded.Version > Version
"""
_CONTENT = "TotalAmount, TransactionCount, Version, LastUpdated"
_NAMES_PER_STEP = 10_000
_ROWS_PER_STEP = 200
_TOTALS = msgspec.json.Decoder(dict[str, str])
_COUNTS = msgspec.json.Decoder(dict[str, int])

Answer = TypeVar("Answer")


class SqliteArchive:
    """The archive in one file. Totals are exact decimal text in JSON objects, `{"paypal": "17587.95"}`."""

    name = "SQLite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._epoch = 0
        self._file = SqliteFile(path, _SCHEMA + sqlite_contributions.SCHEMA)
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> ArchiveState:
        def work(connection: sqlite3.Connection) -> ArchiveState:
            with _transaction(connection):
                hit("sqlite.open.begun")
                connection.execute(
                    "INSERT INTO State VALUES (1, ?, 0, 0) ON CONFLICT DO NOTHING", (secrets.token_hex(16),)
                )
                connection.execute("UPDATE State SET Epoch = Epoch + 1")
                identifier, self._epoch, *held = connection.execute(
                    f"SELECT Id, Epoch, Snapshot, ({sqlite_contributions.NEWEST}) FROM State"  # noqa: S608 - a constant
                ).fetchone()
                hit("sqlite.open.raised")
            hit("sqlite.open.committed")
            return ArchiveState(identifier, *held)

        return await self._run(work)

    async def check(self) -> None:
        await self._run(lambda connection: connection.execute("SELECT 1 FROM State").fetchone())

    async def newest_snapshot(self, *, briefly: bool = False) -> int:  # noqa: ARG002 - a local file answers
        row = await self._run(lambda connection: connection.execute("SELECT Snapshot FROM State").fetchone())
        return int(row[0]) if row else 0

    async def write(self, snapshot: Snapshot) -> Written:
        def work(connection: sqlite3.Connection) -> Written:
            with _transaction(connection):
                epoch, stored = connection.execute("SELECT Epoch, Snapshot FROM State").fetchone()
                if epoch != self._epoch:
                    raise FencedError("another Daybook opened the archive: this one may no longer write to it")
                hit("sqlite.write.begun")
                written = _write_buckets(connection, snapshot)
                hit("sqlite.write.buckets")
                if snapshot.number > stored:
                    connection.executemany(
                        "INSERT OR REPLACE INTO Sources VALUES (?, ?, ?, ?)",
                        [
                            (item.source.id, item.revision, snapshot.number, pack_source(item.source))
                            for item in snapshot.sources
                        ],
                    )
                    connection.execute("UPDATE State SET Snapshot = ?", (snapshot.number,))
                hit("sqlite.write.sources")
                connection.executemany(
                    "INSERT OR IGNORE INTO Rejects VALUES (?, ?, ?, ?)",
                    [msgspec.structs.astuple(reject) for reject in snapshot.rejects],
                )
                hit("sqlite.write.rejects")
                connection.executemany(
                    "INSERT OR IGNORE INTO Restatements VALUES (?, ?)",
                    [(each.key, msgspec.json.encode(each).decode()) for each in snapshot.restatements],
                )
                hit("sqlite.write.restatements")
                sqlite_contributions.put(connection, snapshot.contributions)
                hit("sqlite.write.contributions")
            hit("sqlite.write.committed")
            return written

        return await self._run(work)

    async def load(self, buckets: Iterable[Bucket]) -> dict[Bucket, HeldBucket]:
        wanted = list(buckets)

        def work(connection: sqlite3.Connection) -> dict[Bucket, HeldBucket]:
            rows = _select(connection, _CONTENT, wanted)
            found = {Bucket(day, kind): _archived(*content) for day, kind, *content in rows}
            hit("sqlite.load.done")
            return found

        return await self._run(work)

    async def days(self, first_day: str, last_day: str) -> AsyncIterator[tuple[Bucket, HeldBucket]]:
        after: tuple[str, str] = (first_day, "")
        while True:
            found = await self._run(lambda connection, after=after: _read_days(connection, after, last_day))  # type: ignore[misc]
            for each in found:
                yield each
            if len(found) < _ROWS_PER_STEP:
                return
            after = found[-1][0]

    async def buckets(self) -> AsyncIterator[Bucket]:
        after = Bucket("", "")
        query = "SELECT Date, Type FROM DailyAggregates WHERE (Date, Type) > (?, ?) ORDER BY Date, Type LIMIT ?"
        while found := await self._run(
            lambda connection, after=after: connection.execute(query, (*after, _NAMES_PER_STEP)).fetchall()  # type: ignore[misc]
        ):
            for each in found:
                yield Bucket(*each)
            after = Bucket(*found[-1])

    async def sources(self) -> list[ArchivedSource]:
        rows = await self._run(lambda connection: connection.execute("SELECT Packed, Revision FROM Sources").fetchall())
        return [ArchivedSource(unpack_source(packed), revision) for packed, revision in rows]

    async def rejects(self, source_id: str, after_line: int, number: int) -> list[Reject]:
        rows = await self._run(
            lambda connection: connection.execute(
                "SELECT Source, Line, Raw, Reason FROM Rejects WHERE Source = ? AND Line > ? ORDER BY Line LIMIT ?",
                (source_id, after_line, number),
            ).fetchall()
        )
        return [Reject(*row) for row in rows]

    async def rejected(self, source_id: str, lines: Collection[int]) -> set[int]:
        rows = await self._run(
            lambda connection: connection.execute(
                "SELECT Line FROM json_each(?) JOIN Rejects ON Source = ? AND Line = value",
                (msgspec.json.encode(list(lines)).decode(), source_id),
            ).fetchall()
        )
        return {line for (line,) in rows}

    async def restatements(self, after: str, before: str, number: int) -> list[Restatement]:
        rows = await self._run(
            lambda connection: connection.execute(
                "SELECT Packed FROM Restatements WHERE Key > ? AND Key < ? ORDER BY Key LIMIT ?",
                (after, before, number),
            ).fetchall()
        )
        return [msgspec.json.decode(packed, type=Restatement) for (packed,) in rows]

    async def contributions(
        self, first_period: str, last_period: str, sources: Collection[str] | None = None
    ) -> AsyncIterator[ContributionRow]:
        after = (first_period, "")
        while rows := await self._run(
            lambda connection, after=after: sqlite_contributions.read(connection, after, last_period, sources)  # type: ignore[misc]
        ):
            for row in rows:
                yield row
            after = (rows[-1].period, rows[-1].source)

    async def correct(self, wanted: Sequence[Correction], void: Collection[Correction] = ()) -> list[Correction]:
        def work(connection: sqlite3.Connection) -> list[Correction]:
            with _transaction(connection):
                connection.executemany(
                    "DELETE FROM Corrections WHERE (Source, Line, BySource, ByLine) = (?, ?, ?, ?)",
                    map(msgspec.structs.astuple, void),
                )
                connection.executemany(
                    "INSERT OR IGNORE INTO Corrections VALUES (?, ?, ?, ?)", map(msgspec.structs.astuple, wanted)
                )
                return [_correction(connection, each.source, each.line) for each in wanted]

        standing = await self._run(work)
        hit("sqlite.correct.done")
        return standing

    async def corrections(self, source_id: str, lines: Sequence[int]) -> dict[int, Correction]:
        rows = await self._run(
            lambda connection: connection.execute(
                "SELECT Source, Line, BySource, ByLine FROM json_each(?) JOIN Corrections"
                " ON Source = ? AND Line = value",
                (msgspec.json.encode(lines).decode(), source_id),
            ).fetchall()
        )
        return {line: Correction(source, line, *by) for source, line, *by in rows}

    async def close(self) -> None:
        async with self._one_at_a_time:
            await asyncio.to_thread(self._file.close)

    async def _run(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Run `work` in a thread, one at a time, on the connection, which the first call makes."""

        def call() -> Answer:
            with _translated(self._path):
                answer = work(self._file.connection())
                self._file.check()
                return answer

        async with self._one_at_a_time:
            # Shielded: when the caller is cancelled, the lock must be held until the thread is done.
            running = asyncio.ensure_future(asyncio.to_thread(call))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError as given_up:
                while not running.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([running])
                raise given_up from running.exception()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailableError(f"SQLite archive {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise ConfigurationError(f"SQLite archive {path} is damaged: {error}") from error


def _correction(connection: sqlite3.Connection, source: str, line: int) -> Correction:
    row = connection.execute("SELECT * FROM Corrections WHERE Source = ? AND Line = ?", (source, line)).fetchone()
    return Correction(*row)


def _write_buckets(connection: sqlite3.Connection, snapshot: Snapshot) -> Written:
    """Write the buckets that are newer than the stored ones."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    stored = {Bucket(day, kind): version for day, kind, version in _select(connection, "Version", snapshot.buckets)}
    newer = {bucket: state for bucket, state in snapshot.buckets.items() if state.version > stored.get(bucket, -1)}
    connection.executemany(_UPSERT, ((*bucket, *_texts(state), now, state.version) for bucket, state in newer.items()))
    updated = len(newer.keys() & stored.keys())
    return Written(len(newer) - updated, updated, len(snapshot.buckets) - len(newer))


def _select(connection: sqlite3.Connection, columns: str, buckets: Iterable[Bucket]) -> sqlite3.Cursor:
    """Select date, type and `columns` of the wanted buckets that are stored."""
    return connection.execute(
        "WITH Wanted (Day, Kind) AS (SELECT value ->> 0, value ->> 1 FROM json_each(?))"  # noqa: S608
        f" SELECT Date, Type, {columns} FROM Wanted JOIN DailyAggregates ON Date = Day AND Type = Kind",
        (msgspec.json.encode([tuple(bucket) for bucket in buckets]).decode(),),
    )


def _read_days(
    connection: sqlite3.Connection, after: tuple[str, str], last_day: str
) -> list[tuple[Bucket, HeldBucket]]:
    """Return at most `_ROWS_PER_STEP` buckets that follow `after`, by day."""
    rows = connection.execute(
        f"SELECT Date, Type, {_CONTENT} FROM DailyAggregates"  # noqa: S608 - a constant
        " WHERE (Date, Type) > (?, ?) AND Date <= ? ORDER BY Date, Type LIMIT ?",
        (*after, last_day, _ROWS_PER_STEP),
    )
    return [(Bucket(day, kind), _archived(*content)) for day, kind, *content in rows]


def _texts(state: BucketState) -> tuple[str, str]:
    """Return the totals and the counts as stored, two JSON objects."""
    totals = {method: format_units(cell.units) for method, cell in state.cells.items()}
    counts = {method: cell.transactions for method, cell in state.cells.items()}
    return msgspec.json.encode(totals).decode(), msgspec.json.encode(counts).decode()


def _archived(totals: str, counts: str, version: int, updated: str) -> HeldBucket:
    count_of = _COUNTS.decode(counts)
    cells = {name: Cell(parse_total(total), count_of[name]) for name, total in _TOTALS.decode(totals).items()}
    return archived_bucket(BucketState(version, cells), datetime.fromisoformat(updated))
