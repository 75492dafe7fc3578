"""Files of corrections: a rejected row is corrected once, by the first row of any file that names it."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from daybook.domain.bucket import Sums, add_transaction
from daybook.domain.reject import Correction, Reject, RejectedRow, raw_text
from daybook.domain.transaction import Transaction
from daybook.errors import RecoveringError
from daybook.sources.columns.cells import from_sums
from daybook.sources.profile import Profile
from daybook.sources.records import Layout, Record, judge
from daybook.sources.row_sums import RowSums
from daybook.stores.rejected_rows import rejected_among, void_among
from daybook.stores.stores import Stores

_LINE_DIGITS = 18


class _Row(NamedTuple):
    record: Record
    line: int
    """Line in the file of corrections, from 1."""
    transaction: Transaction | None
    """None when the row does not count."""
    correction: Correction | None
    problem: str
    """Reason of the reject; empty when there is none so far."""


class Correcting:
    """Sums up rows of corrections. It notes in the archive which row corrects which reject."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def sum_records(
        self, records: Sequence[Record], layout: Layout, source: str, lines_before: int
    ) -> list[RowSums]:
        """Return the sums of whole records, in order; the rejects have their lines in the source.

        Each row that counts gets sums of its own. If its bucket then has no room for it, its line is still known,
        even when the file is gone.

        Raises StoreUnavailableError when a store does not answer. Raises RecoveringError, a kind of it, while the
        archive does not hold a reject that a row names, or the reject of an earlier, refused correction of that row.
        """
        line, rows = lines_before, []
        for record in records:
            rows.append(_judged(record, layout, source, line + 1))
            line += record.lines
        rows = await self._claim(await self._check_targets(rows, layout.rules))
        # again: a reversal marks its source first, and then looks for claims
        rows = await self._check_sources(rows, layout.rules)
        return [_row_sums(part, source) for part in _parts(rows)]

    async def _check_targets(self, rows: list[_Row], rules: str) -> list[_Row]:
        """Return the rows; each that does not name a correctable reject has a problem.

        A row is read by `rules`, those of the source that the file's first row names.

        Raises RecoveringError while only Redis holds a named reject. A restore may drop that reject and give its line
        to another row, so the archive must not hold a correction of it yet.
        """
        wanted = {RejectedRow(row.correction.source, row.correction.line) for row in rows if row.correction}
        waiting, archived = await rejected_among(wanted, self._stores)
        for row in sorted(waiting - archived):
            raise RecoveringError(
                f"waiting for the next dump: the reject of line {row.line} of source {row.source} is not archived yet"
            )
        missing: dict[RejectedRow | None, str] = {
            row: f"source {row.source} has no rejected row in line {row.line}" for row in wanted - archived
        }
        return await self._check_sources([_rejected(row, missing.get(_named(row), "")) for row in rows], rules)

    async def _check_sources(self, rows: list[_Row], rules: str) -> list[_Row]:
        """Return the rows; each that names a row of a source that takes no corrections has a problem.

        Raises RecoveringError while a named source is being reverted: its rows may stay.
        """
        problems: dict[str, str] = {}
        for identifier in {row.correction.source for row in rows if row.correction and not row.problem}:
            source = await self._stores.sources.get(identifier)
            if source is not None and source.is_of_corrections:
                problems[identifier] = f"source {identifier} holds corrections itself: name the row that they correct"
            elif source is not None and Profile.from_json(source.profile).rules() != rules:
                problems[identifier] = (
                    f"source {identifier} is read by another profile: correct its rows in another file"
                )
            elif source is not None and source.reverted is not None:
                problems[identifier] = f"source {identifier} was reverted: its rows no longer count"
            elif source is not None and source.reverting is not None:
                raise RecoveringError(f"waiting for the reversal of source {identifier}")
        return [_rejected(row, problems.get(row.correction.source, "")) if row.correction else row for row in rows]

    async def _claim(self, rows: list[_Row]) -> list[_Row]:
        """Note the corrections in the archive; each row whose reject another row already corrects gets a problem."""
        wanted = [row.correction for row in rows if row.correction and not row.problem]
        standing = await self._stores.archive.correct(wanted) if wanted else []
        others = {held for held, own in zip(standing, wanted, strict=True) if held != own}
        if void := await self._void(others):
            standing = await self._stores.archive.correct(wanted, void)
        held = iter(standing)
        return [_after_claim(row, next(held)) if row.correction and not row.problem else row for row in rows]

    async def _void(self, corrections: set[Correction]) -> set[Correction]:
        """Return which corrections count nowhere, so that others may replace them.

        Raises RecoveringError while the archive does not hold the reject of a refused correction.
        """
        void = await void_among(corrections, self._stores)
        if void.so_far:
            raise RecoveringError(
                "waiting for the next dump: an earlier correction of this row was refused (MaxMethodsPerBucket)"
            )
        return void.for_ever


def _parts(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    for counts, run in groupby(rows, lambda row: row.transaction is not None):
        if counts:
            yield from ([row] for row in run)
        else:
            yield list(run)


def _row_sums(rows: Sequence[_Row], source: str) -> RowSums:
    sums: Sums = {}
    rejects: list[Reject] = []
    for row in rows:
        if row.transaction is not None:
            add_transaction(sums, row.transaction)
        elif row.problem:
            rejects.append(Reject(source, row.line, raw_text(row.record.raw), row.problem))
    lines, size = sum(row.record.lines for row in rows), sum(len(row.record.raw) for row in rows)
    return RowSums(from_sums(sums), rejects, sum(not row.record.is_blank for row in rows), lines, size)


def _judged(record: Record, layout: Layout, source: str, line: int) -> _Row:
    judged = judge(record, layout)
    if isinstance(judged, str):
        return _Row(record, line, None, None, judged)
    try:
        return _Row(record, line, judged, _correction(record.fields or [], layout, source, line), "")
    except ValueError as error:
        return _Row(record, line, None, None, str(error))


def _correction(fields: list[str], layout: Layout, source: str, line: int) -> Correction:
    assert layout.rejected is not None
    rejected_source, rejected_line = (fields[column].strip() for column in layout.rejected)
    if not rejected_source or not (rejected_line.isdecimal() and rejected_line.isascii()):
        raise ValueError("rejected_source and rejected_line do not name a row")
    if len(rejected_line) > _LINE_DIGITS or int(rejected_line) == 0:
        raise ValueError("rejected_line is not a line number")
    return Correction(rejected_source, int(rejected_line), source, line)


def _after_claim(row: _Row, standing: Correction) -> _Row:
    if standing == row.correction:
        return row
    problem = (
        f"line {standing.line} of source {standing.source} is already corrected "
        f"by line {standing.by_line} of source {standing.by_source}"
    )
    return _rejected(row, problem)


def _named(row: _Row) -> RejectedRow | None:
    return RejectedRow(row.correction.source, row.correction.line) if row.correction else None


def _rejected(row: _Row, problem: str) -> _Row:
    """Return the row as rejected, unless `problem` is empty or it is rejected already."""
    return row._replace(transaction=None, problem=problem) if problem and not row.problem else row
