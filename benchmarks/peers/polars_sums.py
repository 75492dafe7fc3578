"""Polars: runs one `scan_csv().group_by().sum()` and keeps nothing. With a third word `decimal` it reads decimals."""

import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.peers.program import Row, package, run

pl = package("polars")


def sums(file: Path, _: Path) -> Iterable[Row]:
    exact = sys.argv[3:] == ["decimal"]
    frame = pl.scan_csv(file, schema_overrides={"amount": pl.Decimal(38, 8)} if exact else None)
    day = pl.col("timestamp").str.slice(0, 10)
    totals = frame.group_by(day, "type", "payment_method").agg(pl.col("amount").sum()).collect()
    for day_text, kind, method, amount in totals.iter_rows():
        yield day_text, kind, method, str(amount)


if __name__ == "__main__":
    run(sums, f"polars {pl.__version__}")
