"""From a block of records to what it adds up to."""

import threading
from typing import NamedTuple

import msgspec

from daybook.domain.bucket import Bucket, Cell, Sums, add_cells
from daybook.domain.position import Position, Reject, raw_text
from daybook.sources.cell_columns import CellColumns, empty, from_sums, joined
from daybook.sources.fast_columns import FastFold, fold_columns
from daybook.sources.reader import MAX_LINE_BYTES
from daybook.sources.records import Layout, Record, aligned_end, parse_row, record_at, records, split_lines


class Limits(NamedTuple):
    """What one batch may hold at most; a block with more is halved (a single record always passes)."""

    buckets: int
    rejects: int
    methods: int = 10_000
    """Different payment methods: of more than that the aggregator may have to look up every row."""


class Folded(NamedTuple):
    """A run of whole records: its exact sums, its rejects, its extent."""

    cells: CellColumns
    rejects: list[Reject]
    rows: int
    """Records, the rejected ones included."""
    lines: int
    size: int
    """Bytes."""

    def behind(self, lines: int) -> "Folded":
        """The same with so many more lines of the source before it."""
        if not lines or not self.rejects:
            return self
        moved = [msgspec.structs.replace(reject, line=reject.line + lines) for reject in self.rejects]
        return self._replace(rejects=moved)

    def advance(self, start: Position, digest: str) -> Position:
        return start.advanced(
            size=self.size,
            lines=self.lines,
            rows=self.rows,
            rejected=len(self.rejects),
            digest=digest,
            **self.cells.totals(),
        )


def fold_within(
    block: bytes, layout: Layout, source: str, limits: Limits, stopped: threading.Event | None = None
) -> list[Folded]:
    """The block's records in order, folded, in parts within the limits.

    Once `stopped` is set, nobody wants the answer.
    """
    if stopped is not None and stopped.is_set():
        return []
    try:
        folded = _fold(block, layout, _Judged(layout, source, limits.rejects))
    except _TooManyRejectsError:
        pass
    else:
        if len(folded.cells.buckets()) <= limits.buckets and len(folded.cells.names) <= limits.methods:
            return [folded]
    middle = aligned_end(block[: len(block) // 2], final=False) or len(next(records(block, final=True)).raw)
    if middle == len(block):
        return [fold(block, layout, source)]
    first = fold_within(block[:middle], layout, source, limits, stopped)
    return first + fold_within(block[middle:], layout, source, limits, stopped)


def overlong(beginning: bytes, size: int, source: str) -> Folded:
    """A line that is too long to be held, as the one reject that it is."""
    reason = f"line is longer than {MAX_LINE_BYTES} bytes: {size}"
    return Folded(empty(), [Reject(source, 1, raw_text(beginning), reason)], rows=1, lines=1, size=size)


def fold(block: bytes, layout: Layout, source: str) -> Folded:
    """What whole records add up to. Everything in the block is counted: as a row or as a reject.

    Rejects count the lines from the block's beginning; `Folded.behind` makes them lines of the source.
    """
    return _fold(block, layout, _Judged(layout, source))


def _fold(block: bytes, layout: Layout, judged: "_Judged") -> Folded:
    plain = b'"' not in block and block.endswith(b"\n")
    if plain:
        fast = fold_columns(block, layout)
        lines = fast.lines
        judged.add_sure(fast)
        every_line = split_lines(block) if fast.doubtful else []
        for index in fast.doubtful:
            judged.add_record(_record(every_line, index), index)
    else:
        every_line = split_lines(block)
        lines = len(every_line)
        _fold_quoted(every_line, layout, judged)
    return Folded(judged.cells(), judged.sorted_rejects(), judged.rows, lines, len(block))


def _fold_quoted(lines: list[bytes], layout: Layout, judged: "_Judged") -> None:
    """A block with quotes: the lines outside of quoted records still go the fast way."""
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
    fast = fold_columns(b"".join(lines[index] for index in plain), layout)
    judged.add_sure(fast)
    for index in fast.doubtful:
        judged.add_record(_record(lines, plain[index]), plain[index])


def _record(lines: list[bytes], index: int) -> Record:
    record = record_at(lines, index, final=True)
    if record is None:
        raise AssertionError("a final block has no incomplete record")
    return record


class _TooManyRejectsError(Exception):
    """The rest of the block need not be looked at: it is halved anyway."""


class _Judged:
    """Collects the rows that were judged one by one."""

    def __init__(self, layout: Layout, source: str, most_rejects: int | None = None) -> None:
        self.layout = layout
        self.source = source
        self._most_rejects = most_rejects
        self.rows = 0
        self._sure: list[CellColumns] = []
        self._sums: Sums = {}
        self.rejects: list[Reject] = []

    def add_sure(self, fast: FastFold) -> None:
        self.rows += fast.rows
        self._sure.append(fast.cells)

    def add_record(self, record: Record, index: int) -> None:
        if record.is_blank:
            return
        self.rows += 1
        try:
            if record.fields is None:
                raise ValueError(record.reason)  # noqa: TRY301 - one place turns reasons into rejects
            row = parse_row(record.fields, self.layout)
        except ValueError as error:
            if len(self.rejects) == self._most_rejects:
                raise _TooManyRejectsError from error
            self.rejects.append(Reject(self.source, index + 1, raw_text(record.raw), str(error)))
        else:
            add_cells(self._sums, Bucket(row.day, row.type.plural), [(row.payment_method, Cell(row.units, 1))])

    def cells(self) -> CellColumns:
        judged = [from_sums(self._sums)] if self._sums else []
        return joined([*self._sure, *judged]) if judged or len(self._sure) > 1 else (self._sure or [empty()])[0]

    def sorted_rejects(self) -> list[Reject]:
        return sorted(self.rejects, key=lambda reject: reject.line)
