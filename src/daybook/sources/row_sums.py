"""The exact sums of a run of records, and its rejects."""

import threading
from typing import NamedTuple

import msgspec
import numpy as np

from daybook.domain.bucket import Sums, add_transaction
from daybook.domain.position import Position
from daybook.domain.reject import Reject, raw_text
from daybook.domain.transaction import Transaction
from daybook.sources.columns.cells import CellColumns, empty, from_sums, joined
from daybook.sources.columns.sure_rows import SureSums, sum_sure_rows
from daybook.sources.reader import MAX_LINE_BYTES
from daybook.sources.records import Layout, Record, aligned_end, judge, record_at, records, split_lines
from daybook.sources.sketch import NO_HASHES, Hashes, merged, row_hash, smallest


class Limits(NamedTuple):
    """The bounds of one batch. A block that exceeds one is halved, but a single record always makes a batch."""

    buckets: int
    """Largest number of buckets."""
    rejects: int
    """Largest number of rejects."""
    methods: int = 10_000
    """Largest number of payment methods. With more, the aggregator might have to look up every row."""


class RowSums(NamedTuple):
    """The exact sums, the rejects and the extent of a run of whole records."""

    cells: CellColumns
    rejects: list[Reject]
    rows: int
    """Number of rows, the rejected ones included."""
    lines: int
    """Number of lines, blank ones included."""
    size: int
    """Number of bytes."""
    sketch: Hashes = NO_HASHES
    """Sketch of the valid rows; empty for corrections."""

    def after_lines(self, lines: int) -> "RowSums":
        """Return the same with the line numbers of the rejects increased by `lines`."""
        if not lines or not self.rejects:
            return self
        moved = [msgspec.structs.replace(reject, line=reject.line + lines) for reject in self.rejects]
        return self._replace(rejects=moved)

    def after_header(self, header: "RowSums") -> "RowSums":
        """Return the same with a header before it, whose lines the rejects count already."""
        return self._replace(lines=header.lines + self.lines, size=header.size + self.size)

    def advance(self, start: Position, digest: str) -> Position:
        """Return the position after the run, which begins at `start`; `digest` is the digest at its end."""
        return start.advanced(
            size=self.size,
            lines=self.lines,
            rows=self.rows,
            rejected=len(self.rejects),
            digest=digest,
            **self.cells.totals(),
        )


def sum_rows_within(
    block: bytes, layout: Layout, source: str, limits: Limits, stopped: threading.Event | None = None
) -> list[RowSums]:
    """Add up a block of whole records, in order, in parts that keep to the limits. Blocks.

    Once `stopped` is set, the parts that are not begun are missing from the list.
    """
    if stopped is not None and stopped.is_set():
        return []
    try:
        sums = _sum_rows(block, layout, _Judged(layout, source, limits.rejects))
    except _TooManyRejectsError:
        pass
    else:
        if len(sums.cells.buckets()) <= limits.buckets and len(sums.cells.names) <= limits.methods:
            return [sums]
    middle = aligned_end(block[: len(block) // 2], final=False, form=layout.form)
    middle = middle or len(next(records(block, final=True, form=layout.form)).raw)
    if middle == len(block):
        return [sum_rows(block, layout, source)]
    first = sum_rows_within(block[:middle], layout, source, limits, stopped)
    return first + sum_rows_within(block[middle:], layout, source, limits, stopped)


def overlong(beginning: bytes, size: int, source: str, encoding: str = "utf-8") -> RowSums:
    """Return the sums of one line of `size` bytes that is too long to be held: one reject and no cell."""
    reason = f"line is longer than {MAX_LINE_BYTES} bytes: {size}"
    return RowSums(empty(), [Reject(source, 1, raw_text(beginning, encoding), reason)], rows=1, lines=1, size=size)


def sum_rows(block: bytes, layout: Layout, source: str) -> RowSums:
    """Add up a block of whole records. Each record that is not blank is a transaction or a reject.

    The rejects' lines count from the beginning of the block; `RowSums.after_lines` makes them lines of the source.
    """
    return _sum_rows(block, layout, _Judged(layout, source))


def _sum_rows(block: bytes, layout: Layout, judged: "_Judged") -> RowSums:
    if not layout.is_plain:
        lines = 0
        for record in records(block, final=True, form=layout.form):
            judged.add_record(record, lines)
            lines += record.lines
    elif b'"' not in block and block.endswith(b"\n"):
        sure = sum_sure_rows(block, layout)
        lines = sure.lines
        judged.add_sure(sure)
        every_line = split_lines(block) if sure.doubtful else []
        for index in sure.doubtful:
            judged.add_record(_record(every_line, index), index)
    else:
        every_line = split_lines(block)
        lines = len(every_line)
        _sum_quoted(every_line, layout, judged)
    return RowSums(judged.cells(), judged.sorted_rejects(), judged.rows, lines, len(block), judged.sketch())


def _sum_quoted(lines: list[bytes], layout: Layout, judged: "_Judged") -> None:
    """Add up a block that has quotes. The lines outside quoted records are still read column by column."""
    plain: list[int] = []
    index = 0
    while index < len(lines):
        if b'"' not in lines[index] and lines[index].endswith(b"\n"):
            plain.append(index)
            index += 1
        else:
            record = _record(lines, index)
            judged.add_record(record, index)
            index += record.lines
    if not plain:
        return
    sure = sum_sure_rows(b"".join(lines[index] for index in plain), layout)
    judged.add_sure(sure)
    for index in sure.doubtful:
        judged.add_record(_record(lines, plain[index]), plain[index])


def _record(lines: list[bytes], index: int) -> Record:
    record = record_at(lines, index, final=True)
    if record is None:
        raise AssertionError("a final block has no incomplete record")
    return record


class _TooManyRejectsError(Exception):
    """The block has too many rejects and is halved, so the rest of it need not be read."""


class _Judged:
    """Collects the sums of the sure rows, and judges the other rows one by one."""

    def __init__(self, layout: Layout, source: str, most_rejects: int | None = None) -> None:
        self.layout = layout
        self.source = source
        self._most_rejects = most_rejects
        self.rows = 0
        self._sure: list[CellColumns] = []
        self._sums: Sums = {}
        self._sketch = NO_HASHES
        self._hashes: list[int] = []
        """Hashes of the rows judged one by one."""
        self.rejects: list[Reject] = []

    def add_sure(self, sure: SureSums) -> None:
        self.rows += sure.rows
        self._sure.append(sure.cells)
        self._sketch = merged(self._sketch, sure.sketch)

    def add_record(self, record: Record, index: int) -> None:
        if record.is_blank:
            return
        self.rows += 1
        judged = judge(record, self.layout)
        if isinstance(judged, Transaction):
            add_transaction(self._sums, judged)
            self._hashes.append(row_hash(judged))
        elif len(self.rejects) == self._most_rejects:
            raise _TooManyRejectsError
        else:
            self.rejects.append(Reject(self.source, index + 1, raw_text(record.raw, self.layout.form.encoding), judged))

    def cells(self) -> CellColumns:
        judged = [from_sums(self._sums)] if self._sums else []
        return joined([*self._sure, *judged]) if judged or len(self._sure) > 1 else (self._sure or [empty()])[0]

    def sketch(self) -> Hashes:
        return merged(self._sketch, smallest(np.array(self._hashes, np.uint64)))

    def sorted_rejects(self) -> list[Reject]:
        return sorted(self.rejects, key=lambda reject: reject.line)
