"""Column-wise reading of a block: takes the rows that are surely valid, names the lines it is not sure of.

It knows no rule of its own: a row is sure only when it has the commonest form of every field, which
`records.parse_row` accepts too; all other lines are left to that reference.
"""

from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from daybook.domain.bucket import Bucket, Cell, Sums
from daybook.domain.money import DECIMALS, units_of_sum
from daybook.domain.transaction import TransactionType, check_payment_method, parse_day
from daybook.sources.records import Layout

AMOUNT = pl.Decimal(38, DECIMALS)
_SURE_TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$"
_SURE_AMOUNT = rf"^[0-9]{{1,12}}(?:\.[0-9]{{1,{DECIMALS}}})?$"
_KEYS = ("day", "type", "payment_method")


class FastFold(NamedTuple):
    sums: Sums
    rows: int
    """Rows in `sums`."""
    doubtful: list[int]
    """Indexes of the block's lines that the reference must judge, ascending."""


def fold_columns(block: bytes, lines: int, layout: Layout) -> FastFold | None:
    """Sums of the sure rows of a block that has no quote and ends with a line end.

    None when the columns cannot be told apart for the block as a whole (a row with too many fields);
    then every line is the reference's.
    """
    frame = _read(block, layout)
    if frame is None or frame.height != lines:
        return None
    frame = frame.with_columns(_is_sure(layout).fill_null(value=False).alias("sure"))
    doubtful = frame.select(pl.arg_where(~pl.col("sure"))).to_series().to_list()
    sure = frame.filter("sure") if doubtful else frame
    groups = sure.group_by(_KEYS).agg(pl.col("amount").sum(), pl.len().alias("count"))
    days, methods = (
        _refused(groups["day"], parse_day),
        _refused(groups["payment_method"], check_payment_method),
    )
    if days or methods:
        refused = pl.col("day").is_in(days) | pl.col("payment_method").is_in(methods)
        doubtful = frame.select(pl.arg_where(~pl.col("sure") | refused)).to_series().to_list()
        groups = groups.filter(~refused)
    return FastFold(_to_sums(groups), int(groups["count"].sum()), doubtful)


def _read(block: bytes, layout: Layout) -> pl.DataFrame | None:
    names = {
        layout.timestamp: "timestamp",
        layout.type: "type",
        layout.payment_method: "payment_method",
        layout.amount: "text",
    }
    names.setdefault(layout.width - 1, "last")
    schema = {names.get(index, f"column {index}"): pl.String for index in range(layout.width)}
    try:
        return (
            pl.scan_csv(block, has_header=False, schema=schema, quote_char=None)
            .select(
                pl.col("timestamp"),
                pl.col("timestamp").str.slice(0, 10).alias("day"),
                "type",
                "payment_method",
                "text",
                pl.col("text").cast(AMOUNT, strict=False).alias("amount"),
                *(["last"] if "last" in schema else []),
            )
            .collect()
        )
    except (pl.exceptions.SchemaError, pl.exceptions.ComputeError):
        return None


def _is_sure(layout: Layout) -> pl.Expr:
    sure = (
        pl.col("timestamp").str.contains(_SURE_TIMESTAMP)
        & pl.col("type").is_in([kind.value for kind in TransactionType])
        & pl.col("payment_method").is_not_null()
        & pl.col("text").str.contains(_SURE_AMOUNT)
        & (pl.col("amount") > 0)
    )
    last = layout.width - 1
    if last in {layout.timestamp, layout.type, layout.payment_method, layout.amount}:
        return sure
    return sure & pl.col("last").is_not_null()


def _refused(keys: pl.Series, rule: Callable[[str], str]) -> list[str]:
    """The distinct keys that a rule of the domain does not accept as they stand."""
    refused = []
    for key in keys.unique():
        try:
            accepted = rule(key) == key
        except ValueError:
            accepted = False
        if not accepted:
            refused.append(key)
    return refused


def _to_sums(groups: pl.DataFrame) -> Sums:
    sums: Sums = {}
    plural = {kind.value: kind.plural for kind in TransactionType}
    for day, kind, method, amount, count in groups.select(*_KEYS, "amount", "count").iter_rows():
        sums.setdefault(Bucket(day, plural[kind]), {})[method] = Cell(units_of_sum(amount), count)
    return sums
