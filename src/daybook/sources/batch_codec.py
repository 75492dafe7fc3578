"""Batches as bytes: the queue elements that the importer pushes.

A batch is an Arrow IPC stream with one row for each cell: `Day`, `Type` (0 deposits, 1 withdrawals), `PaymentMethod`
(index in the header's `methods`), the amount in units of 10^-8 as `High` * 2^32 + `Low`, and the number of
`Transactions`. The schema's metadata hold the `BatchHeader` as JSON under `Batch`,
or under `Reversal` in a batch that reverses a source. There the last cells are those that it takes back.

The stream's CRC-32 follows it in four bytes (little-endian). Readers of Arrow streams stop before these bytes. Daybook
checks them before it reads the stream, because some damaged streams crash the reader.
"""

import io
import zlib

import msgspec
import nanoarrow as na
import numpy as np
from nanoarrow.ipc import InputStream, StreamWriter
from numpy.typing import NDArray

from daybook.domain.bucket import DAYS_BEFORE_1970, TYPES
from daybook.domain.position import Position
from daybook.domain.reversal import Reverses
from daybook.domain.transaction import MAX_METHOD_LENGTH
from daybook.sources.columns.cells import HIGH_OF_ONE, LOW, MAX_TRANSACTIONS, CellColumns

_LAST_DAY = 3_652_059
"""31 December 9999."""


class BatchHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """The place of a batch in its source, and its payment methods."""

    source: str
    """Id of the source."""
    start: int
    """Byte offset of the first record."""
    end: Position
    """Position of the source after the last record."""
    reverses: Reverses | None = None
    """The source that the batch takes back; without records of its own, `source` is that source."""
    methods: list[str] = []
    """Payment methods, each once; `encode` sets them."""


class Batch(msgspec.Struct, frozen=True):
    header: BatchHeader
    cells: CellColumns

    @property
    def added(self) -> CellColumns:
        """The cells that the batch adds."""
        return self._part(slice(0, len(self.cells.days) - self._subtracted))

    @property
    def subtracted(self) -> CellColumns:
        """The cells that the batch takes back, as positive sums."""
        return self._part(slice(len(self.cells.days) - self._subtracted, None))

    @property
    def _subtracted(self) -> int:
        return self.header.reverses.cells if self.header.reverses else 0

    def _part(self, rows: slice) -> CellColumns:
        return CellColumns(self.cells.names, *(column[rows] for column in self.cells[1:]))


_COLUMNS = (
    ("Day", na.date32, "tdD", np.int32),
    ("Type", na.uint8, "C", np.uint8),
    ("PaymentMethod", na.uint32, "I", np.uint32),
    ("High", na.int64, "l", np.int64),
    ("Low", na.int64, "l", np.int64),
    ("Transactions", na.int64, "l", np.int64),
)
"""Name, Arrow type, its code in Arrow's C data interface, NumPy type."""
_CODES = [(name, code) for name, _, code, _ in _COLUMNS]
_SCHEMA = na.c_schema(na.struct({name: kind(nullable=False) for name, kind, _, _ in _COLUMNS}))
_BATCH, _REVERSAL = "Batch", "Reversal"
"""A batch that reverses a source has a key of its own: a Daybook that knows no reversals would add all its cells."""
_ANY_NUMBER = (1 << 63) - 1
_CHECKSUM_BYTES = 4


def encode(header: BatchHeader, cells: CellColumns) -> bytes:
    """Return a batch as the bytes of an element. The header's `methods` are replaced by those of the cells."""
    header = msgspec.structs.replace(header, methods=cells.names)
    columns = (cells.days - DAYS_BEFORE_1970, *cells[2:])
    key = _BATCH if header.reverses is None else _REVERSAL
    schema = _SCHEMA.modify(metadata={key: msgspec.json.encode(header).decode()})
    children = [
        na.c_array_from_buffers(child, len(column), [None, np.ascontiguousarray(column, kind)])
        for child, column, (*_, kind) in zip(schema.children, columns, _COLUMNS, strict=True)
    ]
    stream = io.BytesIO()
    with StreamWriter.from_writable(stream) as writer:
        writer.write_array(na.c_array_from_buffers(schema, len(cells.days), [None], children=children, move=True))
    element = stream.getvalue()
    return element + zlib.crc32(element).to_bytes(_CHECKSUM_BYTES, "little")


def decode(element: bytes) -> Batch:
    """Return the batch in an element. Raises ValueError with the reason when the bytes are not a valid batch."""
    content, checksum = element[:-_CHECKSUM_BYTES], element[-_CHECKSUM_BYTES:]
    if zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "little") != checksum:
        raise ValueError("not a batch or a damaged one: the checksum is wrong")
    try:
        header, columns = _read(content)
    except (MemoryError, ValueError):
        raise
    except Exception as error:
        # The bytes may come from any producer: no error of the reader may stop the queue.
        raise ValueError(f"not a batch: {error}") from error
    days, *others = columns
    cells = CellColumns(header.methods, days + DAYS_BEFORE_1970, *others)
    _check(cells, MAX_TRANSACTIONS if header.reverses is None else _ANY_NUMBER)
    if not 0 <= header.start < header.end.offset + (header.reverses is not None):
        raise ValueError("batch has no valid place in its source")
    if header.reverses is not None and not 0 <= header.reverses.cells <= len(cells.days):
        raise ValueError("batch takes back cells that it does not hold")
    return Batch(header, cells)


def _read(content: bytes) -> tuple[BatchHeader, list[NDArray[np.int64]]]:
    with InputStream.from_readable(content) as found:
        stream = na.c_array_stream(found)
        schema = stream.get_schema()
        arrays = list(stream)
    ((key, text),) = schema.metadata.items()
    header = msgspec.json.decode(text, type=BatchHeader)
    if key.decode() != (_BATCH if header.reverses is None else _REVERSAL):
        raise ValueError("Arrow stream does not say that it is a batch")
    if [(child.name, child.format) for child in schema.children] != _CODES or len(arrays) != 1:
        raise ValueError("Arrow stream does not have the columns of a batch")
    (array,) = arrays
    if array.offset or array.null_count or any(child.offset or child.null_count for child in array.children):
        raise ValueError("batch has an empty value")
    return header, [np.asarray(child.buffer(1)).astype(np.int64) for child in array.view().children]


def _check(cells: CellColumns, most_transactions: int) -> None:
    """Raise ValueError unless valid rows can add up to these cells."""
    if len({len(column) for column in cells[1:]}) != 1:
        raise ValueError("batch has columns of different lengths")
    good = (
        (cells.days >= 1) & (cells.days <= _LAST_DAY)
        & (cells.types < len(TYPES)) & (cells.methods < len(cells.names))
        & (cells.low >= 0) & (cells.low <= LOW) & (cells.high >= 0) & (cells.high + cells.low > 0)
        & (cells.transactions >= 1) & (cells.transactions <= most_transactions)
    )  # fmt: skip
    if not good.all() or (cells.high // HIGH_OF_ONE >= cells.transactions).any():
        raise ValueError("batch has a cell that no transactions add up to")
    if not all(1 <= len(name) <= MAX_METHOD_LENGTH for name in cells.names):
        raise ValueError("batch has an invalid payment method")
