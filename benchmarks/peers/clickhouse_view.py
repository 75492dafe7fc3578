"""Embedded ClickHouse: CSV into a Null table whose materialised view keeps the sums."""

import sys
import tempfile

from chdb import session

with tempfile.TemporaryDirectory() as folder:
    database = session.Session(folder)
    for statement in (
        "CREATE DATABASE d",
        "CREATE TABLE d.rows (timestamp DateTime, type LowCardinality(String),"
        " payment_method LowCardinality(String), amount Decimal(20, 8), sleep_ms UInt32) ENGINE = Null",
        "CREATE TABLE d.sums (day Date, type LowCardinality(String), payment_method LowCardinality(String),"
        " amount Decimal(38, 8)) ENGINE = SummingMergeTree ORDER BY (day, type, payment_method)",
        "CREATE MATERIALIZED VIEW d.view TO d.sums AS SELECT toDate(timestamp) AS day, type, payment_method,"
        " sum(amount) AS amount FROM d.rows GROUP BY day, type, payment_method",
        f"INSERT INTO d.rows FROM INFILE '{sys.argv[1]}' FORMAT CSVWithNames",
    ):
        database.query(statement)
    query = "SELECT day, type, payment_method, toString(sum(amount)) FROM d.sums GROUP BY ALL"
    for line in str(database.query(query, "CSV")).splitlines():
        print(line.replace('"', ""))
