"""DuckDB: runs one grouped query over the file into a table of a database file."""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.peers.program import Row, package, run

duckdb = package("duckdb")

_COLUMNS = {
    "timestamp": "TIMESTAMP",
    "type": "VARCHAR",
    "payment_method": "VARCHAR",
    "amount": "DECIMAL(20, 8)",
    "sleep_ms": "INTEGER",
}


def sums(file: Path, folder: Path) -> Iterable[Row]:
    with duckdb.connect(str(folder / "totals.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE totals AS SELECT timestamp::DATE AS day, type, payment_method, sum(amount) AS amount"
            " FROM read_csv(?, header = true, columns = ?) GROUP BY ALL",
            [str(file), _COLUMNS],
        )
        for day, kind, method, amount in connection.execute("FROM totals").fetchall():
            yield str(day), kind, method, str(amount)


if __name__ == "__main__":
    run(sums, f"duckdb {duckdb.__version__}")
