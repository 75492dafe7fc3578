"""Recounts: a file added up again, row by row, with the reference reader. They check all faster readers."""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from daybook.domain.bucket import Sums, add_transaction
from daybook.domain.transaction import Transaction
from daybook.errors import SourceError
from daybook.sources.profile import Profile
from daybook.sources.reader import BlockReader
from daybook.sources.records import Layout, judge, records

_BLOCK_BYTES = 4 << 20


@dataclass
class Recount:
    """The sums of a file's content before `offset`."""

    offset: int = 0
    """Number of bytes added up."""
    digest: str = ""
    """SHA-256 (in hex) of these bytes."""
    rows: int = 0
    """Number of rows, those that do not count included."""
    invalid_lines: set[int] = field(default_factory=set)
    """Lines of the rows that break a rule."""
    refused: int = 0
    """Number of rows that break no rule but do not count."""
    sums: Sums = field(default_factory=dict)
    picked: dict[int, tuple[Transaction, bytes]] = field(default_factory=dict)
    """The rows that count of the lines that were asked for, with their bytes."""

    @property
    def applied(self) -> int:
        """Return the number of rows that count."""
        return self.rows - len(self.invalid_lines) - self.refused

    def total(self, kind: str) -> int:
        """Return the sum of the amounts of `deposits` or of `withdrawals`, in units."""
        return sum(cell.units for bucket, cells in self.sums.items() if bucket.type == kind for cell in cells.values())


class _Row(NamedTuple):
    line: int
    """Number of the row's first line, from 1."""
    lines: int
    size: int
    transaction: Transaction | None
    raw: bytes
    is_row: bool
    """False for a blank line."""


def recount(
    path: Path,
    end: int,
    refused: Container[int],
    on_bytes: Callable[[int], None],
    pick: Container[int] = (),
    *,
    profile: str = "",
) -> Recount:
    """Add up the first `end` bytes of a file's content. Valid rows in the lines `refused` do not count.

    `profile` is the one of the file's source. Keeps the rows in the lines `pick` that count. Calls `on_bytes` with the
    number of bytes done. Blocks. Raises SourceError when the file cannot be read, or when none of its records ends at
    `end`.
    """
    found = Recount()
    reader = BlockReader(path, complete=True, profile=Profile.from_json(profile))
    try:
        header = reader.header()
        if header is None or end == 0:
            return found
        found.digest, found.offset = reader.pass_header(header.size), header.size
        line = header.lines
        while found.offset < end and (block := reader.next_block(_BLOCK_BYTES)):
            hasher = block.hash_before.copy()
            for row in _rows(block.data, header.layout, line) if not block.overlong else [_overlong(line, block.size)]:
                _count(found, row, refused, pick)
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
        raise SourceError(f"{path}: no row ends at byte {end}, where the source's ledger is")
    return found


def _rows(data: bytes, layout: Layout, line: int) -> Iterator[_Row]:
    for record in records(data, final=True, form=layout.form):
        judged = judge(record, layout)
        transaction = judged if isinstance(judged, Transaction) else None
        yield _Row(line + 1, record.lines, len(record.raw), transaction, record.raw, is_row=not record.is_blank)
        line += record.lines


def _overlong(line: int, size: int) -> _Row:
    return _Row(line + 1, 1, size, None, b"", is_row=True)


def _count(found: Recount, row: _Row, refused: Container[int], pick: Container[int]) -> None:
    if not row.is_row:
        return
    found.rows += 1
    if row.transaction is None:
        found.invalid_lines.add(row.line)
    elif row.line in refused:
        found.refused += 1
    else:
        add_transaction(found.sums, row.transaction)
        if row.line in pick:
            found.picked[row.line] = row.transaction, row.raw
