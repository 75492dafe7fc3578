"""Computes the exact totals of a generated file without Daybook's code, and compares answers with them."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import polars as pl

Key = tuple[str, str, str]
"""Day, `deposit` or `withdrawal`, payment method."""


class Cell(NamedTuple):
    cents: int
    rows: int


Totals = dict[Key, Cell]


class Verdict(NamedTuple):
    exact: bool
    text: str


def by_columns(file: Path) -> Totals:
    """Sum up in whole cents, column by column. Raises ValueError for an amount with more than two decimals."""
    parts = pl.col("amount").str.split_exact(".", 1).struct
    fraction = parts.field("field_1").fill_null("0")
    cents = parts.field("field_0").cast(pl.Int64) * 100 + fraction.str.pad_end(2, "0").cast(pl.Int64)
    groups = (
        pl.scan_csv(file, infer_schema=False)
        .group_by(pl.col("timestamp").str.slice(0, 10).alias("day"), "type", "payment_method")
        .agg(cents.sum().alias("cents"), fraction.str.len_bytes().max().alias("decimals"), pl.len().alias("rows"))
        .collect(engine="streaming")
    )
    if groups.select(pl.col("decimals").max()).item() > 2:
        raise ValueError(f"{file}: an amount has more than two decimals")
    columns = groups.select("day", "type", "payment_method", "cents", "rows")
    return {(day, kind, method): Cell(cents, rows) for day, kind, method, cents, rows in columns.iter_rows()}


def by_rows(file: Path) -> Totals:
    """Sum up in the plainest way, row by row, to check `by_columns`."""
    amounts: dict[Key, list[Decimal]] = defaultdict(list)
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            amounts[row["timestamp"][:10], row["type"], row["payment_method"]].append(Decimal(row["amount"]))
    return {key: Cell(int(sum(each) * 100), len(each)) for key, each in amounts.items()}


def judge(found: Iterable[tuple[Key, str]], truth: Totals) -> Verdict:
    """Compare the amounts of an answer, as text, with the exact ones."""
    told = {key: Decimal(text) for key, text in found}
    if told.keys() != truth.keys():
        return Verdict(exact=False, text=f"{len(told.keys() ^ truth.keys())} totals missing or too many")
    off = [abs(told[key] - Decimal(cell.cents) / 100) for key, cell in truth.items()]
    wrong = [each for each in off if each]
    if wrong:
        return Verdict(exact=False, text=f"no: {len(wrong)} of {len(off)} totals are off, by up to {max(wrong):.1g}")
    return Verdict(exact=True, text="yes")


def judge_counts(found: Mapping[Key, int], truth: Totals) -> Verdict:
    """Compare numbers of transactions, which only Daybook answers, with the exact ones."""
    right = found == {key: cell.rows for key, cell in truth.items()}
    return Verdict(right, "yes" if right else "no: its numbers of transactions are wrong")
