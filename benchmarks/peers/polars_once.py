"""One-shot polars group-by of a file: nothing durable, binary floating point."""

import sys

import polars as pl

totals = (
    pl.scan_csv(sys.argv[1])
    .group_by(pl.col("timestamp").str.slice(0, 10).alias("day"), "type", "payment_method")
    .agg(pl.col("amount").sum())
    .collect()
)
for day, kind, method, amount in totals.iter_rows():
    print(f"{day},{kind},{method},{amount!r}")
