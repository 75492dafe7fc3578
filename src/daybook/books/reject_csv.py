"""Rejects as a CSV file that a person corrects and imports again."""

import csv
import io
import re
import string
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from daybook.domain.reject import (
    APOSTROPHES,
    RAW_LIMIT,
    REJECTED_LINE,
    REJECTED_SAFE,
    REJECTED_SOURCE,
    Reject,
    RejectedRow,
    protected,
    unprotected,
)
from daybook.domain.source import QUEUE_SOURCE, Source

_QUEUE_COLUMNS = {"timestamp": "Timestamp", "type": "Type", "payment_method": "PaymentMethod", "amount": "Amount"}
_REASON, _RAW = "rejected_reason", "rejected_raw"
_ADDED = (_REASON, REJECTED_SOURCE, REJECTED_LINE, _RAW)
"""`rejected_raw` is the row's text where its fields do not fit the columns, which are left empty then: no row must
become a valid one by being written out.
"""


class RejectColumns(NamedTuple):
    """How the rows of one source are laid out: its own columns, then `_ADDED`."""

    source: str
    names: Sequence[str]
    spreadsheet_safe: bool = False
    """Cells that a spreadsheet may compute begin with an apostrophe, and each row says so."""

    @property
    def header(self) -> list[str]:
        own = [name for name in self.names if name not in (*_ADDED, REJECTED_SAFE)]
        return [*own, *_ADDED, *([REJECTED_SAFE] if self.spreadsheet_safe else ())]

    def header_line(self) -> str:
        return self._csv(self.header)

    def line(self, reject: Reject, corrects: RejectedRow) -> str:
        """CSV text of `row`."""
        return self._csv(self.row(reject, corrects))

    def _csv(self, cells: list[str]) -> str:
        if not self.spreadsheet_safe:
            return csv_line(cells)
        return csv_line([protected(cell) for cell in cells], quote_all=True)

    def row(self, reject: Reject, corrects: RejectedRow) -> list[str]:
        """`corrects`: the row that a corrected version takes the place of."""
        fields = self.fields(reject.raw)
        added = {
            _REASON: reject.reason,
            REJECTED_SOURCE: corrects.source,
            REJECTED_LINE: str(corrects.line),
            _RAW: "" if fields else reject.raw,
            REJECTED_SAFE: APOSTROPHES,
        }
        return [added.get(name, fields.get(name, "")) for name in self.header]

    def corrects(self, reject: Reject) -> RejectedRow | None:
        """The row that a row of a file of corrections was to take the place of; None when it does not say."""
        fields = self.fields(reject.raw)
        source, line = (fields.get(name, "").strip() for name in (REJECTED_SOURCE, REJECTED_LINE))
        return RejectedRow(source, int(line)) if source and re.fullmatch("[0-9]{1,18}", line) else None

    def fields(self, raw: str) -> dict[str, str]:
        """The row's fields by column; empty where they do not fit the columns, or the text is not quite the row's."""
        is_exact = len(raw) < RAW_LIMIT and "\\x" not in raw
        values = self._split(raw) if is_exact else []
        fields = dict(zip(self.names, values, strict=True)) if len(values) == len(self.names) else {}
        if fields.get(REJECTED_SAFE) == APOSTROPHES:
            return {name: unprotected(field) for name, field in fields.items()}
        return fields

    def _split(self, raw: str) -> list[str]:
        if self.source == QUEUE_SOURCE:
            return _fields_of_json(raw)
        try:
            rows = list(csv.reader(io.StringIO(raw, newline=""), strict=True))
        except csv.Error:
            return []
        return rows[0] if len(rows) == 1 else []  # a bare CR ends a row there, and none in a file


def columns_of(source: Source, *, spreadsheet_safe: bool = False) -> RejectColumns:
    """The columns of the source's own header; of the queue's own source: those of a transaction."""
    names = list(_QUEUE_COLUMNS) if source.id == QUEUE_SOURCE else source.columns
    return RejectColumns(source.id, names, spreadsheet_safe)


def csv_line(fields: list[str], *, quote_all: bool = False) -> str:
    text = io.StringIO(newline="")
    if quote_all or any("\r" in field for field in fields):  # others end a row there
        csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(fields)
    else:
        csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue()


def _fields_of_json(raw: str) -> list[str]:
    try:
        found = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        return []
    if not set(_QUEUE_COLUMNS.values()) <= found.keys():
        return []
    texts = [bytes(found[name]).decode() for name in _QUEUE_COLUMNS.values()]
    if not all(text.startswith('"') for text in texts[:-1]) or not texts[-1].startswith(('"', "-", *string.digits)):
        return []  # a number or null would be taken for a text
    return [msgspec.json.decode(text, type=str) if text.startswith('"') else text for text in texts]
