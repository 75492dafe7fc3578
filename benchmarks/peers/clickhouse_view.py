"""Embedded ClickHouse: inserts rows into a table; a materialised view sums them up in a SummingMergeTree.

The table is `Null`, which keeps nothing. With a third word `raw` it keeps the rows in their order. The column types are
the fastest of those tried that hold every amount of the contract. Reading text into `LowCardinality` took 1.5 times as
long.
"""

import csv
import io
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.peers.program import Row, package, run

chdb = package("chdb")
session = package("chdb.session")

_STATEMENTS = (
    "CREATE DATABASE bench",
    "CREATE TABLE bench.incoming (timestamp DateTime('UTC'), type String, payment_method String,"
    " amount Decimal(20, 8)) ENGINE = {engine}",
    "CREATE TABLE bench.totals (day Date, type LowCardinality(String), payment_method LowCardinality(String),"
    " amount Decimal(38, 8)) ENGINE = SummingMergeTree ORDER BY (day, type, payment_method)",
    "CREATE MATERIALIZED VIEW bench.adding TO bench.totals AS SELECT toDate(timestamp) AS day, type,"
    " payment_method, sum(amount) AS amount FROM bench.incoming GROUP BY day, type, payment_method",
    "INSERT INTO bench.incoming SELECT timestamp, type, payment_method, amount FROM file('{file}', CSVWithNames)",
)
_TOTALS = "SELECT day, type, payment_method, sum(amount) FROM bench.totals GROUP BY ALL"


def sums(file: Path, folder: Path) -> Iterable[Row]:
    engine = "MergeTree ORDER BY tuple()" if sys.argv[3:] == ["raw"] else "Null"
    connection = session.Session(str(folder / "clickhouse"))
    for statement in _STATEMENTS:
        connection.query(statement.format(engine=engine, file=file))
    answer = connection.query(_TOTALS, "CSV").bytes().decode()
    connection.close()
    return [(day, kind, method, amount) for day, kind, method, amount in csv.reader(io.StringIO(answer))]


if __name__ == "__main__":
    run(sums, f"chdb {chdb.__version__} (ClickHouse {chdb.engine_version})")
