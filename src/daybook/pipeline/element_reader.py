"""What a run of queue elements adds up to, and where it moves the ledgers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from daybook.domain.bucket import TYPES, Sums, add_cells
from daybook.domain.element import BATCH_MARK
from daybook.domain.position import Position, Reject, raw_text
from daybook.domain.source import QUEUE_SOURCE
from daybook.sources.batch_codec import decode
from daybook.sources.queue_json import fold_lines, lines_of
from daybook.stores.transaction_queue import Element, Oversized

_JSON_ELEMENTS_TOGETHER = 1000


@dataclass
class Applied:
    """The first `elements` of a run; the sums are to be added once, together with the ledgers."""

    sums: Sums = field(default_factory=dict)
    ledgers: dict[str, Position] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    elements: int = 0
    batch_bytes: int = 0
    """Bytes of the importer's batches among the elements."""
    unknown_sources: set[str] = field(default_factory=set)
    """Their ledgers are needed first; nothing else in this object counts then."""


class ElementReader:
    """Adds up elements in order. Does no I/O.

    A batch at or below its source's ledger was applied before: it is dropped. An element that cannot be
    read is rejected, with its reason. A ledger with offset -1 stands for a source that nobody knows.
    """

    def __init__(self, ledgers: Mapping[str, Position]) -> None:
        self._ledgers = ledgers
        self._applied = Applied()

    def apply(self, elements: Sequence[Element], max_buckets: int) -> Applied:
        """The first elements, one at least, until they touch more than `max_buckets`."""
        for is_json, run in groupby(elements, _is_json):
            for part in _parts(list(run), _JSON_ELEMENTS_TOGETHER if is_json else 1):
                if self._applied.elements and len(self._applied.sums) > max_buckets:
                    return self._applied
                if is_json:
                    self._add_json([element for element in part if isinstance(element, bytes)])
                else:
                    self._add_batch(part[0])
                self._applied.elements += len(part)
        return self._applied

    def _ledger(self, source: str) -> Position:
        position = self._applied.ledgers.get(source) or self._ledgers.get(source)
        if position is None:
            self._applied.unknown_sources.add(source)
            return Position()
        return position

    def _add_batch(self, element: Element) -> None:
        if isinstance(element, Oversized):
            self._reject(element.beginning, f"element is too large: {element.length} bytes")
            return
        self._applied.batch_bytes += len(element)
        try:
            batch = decode(element)
        except ValueError as error:
            self._reject(element, str(error))
            return
        header = batch.header
        ledger = self._ledger(header.source)
        if 0 <= header.end.offset <= ledger.offset:
            return
        if ledger.offset < 0 or header.start != ledger.offset:
            self._reject(element, f"batch does not continue source {header.source!r}")
            return
        self._add_sums(batch.sums)
        self._applied.ledgers[header.source] = header.end

    def _add_json(self, elements: Sequence[bytes]) -> None:
        lines = [line for element in elements for line in lines_of(element)]
        position = self._ledger(QUEUE_SOURCE)
        folded = fold_lines(lines)
        self._add_sums(folded.sums)
        self._applied.rejects += [
            Reject(QUEUE_SOURCE, position.rows + index + 1, raw_text(lines[index]), reason)
            for index, reason in folded.rejected
        ]
        totals = dict.fromkeys(TYPES, 0)
        for bucket, cells in folded.sums.items():
            totals[bucket.type] += sum(cell.units for cell in cells.values())
        self._applied.ledgers[QUEUE_SOURCE] = position.advanced(
            size=len(elements),
            lines=len(lines),
            rows=len(lines),
            rejected=len(folded.rejected),
            digest="",
            **totals,
        )

    def _add_sums(self, sums: Sums) -> None:
        for bucket, cells in sums.items():
            add_cells(self._applied.sums, bucket, cells.items())

    def _reject(self, element: bytes, reason: str) -> None:
        """An element that is no transaction, as one row of the queue's own source."""
        position = self._ledger(QUEUE_SOURCE)
        self._applied.rejects.append(Reject(QUEUE_SOURCE, position.rows + 1, raw_text(element), reason))
        self._applied.ledgers[QUEUE_SOURCE] = position.advanced(
            size=1, lines=1, rows=1, rejected=1, deposits=0, withdrawals=0, digest=""
        )


def _is_json(element: Element) -> bool:
    return isinstance(element, bytes) and not element.startswith(BATCH_MARK)


def _parts(elements: list[Element], size: int) -> list[list[Element]]:
    return [elements[first : first + size] for first in range(0, len(elements), size)]
