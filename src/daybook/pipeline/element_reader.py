"""What a run of queue elements adds up to, and where it moves the ledgers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from daybook.domain.bucket import Bucket, Cell, Sums, add_cells
from daybook.domain.element import BATCH_MARK
from daybook.domain.position import Position, Reject, raw_text
from daybook.domain.source import QUEUE_SOURCE
from daybook.sources.batch_codec import Batch, decode
from daybook.sources.queue_json import read_element
from daybook.stores.transaction_queue import Element, Oversized


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


def apply_elements(elements: Sequence[Element], ledgers: Mapping[str, Position], max_buckets: int) -> Applied:
    """Add up elements in order, at least one, until they touch more than `max_buckets`. Does no I/O.

    A batch at or below its source's ledger was applied before: it is dropped. An element that cannot be
    read is rejected, with its reason. A ledger with offset -1 stands for a source that nobody knows.
    """
    applied = Applied()
    for element in elements:
        if applied.elements and len(applied.sums) > max_buckets:
            break
        if isinstance(element, Oversized):
            _reject_element(
                applied, ledgers, element.beginning, f"element is too large: {element.length} bytes"
            )
        elif element.startswith(BATCH_MARK):
            _apply_batch(applied, ledgers, element)
        else:
            _apply_json(applied, ledgers, element)
        applied.elements += 1
    return applied


def _ledger(applied: Applied, ledgers: Mapping[str, Position], source: str) -> Position:
    position = applied.ledgers.get(source) or ledgers.get(source)
    if position is None:
        applied.unknown_sources.add(source)
        return Position()
    return position


def _apply_batch(applied: Applied, ledgers: Mapping[str, Position], element: bytes) -> None:
    applied.batch_bytes += len(element)
    try:
        batch = decode(element)
    except ValueError as error:
        _reject_element(applied, ledgers, element, str(error))
        return
    header = batch.header
    ledger = _ledger(applied, ledgers, header.source)
    if 0 <= header.end.offset <= ledger.offset:
        return
    if ledger.offset < 0 or header.start != ledger.offset:
        _reject_element(applied, ledgers, element, f"batch does not continue source {header.source!r}")
        return
    _add(applied, batch)


def _add(applied: Applied, batch: Batch) -> None:
    for bucket, cells in batch.sums.items():
        add_cells(applied.sums, bucket, cells.items())
    applied.ledgers[batch.header.source] = batch.header.end


def _apply_json(applied: Applied, ledgers: Mapping[str, Position], element: bytes) -> None:
    position = _ledger(applied, ledgers, QUEUE_SOURCE)
    rows = rejected = 0
    totals = dict.fromkeys(("deposits", "withdrawals"), 0)
    for raw, row, reason in read_element(element):
        rows += 1
        if row is None:
            rejected += 1
            applied.rejects.append(Reject(QUEUE_SOURCE, position.rows + rows, raw_text(raw), reason))
        else:
            kind = row.type.plural
            totals[kind] += row.units
            add_cells(applied.sums, Bucket(row.day, kind), [(row.payment_method, Cell(row.units, 1))])
    applied.ledgers[QUEUE_SOURCE] = position.advanced(
        size=1, lines=rows, rows=rows, rejected=rejected, digest="", **totals
    )


def _reject_element(applied: Applied, ledgers: Mapping[str, Position], element: bytes, reason: str) -> None:
    position = _ledger(applied, ledgers, QUEUE_SOURCE)
    applied.rejects.append(Reject(QUEUE_SOURCE, position.rows + 1, raw_text(element), reason))
    applied.ledgers[QUEUE_SOURCE] = position.advanced(
        size=1, lines=1, rows=1, rejected=1, deposits=0, withdrawals=0, digest=""
    )
