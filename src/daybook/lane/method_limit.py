"""Limits the payment methods of a bucket and finds the refused rows.

Only the one consumer of the queue knows which methods a bucket holds, so rows are refused here and not in the importer.
A batch holds sums and no rows. Its refused rows are read from the file again.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from daybook.domain.bucket import TYPES, Bucket, BucketState, Sums, add_cells, add_transaction
from daybook.domain.position import Position, Refused
from daybook.domain.reject import Reject, raw_text
from daybook.domain.source import QUEUE_SOURCE, Source
from daybook.domain.transaction import Transaction
from daybook.errors import SourceError
from daybook.lane.element_reader import Changes
from daybook.sources.batch_codec import Batch
from daybook.sources.columns.cells import CellColumns, from_sums
from daybook.sources.files import ContentFile
from daybook.sources.profile import Profile
from daybook.sources.queue_json import judge_line, lines_of
from daybook.sources.reader import BlockReader
from daybook.sources.records import judge, records
from daybook.sources.row_sums import sum_rows

RefusedMethods = dict[Bucket, set[str]]
"""Payment methods without room, by bucket."""


class RefusedRows(NamedTuple):
    """Refused rows: one reject for each row, and the sums of all."""

    rejects: list[Reject]
    sums: Sums

    @property
    def methods(self) -> RefusedMethods:
        """The payment methods of the rows, by bucket."""
        return {bucket: set(cells) for bucket, cells in self.sums.items()}

    def added_to(self, refused: Refused) -> Refused:
        """Return the counts and sums of `refused` plus these rows."""
        units = dict.fromkeys(TYPES, 0)
        for bucket, cells in self.sums.items():
            units[bucket.type] += sum(cell.units for cell in cells.values())
        return refused.more(len(self.rejects), **units)


def full_buckets(changes: Changes, held: Mapping[Bucket, BucketState], limit: int) -> dict[Bucket, set[str]]:
    """Return the buckets that the changes would fill above `limit` methods, with the methods that they hold now."""
    found: dict[Bucket, set[str]] = {}
    for bucket, added in changes.items():
        cells = held[bucket].cells
        if len(cells) + len(added) > limit and len(cells.keys() | {method for method, _, _ in added}) > limit:
            found[bucket] = set(cells)
    return found


def without(changes: Changes, refused: RefusedMethods) -> Changes:
    """Return the changes without the refused methods."""
    left = {
        bucket: [cell for cell in added if cell[0] not in refused[bucket]] if bucket in refused else added
        for bucket, added in changes.items()
    }
    return {bucket: added for bucket, added in left.items() if added}


def without_methods(cells: CellColumns, refused: RefusedMethods) -> CellColumns:
    """Return joined cells without the refused methods."""
    return (
        from_sums(
            {
                bucket: {method: cell for method, cell in held.items() if method not in refused.get(bucket, ())}
                for bucket, held in cells.sums().items()
            }
        )
        if refused
        else cells
    )


class MethodLimit:
    """Finds refused rows, in row order: the first new methods fill the bucket, later ones are refused.

    Use an object for one call. Methods block.
    """

    def __init__(self, full: dict[Bucket, set[str]], limit: int) -> None:
        """Take `full` from `full_buckets`; methods that still have room are added to it."""
        self._full, self._limit = full, limit
        self._reason = f"its day and type already have {limit} payment methods (MaxMethodsPerBucket)"

    def of_queue(self, elements: Iterable[bytes], first_row: int) -> RefusedRows:
        """Return the refused rows of JSON elements. `first_row` is the number of rows of the queue before them."""
        found = RefusedRows([], {})
        lines = (line for element in elements for line in lines_of(element))
        for row, line in enumerate(lines, first_row + 1):
            judged = judge_line(line)
            if isinstance(judged, Transaction) and self._has_no_room(judged):
                self._refuse(found, judged, Reject(QUEUE_SOURCE, row, raw_text(line), self._reason))
        return found

    def of_file(self, batch: Batch, source: Source, before: Position) -> RefusedRows:
        """Return the refused rows of one batch, which begins at `before`.

        Raises SourceError when the file is gone or holds other rows now.
        """
        path, end = Path(source.path), batch.header.end
        reader, content = BlockReader(path, profile=Profile.from_json(source.profile)), ContentFile(path)
        try:
            header = reader.header()
            block = content.read_at(before.offset, end.offset - before.offset)
        finally:
            reader.close()
            content.close()
        if header is None or sum_rows(block, header.layout, source.id).cells.sums() != batch.cells.sums():
            raise SourceError(f"{path}: holds other rows now")
        found, line = RefusedRows([], {}), before.line
        form = header.layout.form
        for record in records(block, final=True, form=form):
            judged = judge(record, header.layout)
            if isinstance(judged, Transaction) and self._has_no_room(judged):
                raw = raw_text(record.raw, form.encoding)
                self._refuse(found, judged, Reject(source.id, line + 1, raw, self._reason))
            line += record.lines
        return found

    def without_file(self, batch: Batch, before: Position, taken: set[int], problem: str) -> RefusedRows:
        """Return the refused rows of one batch whose file cannot be read, because of `problem`.

        Each reject holds what the batch knows of its row: day, type and payment method. It gets a line of the batch
        that is not in `taken`, the lines of other rejects.
        """
        found = RefusedRows([], {})
        free = (line for line in range(before.line + 1, batch.header.end.line + 1) if line not in taken)
        for bucket, cells in batch.cells.sums().items():
            for method in [method for method in cells if not self._admits(bucket, method)]:
                add_cells(found.sums, bucket, [(method, cells[method])])
                raw = f"{bucket.day} {bucket.type} {method}"
                reason = f"{self._reason}; its line and text are unknown: {problem}"
                lines = islice(free, cells[method].transactions)
                found.rejects.extend(Reject(batch.header.source, line, raw, reason) for line in lines)
        return found

    def _has_no_room(self, transaction: Transaction) -> bool:
        return not self._admits(Bucket(transaction.day, transaction.type.plural), transaction.payment_method)

    def _admits(self, bucket: Bucket, method: str) -> bool:
        methods = self._full.get(bucket)
        if methods is None or method in methods:
            return True
        if len(methods) >= self._limit:
            return False
        methods.add(method)
        return True

    @staticmethod
    def _refuse(found: RefusedRows, row: Transaction, reject: Reject) -> None:
        found.rejects.append(reject)
        add_transaction(found.sums, row)
