"""The bound on payment methods in one bucket, and the rows that it keeps out.

Only the one consumer of the queue knows which methods a bucket holds, so it is here that a row can turn out to have
no room. What arrives from a file is a batch of sums: the rows behind them are looked up in the file again.
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
from daybook.sources.files import ContentFile
from daybook.sources.queue_json import judge_line, lines_of
from daybook.sources.reader import BlockReader
from daybook.sources.records import judge, records
from daybook.sources.row_sums import sum_rows

RefusedMethods = dict[Bucket, set[str]]
"""Methods that have no room in their bucket."""


class RefusedRows(NamedTuple):
    """Rows that have no room: one reject each, and what they add up to."""

    rejects: list[Reject]
    sums: Sums

    @property
    def methods(self) -> RefusedMethods:
        return {bucket: set(cells) for bucket, cells in self.sums.items()}

    def added_to(self, refused: Refused) -> Refused:
        units = dict.fromkeys(TYPES, 0)
        for bucket, cells in self.sums.items():
            units[bucket.type] += sum(cell.units for cell in cells.values())
        return refused.more(len(self.rejects), **units)


def full_buckets(changes: Changes, held: Mapping[Bucket, BucketState], limit: int) -> dict[Bucket, set[str]]:
    """The buckets that the changes would fill above `limit` methods, with those that they hold."""
    found: dict[Bucket, set[str]] = {}
    for bucket, added in changes.items():
        cells = held[bucket].cells
        if len(cells) + len(added) > limit and len(cells.keys() | {method for method, _, _ in added}) > limit:
            found[bucket] = set(cells)
    return found


def without(changes: Changes, refused: RefusedMethods) -> Changes:
    """The changes that have room."""
    left = {
        bucket: [cell for cell in added if cell[0] not in refused[bucket]] if bucket in refused else added
        for bucket, added in changes.items()
    }
    return {bucket: added for bucket, added in left.items() if added}


class MethodLimit:
    """Goes through rows in order: in a full bucket the first methods stay. Used once. Blocks."""

    def __init__(self, full: dict[Bucket, set[str]], limit: int) -> None:
        """`full`: from `full_buckets`; the first rows' methods are added to it."""
        self._full, self._limit = full, limit
        self._reason = f"its day has {limit} payment methods already (MaxMethodsPerBucket)"

    def of_queue(self, elements: Iterable[bytes], first_row: int) -> RefusedRows:
        """Among the transactions that others pushed; `first_row` were read before them."""
        found = RefusedRows([], {})
        lines = (line for element in elements for line in lines_of(element))
        for row, line in enumerate(lines, first_row + 1):
            judged = judge_line(line)
            if isinstance(judged, Transaction) and self._has_no_room(judged):
                self._refuse(found, judged, Reject(QUEUE_SOURCE, row, raw_text(line), self._reason))
        return found

    def of_file(self, batch: Batch, source: Source, before: Position) -> RefusedRows:
        """Among the rows of one batch, which begins at `before`; raises SourceError if the file has gone."""
        path, end = Path(source.path), batch.header.end
        reader, content = BlockReader(path), ContentFile(path)
        try:
            header = reader.header()
            block = content.read_at(before.offset, end.offset - before.offset)
        finally:
            reader.close()
            content.close()
        if header is None or sum_rows(block, header.layout, source.id).cells.sums() != batch.cells.sums():
            raise SourceError(f"{path}: holds other rows by now")
        found, line = RefusedRows([], {}), before.line
        for record in records(block, final=True):
            judged = judge(record, header.layout)
            if isinstance(judged, Transaction) and self._has_no_room(judged):
                self._refuse(found, judged, Reject(source.id, line + 1, raw_text(record.raw), self._reason))
            line += record.lines
        return found

    def without_file(self, batch: Batch, before: Position, taken: set[int], problem: str) -> RefusedRows:
        """As `of_file`: each row with what the batch knows of it, under a line that no other reject has `taken`."""
        found = RefusedRows([], {})
        free = (line for line in range(before.line + 1, batch.header.end.line + 1) if line not in taken)
        for bucket, cells in batch.cells.sums().items():
            for method in [method for method in cells if not self._admits(bucket, method)]:
                add_cells(found.sums, bucket, [(method, cells[method])])
                raw = f"{bucket.day} {bucket.type} {method}"
                reason = f"{self._reason}; line and text are not known: {problem}"
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
