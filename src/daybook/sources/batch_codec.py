"""The queue element that the importer pushes: an Arrow IPC stream of one folded run of records.

Columns: `Day` (date), `Type` (`deposits`/`withdrawals`), `PaymentMethod`, `Amount` (decimal, 8 places, the
sum), `Transactions` (count), and `Batch`, which is null but in the first row: that row carries the
`BatchHeader` as JSON and nothing else.
"""

import io
from typing import TYPE_CHECKING

import msgspec

from daybook.domain.bucket import TYPES, Bucket, Cell, Sums
from daybook.domain.money import DECIMALS, to_decimal, units_of_sum
from daybook.domain.position import Position

if TYPE_CHECKING:
    import polars as pl


class BatchHeader(msgspec.Struct, frozen=True):
    source: str
    start: int
    """Byte offset of the first record."""
    end: Position
    """Of the whole source, after the last record."""


class Batch(msgspec.Struct, frozen=True):
    header: BatchHeader
    sums: Sums


def _schema() -> "dict[str, pl.DataType | type[pl.DataType]]":
    import polars as pl  # noqa: PLC0415 - a quarter second that the start of a service need not wait

    amount = pl.Decimal(38, DECIMALS)
    text = dict.fromkeys(("Batch", "Type", "PaymentMethod"), pl.String)
    return {**text, "Day": pl.Date, "Amount": amount, "Transactions": pl.Int64}


def encode(header: BatchHeader, sums: Sums) -> bytes:
    import polars as pl  # noqa: PLC0415

    schema = _schema()
    cells = [
        (bucket.day, bucket.type, method, to_decimal(cell.units), cell.transactions)
        for bucket, methods in sums.items()
        for method, cell in methods.items()
    ]
    days, types, methods, amounts, counts = zip(*cells, strict=True) if cells else ((),) * 5
    frame = pl.DataFrame(
        {
            "Batch": pl.Series([msgspec.json.encode(header).decode(), *([None] * len(cells))], dtype=pl.String),
            "Day": pl.Series([None, *days], dtype=pl.String).str.to_date("%Y-%m-%d"),
            "Type": pl.Series([None, *types], dtype=pl.String),
            "PaymentMethod": pl.Series([None, *methods], dtype=pl.String),
            "Amount": pl.Series([None, *amounts], dtype=schema["Amount"]),
            "Transactions": pl.Series([None, *counts], dtype=pl.Int64),
        }
    )
    stream = io.BytesIO()
    frame.write_ipc_stream(stream)
    return stream.getvalue()


def decode(element: bytes) -> Batch:
    """The batch in an Arrow element; raises ValueError when it is no batch of Daybook's."""
    import polars as pl  # noqa: PLC0415

    schema = _schema()
    try:
        frame = pl.read_ipc_stream(io.BytesIO(element))
        if dict(frame.schema) != schema or frame.height == 0:
            raise ValueError("Arrow stream has other columns than a batch")
        header = msgspec.json.decode(frame["Batch"][0] or "", type=BatchHeader)
    except (pl.exceptions.PolarsError, OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"not a batch: {error}") from error
    rows = frame.slice(1)
    if any(rows[name].null_count() for name in schema if name != "Batch"):
        raise ValueError("batch has an empty cell")
    sums: Sums = {}
    columns = rows.select(pl.col("Day").dt.to_string("%Y-%m-%d"), "Type", "PaymentMethod", "Amount", "Transactions")
    for day, kind, method, amount, count in columns.iter_rows():
        if kind not in TYPES:
            raise ValueError(f"batch has an unknown type {kind!r}")
        sums.setdefault(Bucket(day, kind), {})[method] = Cell(units_of_sum(amount), count)
    return Batch(header, sums)
