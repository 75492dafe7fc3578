"""The rows of contributions in the SQLite archive."""

import sqlite3
from collections.abc import Collection, Iterable

import msgspec

from daybook.stores.archive import ContributionRow

SCHEMA = """
CREATE TABLE IF NOT EXISTS Contributions (
    Period TEXT NOT NULL, Source TEXT NOT NULL, Through INTEGER NOT NULL, Packed BLOB NOT NULL,
    PRIMARY KEY (Period, Source)
);
CREATE INDEX IF NOT EXISTS ContributionsOfSource ON Contributions (Source, Period);
CREATE INDEX IF NOT EXISTS NewestContributions ON Contributions (Through);
"""
NEWEST = "SELECT ifnull(max(Through), 0) FROM Contributions"
_PUT = """
INSERT INTO Contributions VALUES (?, ?, ?, ?)
ON CONFLICT (Period, Source) DO UPDATE SET Through = excluded.Through, Packed = excluded.Packed
    WHERE excluded.Through > Through
"""
_ROWS_PER_STEP = 32


def put(connection: sqlite3.Connection, rows: Iterable[ContributionRow]) -> None:
    """Store rows, except where a newer one is stored."""
    connection.executemany(_PUT, ((row.period, row.source, row.through, row.packed) for row in rows))


def read(
    connection: sqlite3.Connection, after: tuple[str, str], last_period: str, sources: Collection[str] | None
) -> list[ContributionRow]:
    """Return the first rows after a period and source, by period; none when the last period is passed."""
    of_some = "" if sources is None else "Source IN (SELECT value FROM json_each(?)) AND "
    wanted = [] if sources is None else [msgspec.json.encode(list(sources)).decode()]
    rows = connection.execute(
        f"SELECT Source, Period, Through, Packed FROM Contributions WHERE {of_some}"  # noqa: S608 - constants
        "(Period, Source) > (?, ?) AND Period <= ? ORDER BY Period, Source LIMIT ?",
        (*wanted, *after, last_period, _ROWS_PER_STEP),
    )
    return [ContributionRow(*row) for row in rows]
