"""Reads arbitrary bytes as queue elements. Nothing may crash, each element is applied or rejected, and the sums equal
those of a reference.
"""

import zlib
from collections.abc import Sequence
from contextlib import suppress

from daybook.domain.bucket import Bucket, Cell, Sums, add_cells
from daybook.domain.element import BATCH_MARK
from daybook.domain.position import Position
from daybook.domain.source import QUEUE_SOURCE
from daybook.lane.element_reader import Applied, ElementReader
from daybook.sources.batch_codec import Batch, BatchHeader, decode, encode
from daybook.sources.columns.cells import from_sums, joined
from daybook.sources.queue_json import lines_of, parse_transaction, sum_json_lines
from daybook.stores.transaction_queue import Element, Oversized

SOURCES = ("s", "t", "nobody's")
_BETWEEN_ELEMENTS = b"\n\n"
_BATCH, _OVERSIZED = 0x80, 0x81
SOME_SUMS: Sums = {
    Bucket("2026-01-01", "deposits"): {"a": Cell(5, 1), "bb": Cell(10**20 - 1, 2)},
    Bucket("9999-12-31", "withdrawals"): {"a": Cell(7, 3)},
}
_CELL_BYTES, _END_OF_STREAM = 112, 8
"""Bytes of the three cells' padded columns, and of the mark after them."""


def check_json(data: bytes) -> int:
    """Compare the sums of JSON lines with those of one line after the other; return the number of transactions."""
    lines = lines_of(data)
    applied, rejected = check_json_lines(lines)
    assert applied + rejected == len(lines)
    return applied


def check_json_lines(lines: Sequence[bytes]) -> tuple[int, int]:
    """Compare as `check_json` does; return the numbers of transactions and of rejected lines."""
    sums: Sums = {}
    rejected = []
    for index, line in enumerate(lines):
        try:
            row = parse_transaction(line)
            add_cells(sums, Bucket(row.day, row.type.plural), [(row.payment_method, Cell(row.units, 1))])
        except ValueError as error:
            rejected.append((index, str(error)))
    found = sum_json_lines(lines)
    assert (found.cells.sums(), found.rejected) == (sums, rejected)
    return int(found.cells.transactions.sum()), len(rejected)


def check_batch(data: bytes) -> Batch | None:
    """Decode a batch, encode it again and compare; return None for bytes that are no batch."""
    try:
        batch = decode(data)
    except ValueError:
        return None
    again = decode(encode(batch.header, batch.cells))
    assert again.header == batch.header
    assert joined([again.cells]).sums() == joined([batch.cells]).sums()
    return batch


def check_sealed(data: bytes) -> Batch | None:
    """Run `check_batch` on a batch whose header and cells are overwritten and whose checksum fits.

    The Arrow framing stays intact. The native reader does not survive every damage there; the checksum finds it first.
    """
    template = encode(BatchHeader("source", 10, Position(offset=20, rows=3, digest="d")), from_sums(SOME_SUMS))
    content = bytearray(template[:-4])
    header, _, cells = data.partition(_BETWEEN_ELEMENTS)
    begin, end = content.index(b"{"), content.rindex(b"}") + 1
    content[begin:end] = header[: end - begin].ljust(end - begin)
    end = len(content) - _END_OF_STREAM
    content[end - len(cells[:_CELL_BYTES]) : end] = cells[:_CELL_BYTES]
    return check_batch(bytes(content) + zlib.crc32(content).to_bytes(4, "little"))


def check_elements(data: bytes) -> Applied:
    """Apply elements run by run as the aggregator does. Nothing may raise, and no element may be left out."""
    elements = _elements(data)
    ledgers = {"s": Position(), "t": Position(offset=7, rows=1), SOURCES[2]: Position(offset=-1)}
    ledgers[QUEUE_SOURCE] = Position()
    whole = Applied()
    sums: Sums = {}
    left: Sequence[Element] = elements
    dropped = 0
    """Batches that go when one of them does not continue its source; their rows are queued anew."""
    while left:
        applied = ElementReader(ledgers, 1 + len(data) % 3).apply(left)
        if applied.unknown_sources:
            ledgers |= dict.fromkeys(applied.unknown_sources, Position(offset=-1))
            continue
        if applied.gap and applied.elements == 0:
            kept = [element for element in left if not _is_batch(element)]
            dropped += len(left) - len(kept)
            left = kept
            continue
        assert 1 <= applied.elements <= len(left)
        left = left[applied.elements :]
        ledgers |= applied.ledgers
        whole.rejects += applied.rejects
        whole.elements += applied.elements
        for bucket, cells in applied.changes.items():
            add_cells(sums, bucket, [(method, Cell(units, number)) for method, units, number in cells])
    queue = ledgers[QUEUE_SOURCE]
    assert whole.elements + dropped == len(elements)
    assert queue.rejected == len(whole.rejects)
    assert queue.rows == queue.line
    assert [reject.line for reject in whole.rejects] == sorted({reject.line for reject in whole.rejects})
    assert all(reject.reason and reject.source == QUEUE_SOURCE for reject in whole.rejects)
    _compare_json(elements, queue, sums)
    return whole


def _is_batch(element: Element) -> bool:
    return isinstance(element, bytes) and element.startswith(BATCH_MARK)


def _elements(data: bytes) -> list[Element]:
    """Split bytes at blank lines into elements. A first byte 0x80 makes a batch, 0x81 an oversized element."""
    made: list[Element] = []
    for number, part in enumerate(data.split(_BETWEEN_ELEMENTS)):
        kind, rest = part[:1], part[1:]
        if kind == bytes([_OVERSIZED]):
            made.append(Oversized(len(rest) << 20, rest))
        elif kind == bytes([_BATCH]):
            made.append(_batch(rest, number))
        else:
            made.append(part)
    return made


def _batch(data: bytes, number: int) -> bytes:
    """Make a batch whose source and place may be wrong, as another program might queue it."""
    source, start, size, days = data[:4].ljust(4, b"\0")
    sums: Sums = {}
    for day in range(days % 40):
        bucket = Bucket(f"2026-01-{day % 31 + 1:02d}", ("deposits", "withdrawals")[day % 2])
        add_cells(sums, bucket, [(f"m{number}", Cell(day + 1, 1))])
    end = Position(offset=start + size, rows=len(sums))
    element = bytearray(encode(BatchHeader(SOURCES[source % 3], start, end), from_sums(sums)))
    if source & 0x80:
        element[size % len(element)] ^= 1 + start % 255
    return bytes(element)


def _compare_json(elements: Sequence[Element], queue: Position, sums: Sums) -> None:
    """Check the rows of the queue: one for each line of JSON, and one for each other rejected element."""
    rows = applied = 0
    expected: Sums = {}
    for element in elements:
        if isinstance(element, Oversized) or element.startswith(BATCH_MARK):
            continue
        for line in lines_of(element):
            rows += 1
            with suppress(ValueError):
                row = parse_transaction(line)
                add_cells(expected, Bucket(row.day, row.type.plural), [(row.payment_method, Cell(row.units, 1))])
                applied += 1
    assert queue.rows >= rows
    assert queue.rows - queue.rejected == applied
    for bucket, cells in expected.items():
        for method, cell in cells.items():
            assert sums[bucket][method].units >= cell.units
            assert sums[bucket][method].transactions >= cell.transactions
