"""Reads arbitrary bytes as a CSV file on disk, and compares the reader and the sums with a reference, row by row.

An input is four option bytes and the file's content. In the content a few control characters may stand for much text,
so that small inputs reach the borders of blocks, lines and quoted records.
"""

import gzip
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from daybook.domain.bucket import Bucket, Cell, Sums, add_cells
from daybook.domain.reject import raw_text
from daybook.errors import SourceError
from daybook.sources.pacing import paced
from daybook.sources.reader import MAX_LINE_BYTES, Block, BlockReader
from daybook.sources.records import MAX_RECORD_BYTES, Header, Record, parse_row, read_header, records
from daybook.sources.row_sums import Limits, RowSums, overlong, sum_rows_within

OPTION_BYTES = 4
HEADERS = (
    b"timestamp,type,payment_method,amount\n",
    b"timestamp,type,payment_method,amount,sleep_ms\n",
    b"\xef\xbb\xbfamount,note,type,timestamp,payment_method\r\n",
    b"",
)
_COMPLETE, _GZIP, _STILL, _GROWING, _REOPENED, _PACED = 4, 8, 16, 32, 64, 128
_LARGE = 128
_MOST_BYTES = 3 * MAX_LINE_BYTES
_HEAD_BYTES = 1 << 16
_LONG_AGO = 1_000_000_000
_BLOCK_BYTES = (1, MAX_LINE_BYTES + 100, 8 << 20)
_LIMITS = (Limits(1, 1), Limits(2, 3), Limits(1000, 1000))

Found = tuple[int, str, str]
"""Line, raw text and reason of a reject."""


class Outcome(NamedTuple):
    """The result of reading one file."""

    sums: Sums
    rejects: list[Found]
    rows: int
    size: int
    """Bytes that were read, header included."""


class Hell(NamedTuple):
    """One input, taken apart."""

    content: bytes
    complete: bool
    packed: bool
    still: bool
    """True when the file was last changed long ago."""
    grows_at: int | None
    """Bytes of the file that exist at first; None for all."""
    reopened: bool
    """True when the reader is closed after every block and another one goes on."""
    paced: bool
    """True when blocks are cut where rows ask for a pause."""
    block_bytes: int
    limits: Limits

    @property
    def final(self) -> bool:
        """True when a last line without a line end counts."""
        return self.complete or self.packed


def take_apart(data: bytes) -> Hell:
    """Return the options and the content of an input."""
    first, second, third, fourth = data[:OPTION_BYTES].ljust(OPTION_BYTES, b"\0")
    rest, grows = data[OPTION_BYTES:], bool(first & _GROWING)
    return Hell(
        content=HEADERS[first & 3] + (spelled_out(rest) if second & _LARGE else rest),
        complete=bool(first & _COMPLETE) and not grows,
        packed=bool(first & _GZIP),
        still=bool(first & _STILL) and not grows,
        grows_at=third | fourth << 8 if grows else None,
        reopened=bool(first & _REOPENED),
        paced=bool(first & _PACED),
        block_bytes=_BLOCK_BYTES[second % len(_BLOCK_BYTES)],
        limits=_LIMITS[second // len(_BLOCK_BYTES) % len(_LIMITS)],
    )


def spelled_out(short: bytes) -> bytes:
    """Expand control characters 1 to 4, each together with the byte after it.

    1 fills the line to about 64 KiB, 2 the content to about a multiple of 1 MiB, 4 the line to about 1 MiB. The byte
    minus 128 is the distance from that size. 3 repeats the last line as often as the byte says.
    """
    content = bytearray()
    position = 0
    while position < len(short) and len(content) < _MOST_BYTES:
        character, position = short[position], position + 1
        if not 1 <= character <= 4 or position == len(short):
            content.append(character)
            continue
        argument, position = short[position], position + 1
        end = content.rfind(b"\n") + 1
        if character == 3:
            begin = content.rfind(b"\n", 0, max(0, end - 1)) + 1
            content += content[begin:end] * min(argument, _MOST_BYTES // max(1, end - begin))
            continue
        border = {1: end + MAX_RECORD_BYTES, 2: (len(content) // MAX_LINE_BYTES + 1) * MAX_LINE_BYTES}
        content += b"x" * (border.get(character, end + MAX_LINE_BYTES) + argument - 128 - len(content))
    return bytes(content[:_MOST_BYTES])


def check_csv(data: bytes, folder: Path) -> Outcome | None:
    """Return the outcome for an input, None for a file without a usable header.

    Raises AssertionError when Daybook and the reference disagree.
    """
    hell = take_apart(data)
    expected = reference(hell)
    found = _read(folder / "hell.csv", hell)
    assert found == expected
    if found is not None:
        applied = sum(cell.transactions for cells in found.sums.values() for cell in cells.values())
        assert found.rows == applied + len(found.rejects)
    return found


def reference(hell: Hell) -> Outcome | None:
    """Return the outcome by the reference, which reads record after record."""
    header = _header(hell)
    if header is None:
        return None
    sums: Sums = {}
    rejects: list[Found] = []
    rows, line, size = 0, header.lines, header.size
    for record in _records(hell.content[header.size :], final=hell.final, still=hell.still):
        size += len(record.raw)
        if record.fields is not None or record.reason:
            rows += 1
            try:
                if record.fields is None:
                    raise ValueError(record.reason)  # noqa: TRY301 - as a row's own reason
                row = parse_row(record.fields, header.layout)
                add_cells(sums, Bucket(row.day, row.type.plural), [(row.payment_method, Cell(row.units, 1))])
            except ValueError as error:
                rejects.append((line + 1, raw_text(record.raw), str(error)))
        line += record.lines
    return Outcome(sums, rejects, rows, size)


def _header(hell: Hell) -> Header | None:
    final = hell.final and len(hell.content) < _HEAD_BYTES
    try:
        return read_header(hell.content[:_HEAD_BYTES], "hell", final=final)
    except SourceError:
        return None


def _records(content: bytes, *, final: bool, still: bool) -> Iterator[Record]:
    """Yield what `records` yields, and each overlong line as one record. An overlong line ends an open quote."""
    begin = 0
    for start, end in _overlong(content, final=final):
        yield from records(content[begin:start], final=True)
        if end is None:
            return
        yield Record(content[start:end], 1, None, f"line is longer than {MAX_LINE_BYTES} bytes: {end - start}")
        begin = end
    read = begin
    for record in records(content[begin:], final=final):
        read += len(record.raw)
        yield record
    if still and not final:
        yield from records(content[read : content.rfind(b"\n") + 1], final=True)


def _overlong(content: bytes, *, final: bool) -> Iterator[tuple[int, int | None]]:
    """Yield begin and end of each overlong line; None as end when the line has no end yet."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start) + 1
        if (end or len(content)) - start > MAX_LINE_BYTES:
            yield start, end or (len(content) if final else None)
        start = end or len(content)


class _Reading:
    """Reads one file as the service does, block by block."""

    def __init__(self, path: Path, hell: Hell) -> None:
        self._path, self._hell = path, hell
        written = gzip.compress(hell.content, 1) if hell.packed else hell.content
        at = len(written) if hell.grows_at is None else min(hell.grows_at, len(written))
        path.write_bytes(written[:at])
        self._later: bytes | None = None if hell.grows_at is None else written[at:]
        if hell.still:
            os.utime(path, (_LONG_AGO, _LONG_AGO))
        self.reader = BlockReader(path, complete=hell.complete)
        self.digest = ""

    def header(self) -> Header | None:
        while True:
            try:
                header = self.reader.header()
            except SourceError:
                header = None
            if header is not None or self._later is None:
                return header
            self._grow()

    def blocks(self) -> Iterator[Block]:
        while True:
            block = self.reader.next_block(self._hell.block_bytes)
            if block is not None:
                self.digest = block.digest
                yield block
                if self._hell.reopened:
                    self._reopen()
            elif self._later is None:
                return
            else:
                self._grow()

    def _grow(self) -> None:
        assert self._later is not None
        with self._path.open("ab") as file:
            file.write(self._later)
        self._later = None
        if self._hell.packed:
            self._reopen()
        else:
            assert self.reader.is_continued()
            self.reader.forget_ahead()

    def _reopen(self) -> None:
        offset = self.reader.offset
        self.reader.close()
        self.reader = BlockReader(self._path, complete=self._hell.complete)
        self.reader.skip_to(offset, self.digest)


def _read(path: Path, hell: Hell) -> Outcome | None:
    reading = _Reading(path, hell)
    try:
        header = reading.header()
        if header is None:
            return None
        reading.digest = reading.reader.pass_header(header.size)
        parts = [part for block in reading.blocks() for part in _sums(block, header, hell)]
        reader = reading.reader
        assert reading.digest == hashlib.sha256(hell.content[: reader.offset]).hexdigest()
        assert reader.offset == header.size + sum(part.size for part in parts)
        assert bool(reader.unfinished()) == (reader.offset < len(hell.content))
        return _added(parts, header)
    finally:
        reading.reader.close()


def _sums(block: Block, header: Header, hell: Hell) -> list[RowSums]:
    if block.overlong:
        return [overlong(block.data, block.size, "s")]
    blocks = [due.data for due in paced(block.data, header.layout, 1.0)] if hell.paced else [block.data]
    assert b"".join(blocks) == block.data
    parts = [part for data in blocks for part in sum_rows_within(data, header.layout, "s", hell.limits)]
    assert sum(part.size for part in parts) == block.size
    for part in parts:
        assert part.rows <= 1 or len(part.rejects) <= hell.limits.rejects
        assert part.rows <= 1 or len(part.cells.buckets()) <= hell.limits.buckets
    return parts


def _added(parts: list[RowSums], header: Header) -> Outcome:
    sums: Sums = {}
    rejects: list[Found] = []
    line = header.lines
    for part in parts:
        rejects += [(reject.line, reject.raw, reject.reason) for reject in part.after_lines(line).rejects]
        line += part.lines
        for bucket, cells in part.cells.sums().items():
            add_cells(sums, bucket, cells.items())
    rows = sum(part.rows for part in parts)
    return Outcome(sums, rejects, rows, header.size + sum(part.size for part in parts))
