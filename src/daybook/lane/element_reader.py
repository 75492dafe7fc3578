"""Sums up a run of queue elements and finds the new ledgers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from daybook.domain.bucket import Bucket
from daybook.domain.element import BATCH_MARK
from daybook.domain.position import Position, Refused
from daybook.domain.reject import Reject, raw_text
from daybook.domain.reversal import Reverses
from daybook.domain.source import QUEUE_SOURCE
from daybook.lane.reversing import net
from daybook.sources.batch_codec import Batch, decode
from daybook.sources.columns.cells import MAX_TRANSACTIONS, CellColumns, empty, joined
from daybook.sources.queue_json import lines_of, sum_json_lines
from daybook.stores.transaction_queue import Element, Oversized

_JSON_ELEMENTS_TOGETHER = 16000
_CELLS_PER_COMMIT = 300_000


Changes = dict[Bucket, list[tuple[str, int, int]]]
"""Payment methods, units and transactions to add, by bucket."""


@dataclass
class Applied:
    """The outcome of the first `elements` elements of a run. Commit the changes and the ledgers together, once."""

    changes: Changes = field(default_factory=dict)
    by_source: dict[str, CellColumns] = field(default_factory=dict)
    """The same changes, by source."""
    ledgers: dict[str, Position] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    refused: dict[str, Refused] = field(default_factory=dict)
    """All refused rows so far, for each source that has refused rows in this run."""
    elements: int = 0
    batch_bytes: int = 0
    """Bytes of the importer's batches among the elements."""
    as_pushed: bool = True
    """True when the elements are batches, and all that they hold is in the changes: no JSON, duplicate or reject."""
    gap: bool = False
    """True when the next element is a batch that does not begin at its source's ledger: a batch before it left the
    queue without a commit.
    """
    reversal: Batch | None = None
    """The batch that reverses a source. It is alone in its commit, and its changes may be negative."""
    reversal_problem: str = ""
    """The reason why the reversal cannot be made; empty when it can."""
    unknown_sources: set[str] = field(default_factory=set)
    """Sources whose ledgers are needed first. While there are any, ignore the other fields."""


class ElementReader:
    """Sums up elements in order. Does no I/O.

    A batch that ends at or before its source's ledger was applied already and is dropped. An element that cannot be
    read becomes a reject with its reason. A ledger with offset -1 stands for a source that is in neither store, or
    that was reverted: no batch of it counts.
    """

    def __init__(
        self,
        ledgers: Mapping[str, Position],
        max_buckets: int,
        *,
        refused: Mapping[str, Refused] | None = None,
        rejects_gap: bool = False,
    ) -> None:
        """Take the `ledgers` and the `refused` rows by source.

        Reading ends once the elements touch more than `max_buckets` buckets.
        """
        self._ledgers, self._max_buckets, self._refused = ledgers, max_buckets, refused or {}
        self._rejects_gap = rejects_gap
        self._applied = Applied()
        self._parts: dict[str, list[CellColumns]] = {}
        self._buckets = np.zeros(0, np.int64)
        self._cells = self._transactions = 0

    def apply(self, elements: Sequence[Element]) -> Applied:
        """Return the outcome of the first elements: of at least one, unless the first is a batch after a gap."""
        self._read(elements)
        if self._applied.reversal is not None:
            return self._applied
        by_source = {source: joined(parts) for source, parts in self._parts.items()}
        whole = joined(list(by_source.values())) if len(by_source) > 1 else next(iter(by_source.values()), empty())
        self._applied.by_source = by_source
        self._applied.changes = dict(whole.by_bucket())
        return self._applied

    def _read(self, elements: Sequence[Element]) -> None:
        for json, run in groupby(elements, is_json):
            for part in _cut(list(run), _JSON_ELEMENTS_TOGETHER if json else 1):
                if self._is_full():
                    return
                taken = self._add_json(part) if json else self._add_batch(part[0])
                self._applied.elements += taken
                if taken < len(part):
                    return

    def _is_full(self) -> bool:
        return (
            self._applied.reversal is not None
            or len(self._buckets) > self._max_buckets
            or self._cells > _CELLS_PER_COMMIT
            or self._transactions > MAX_TRANSACTIONS
        )

    def _add_cells(self, source: str, cells: CellColumns) -> None:
        if len(cells.days):
            self._parts.setdefault(source, []).append(cells)
            self._buckets = np.union1d(self._buckets, cells.buckets())
            self._cells += len(cells.days)
            self._transactions += int(cells.transactions.max())

    def _ledger(self, source: str) -> Position:
        position = self._applied.ledgers.get(source) or self._ledgers.get(source)
        if position is None:
            self._applied.unknown_sources.add(source)
            return Position()
        return position

    def _add_batch(self, element: Element) -> int:
        if isinstance(element, Oversized):
            self._reject(element.beginning, f"element is too large: {element.length} bytes")
            return 1
        self._applied.batch_bytes += len(element)
        try:
            batch = decode(element)
        except ValueError as error:
            self._reject(element, str(error))
            return 1
        header = batch.header
        if header.reverses is not None:
            return self._add_reversal(element, batch, header.reverses)
        ledger = self._ledger(header.source)
        if 0 <= header.end.offset <= ledger.offset:
            self._applied.as_pushed = False
            return 1
        if ledger.offset < 0:
            self._reject(
                element, f"batch of source {header.source!r}, which Redis does not know, or which was reverted"
            )
            return 1
        if header.start != ledger.offset and self._rejects_gap:
            self._reject(element, f"batch does not continue source {header.source!r}")
            return 1
        if header.start != ledger.offset:
            self._applied.gap = True
            self._applied.batch_bytes -= len(element)
            return 0
        self._add_cells(header.source, batch.cells)
        self._applied.ledgers[header.source] = header.end
        return 1

    def _add_reversal(self, element: bytes, batch: Batch, reverses: Reverses) -> int:
        if self._applied.elements:
            self._applied.batch_bytes -= len(element)
            return 0
        header, reverted = batch.header, self._ledger(reverses.source)
        own = self._ledger(header.source)
        corrections = [self._ledger(each.source).offset >= each.offset for each in reverses.corrections]
        self._applied.as_pushed = False
        if (reverted.offset, own.offset) != (reverses.offset, header.start):
            self._reject(element, f"reversal of source {reverses.source!r} does not fit the ledgers")
            return 1
        self._applied.reversal = batch
        if self._refused.get(reverses.source, Refused()) != reverses.reversal.refused or not all(corrections):
            self._applied.reversal_problem = "its rows, or those that correct its rejects, changed meanwhile: try again"
            return 1
        changes = net(batch)
        self._applied.by_source, self._applied.changes = {header.source: changes}, dict(changes.by_bucket())
        self._applied.ledgers[header.source] = header.end
        self._applied.ledgers[reverses.source] = Position()
        for each in reverses.corrections:
            self._applied.ledgers[each.source] = self._ledger(each.source)
            self._applied.rejects += each.rejects
        return 1

    def _add_json(self, part: Sequence[Element]) -> int:
        """Add the first elements that stay within `max_buckets`, at least one; return how many."""
        elements = [element for element in part if isinstance(element, bytes)]
        while True:
            lines = [line for element in elements for line in lines_of(element)]
            sums = sum_json_lines(lines)
            if len(elements) == 1 or len(sums.cells.buckets()) <= self._max_buckets:
                break
            elements = elements[: len(elements) // 2]
        position = self._ledger(QUEUE_SOURCE)
        self._applied.as_pushed = False
        self._add_cells(QUEUE_SOURCE, sums.cells)
        self._applied.rejects += [
            Reject(QUEUE_SOURCE, position.rows + index + 1, raw_text(lines[index]), reason)
            for index, reason in sums.rejected
        ]
        self._applied.ledgers[QUEUE_SOURCE] = position.advanced(
            size=len(elements),
            lines=len(lines),
            rows=len(lines),
            rejected=len(sums.rejected),
            digest="",
            **sums.cells.totals(),
        )
        return len(elements)

    def _reject(self, element: bytes, reason: str) -> None:
        """Reject a whole element, as one row of the source `queue`."""
        position = self._ledger(QUEUE_SOURCE)
        self._applied.as_pushed = False
        self._applied.rejects.append(Reject(QUEUE_SOURCE, position.rows + 1, raw_text(element), reason))
        self._applied.ledgers[QUEUE_SOURCE] = position.advanced(
            size=1, lines=1, rows=1, rejected=1, deposits=0, withdrawals=0, digest=""
        )


def is_json(element: Element) -> bool:
    """Return True for an element that is neither a batch nor oversized; another producer pushed it."""
    return isinstance(element, bytes) and not element.startswith(BATCH_MARK)


def _cut(elements: list[Element], size: int) -> list[list[Element]]:
    return [elements[first : first + size] for first in range(0, len(elements), size)]
