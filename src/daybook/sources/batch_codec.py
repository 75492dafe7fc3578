"""The queue element that the importer pushes: an Arrow IPC stream of one folded run of records.

One row. `Batch` is the `BatchHeader` as JSON; the other columns are lists of equal length with one entry a cell:
`Day`, `Type` (0 deposits, 1 withdrawals), `PaymentMethod` (index in the header's `methods`), the amount in
units of 10^-8 as `High` * 2^32 + `Low`, and the number of `Transactions`.
"""

import io
from typing import Any

import msgspec
import numpy as np

from daybook.domain.bucket import TYPES
from daybook.domain.position import Position
from daybook.domain.transaction import MAX_METHOD_LENGTH
from daybook.sources.cell_columns import HIGH_OF_ONE, LOW, MAX_TRANSACTIONS, CellColumns

_DAYS_BEFORE_1970 = 719_163
_LAST_DAY = 3_652_059
"""31 December 9999."""


class BatchHeader(msgspec.Struct, frozen=True):
    source: str
    start: int
    """Byte offset of the first record."""
    end: Position
    """Of the whole source, after the last record."""
    methods: list[str] = []


class Batch(msgspec.Struct, frozen=True):
    header: BatchHeader
    cells: CellColumns


def _schema() -> dict[str, Any]:
    import polars as pl  # noqa: PLC0415 - a quarter second that the start of a service need not wait

    cells = {"Day": pl.Date, "Type": pl.UInt8, "PaymentMethod": pl.UInt32}
    numbers = dict.fromkeys(("High", "Low", "Transactions"), pl.Int64)
    return {"Batch": pl.String} | {name: pl.List(kind) for name, kind in (cells | numbers).items()}


def encode(header: BatchHeader, cells: CellColumns) -> bytes:
    import polars as pl  # noqa: PLC0415

    header = msgspec.structs.replace(header, methods=cells.names)
    columns = {
        "Day": (cells.days - _DAYS_BEFORE_1970).astype("M8[D]"),
        "Type": cells.types.astype(np.uint8),
        "PaymentMethod": cells.methods.astype(np.uint32),
        "High": cells.high,
        "Low": cells.low,
        "Transactions": cells.transactions,
    }
    lists = {name: pl.Series(np.ascontiguousarray(column)).implode() for name, column in columns.items()}
    stream = io.BytesIO()
    pl.DataFrame({"Batch": [msgspec.json.encode(header).decode()], **lists}, schema=_schema()).write_ipc_stream(stream)
    return stream.getvalue()


def decode(element: bytes) -> Batch:
    """The batch in an Arrow element; raises ValueError when it is no batch of Daybook's."""
    import polars as pl  # noqa: PLC0415

    schema = _schema()
    try:
        frame = pl.read_ipc_stream(element)
        if dict(frame.schema) != schema or frame.height != 1:
            raise ValueError("Arrow stream has other columns than a batch")
        header = msgspec.json.decode(frame["Batch"][0] or "", type=BatchHeader)
    except (pl.exceptions.PolarsError, OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"not a batch: {error}") from error
    columns = [frame[name][0] for name in schema if name != "Batch"]
    if any(column is None or column.null_count() for column in columns):
        raise ValueError("batch has an empty cell")
    days, *others = (column.to_physical().to_numpy().astype(np.int64) for column in columns)
    cells = CellColumns(header.methods, days + _DAYS_BEFORE_1970, *others)
    _check(cells)
    return Batch(header, cells)


def _check(cells: CellColumns) -> None:
    """Raises ValueError where a batch cannot be one that was folded from valid rows."""
    if len({len(column) for column in cells[1:]}) != 1:
        raise ValueError("batch has columns of different lengths")
    good = (
        (cells.days >= 1) & (cells.days <= _LAST_DAY)
        & (cells.types < len(TYPES)) & (cells.methods < len(cells.names))
        & (cells.low >= 0) & (cells.low <= LOW) & (cells.high >= 0) & (cells.high + cells.low > 0)
        & (cells.transactions >= 1) & (cells.transactions <= MAX_TRANSACTIONS)
    )  # fmt: skip
    if not good.all() or (cells.high >= HIGH_OF_ONE * cells.transactions).any():
        raise ValueError("batch has a cell that no rows add up to")
    if not all(1 <= len(name) <= MAX_METHOD_LENGTH for name in cells.names):
        raise ValueError("batch has a payment method that is none")
