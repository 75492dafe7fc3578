"""A file added up anew, one row after the other by the reference reader: the check on everything faster."""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from daybook.domain.bucket import Sums, add_transaction
from daybook.domain.transaction import Transaction
from daybook.errors import SourceError
from daybook.sources.reader import BlockReader
from daybook.sources.records import Layout, judge, records

_BLOCK_BYTES = 4 << 20


@dataclass
class Recount:
    """The sums of the content before `offset`."""

    offset: int = 0
    digest: str = ""
    rows: int = 0
    invalid_lines: set[int] = field(default_factory=set)
    refused: int = 0
    """Rows that break no rule by themselves and do not count."""
    sums: Sums = field(default_factory=dict)

    @property
    def applied(self) -> int:
        return self.rows - len(self.invalid_lines) - self.refused

    def total(self, kind: str) -> int:
        """Units of `deposits` or `withdrawals`."""
        return sum(cell.units for bucket, cells in self.sums.items() if bucket.type == kind for cell in cells.values())


class _Row(NamedTuple):
    line: int
    """Its first one."""
    lines: int
    size: int
    transaction: Transaction | None
    is_row: bool
    """False for a blank line."""


def recount(path: Path, end: int, refused: Container[int], on_bytes: Callable[[int], None]) -> Recount:
    """Add a file up as far as the byte `end`; valid rows in the lines `refused` do not count.

    Blocks. Raises SourceError when it cannot be read, or holds no record that ends there.
    """
    found = Recount()
    reader = BlockReader(path, complete=True)
    try:
        header = reader.header()
        if header is None or end == 0:
            return found
        found.digest, found.offset = reader.pass_header(header.size), header.size
        line = header.lines
        while found.offset < end and (block := reader.next_block(_BLOCK_BYTES)):
            hasher = block.hash_before.copy()
            for row in _rows(block.data, header.layout, line) if not block.overlong else [_overlong(line, block.size)]:
                _count(found, row, refused)
                line += row.lines
                found.offset += row.size
                if found.offset >= end:
                    break
            used = found.offset - (reader.offset - block.size)
            if block.overlong or used == block.size:
                found.digest = block.digest
            else:
                hasher.update(block.data[:used])
                found.digest = hasher.hexdigest()
            on_bytes(found.offset)
    finally:
        reader.close()
    if found.offset != end:
        raise SourceError(f"{path}: no row ends at byte {end}, up to which it was read")
    return found


def _rows(data: bytes, layout: Layout, line: int) -> Iterator[_Row]:
    for record in records(data, final=True):
        judged = judge(record, layout)
        transaction = judged if isinstance(judged, Transaction) else None
        yield _Row(line + 1, record.lines, len(record.raw), transaction, is_row=not record.is_blank)
        line += record.lines


def _overlong(line: int, size: int) -> _Row:
    return _Row(line + 1, 1, size, None, is_row=True)


def _count(found: Recount, row: _Row, refused: Container[int]) -> None:
    if not row.is_row:
        return
    found.rows += 1
    if row.transaction is None:
        found.invalid_lines.add(row.line)
    elif row.line in refused:
        found.refused += 1
    else:
        add_transaction(found.sums, row.transaction)
