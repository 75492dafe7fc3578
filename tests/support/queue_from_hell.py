"""Arbitrary bytes as queue elements: nothing crashes, each is applied or rejected, sums are those of the reference."""

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
"""Of the three cells, their columns padded."""


def check_json(data: bytes) -> int:
    """Lines of JSON, against one after the other; how many are transactions."""
    lines = lines_of(data)
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
    applied = int(found.cells.transactions.sum())
    assert applied + len(rejected) == len(lines)
    return applied


def check_batch(data: bytes) -> Batch | None:
    """What is no batch is refused with a ValueError; what is one can be added up and encoded again."""
    try:
        batch = decode(data)
    except ValueError:
        return None
    again = decode(encode(batch.header, batch.cells))
    assert again.header == batch.header
    assert joined([again.cells]).sums() == joined([batch.cells]).sums()
    return batch


def check_sealed(data: bytes) -> Batch | None:
    """The same for a batch whose header and cells are overwritten, with the checksum that fits.

    Its Arrow framing stays: the native reader does not survive every damage there, which the checksum is for.
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
    """A queue of elements, applied run by run as the aggregator does: nothing raises, nothing is left out."""
    elements = _elements(data)
    ledgers = {"s": Position(), "t": Position(offset=7, rows=1), SOURCES[2]: Position(offset=-1)}
    ledgers[QUEUE_SOURCE] = Position()
    whole = Applied()
    sums: Sums = {}
    left: Sequence[Element] = elements
    while left:
        applied = ElementReader(ledgers, 1 + len(data) % 3).apply(left)
        if applied.unknown_sources:
            ledgers |= dict.fromkeys(applied.unknown_sources, Position(offset=-1))
            continue
        assert 1 <= applied.elements <= len(left)
        left = left[applied.elements :]
        ledgers |= applied.ledgers
        whole.rejects += applied.rejects
        whole.elements += applied.elements
        for bucket, cells in applied.changes.items():
            add_cells(sums, bucket, [(method, Cell(units, number)) for method, units, number in cells])
    queue = ledgers[QUEUE_SOURCE]
    assert whole.elements == len(elements)
    assert queue.rejected == len(whole.rejects)
    assert queue.rows == queue.line
    assert [reject.line for reject in whole.rejects] == sorted({reject.line for reject in whole.rejects})
    assert all(reject.reason and reject.source == QUEUE_SOURCE for reject in whole.rejects)
    _compare_json(elements, queue, sums)
    return whole


def _elements(data: bytes) -> list[Element]:
    """Parts between blank lines; a first byte of 0x80 or 0x81 says what is made of a part."""
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
    """A batch that somebody might have queued: its source and place in it need not fit."""
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
    """The queue's rows are the lines of JSON and every element that is none."""
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
