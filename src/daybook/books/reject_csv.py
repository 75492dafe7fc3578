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
from daybook.sources.profile import Profile

_QUEUE_COLUMNS = {"timestamp": "Timestamp", "type": "Type", "payment_method": "PaymentMethod", "amount": "Amount"}
_REASON, _RAW = "rejected_reason", "rejected_raw"
_ADDED = (_REASON, REJECTED_SOURCE, REJECTED_LINE, _RAW)
"""Columns that the CSV adds. When a row's fields do not fit the source's columns, those stay empty and `rejected_raw`
holds the row's text, so that no row becomes valid by being written out.
"""


class RejectColumns(NamedTuple):
    """The columns of one source's rejects: the source's own columns, then `_ADDED`."""

    source: str
    names: Sequence[str]
    """Names of the source's own columns."""
    spreadsheet_safe: bool = False
    """Cells that a spreadsheet may compute begin with an apostrophe, and each row says so."""
    delimiter: str = ","
    """The delimiter in the texts of the rows."""

    @property
    def header(self) -> list[str]:
        """The names of all columns, in order."""
        own = [name for name in self.names if name not in (*_ADDED, REJECTED_SAFE)]
        return [*own, *_ADDED, *([REJECTED_SAFE] if self.spreadsheet_safe else ())]

    def header_line(self) -> str:
        return self._csv(self.header)

    def line(self, reject: Reject, corrects: RejectedRow) -> str:
        """Return the CSV text of `row`."""
        return self._csv(self.row(reject, corrects))

    def _csv(self, cells: list[str]) -> str:
        if not self.spreadsheet_safe:
            return csv_line(cells)
        return csv_line([protected(cell) for cell in cells], quote_all=True)

    def row(self, reject: Reject, corrects: RejectedRow) -> list[str]:
        """Return the fields of a reject, in header order. `corrects` names the row that a correction replaces."""
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
        """Return the row that a rejected correction names; None when it names no row."""
        fields = self.fields(reject.raw)
        source, line = (fields.get(name, "").strip() for name in (REJECTED_SOURCE, REJECTED_LINE))
        return RejectedRow(source, int(line)) if source and re.fullmatch("[0-9]{1,18}", line) else None

    def fields(self, raw: str) -> dict[str, str]:
        """Return the fields of a row's text by column.

        Empty when the fields do not fit the columns, or when the text may be cut or escaped.
        """
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
            rows = list(csv.reader(io.StringIO(raw, newline=""), strict=True, delimiter=self.delimiter))
        except csv.Error:
            return []
        return rows[0] if len(rows) == 1 else []  # a bare CR ends a row for csv.reader, but not in a file


def columns_of(source: Source, *, spreadsheet_safe: bool = False) -> RejectColumns:
    """Return the columns of a source's rejects: those of its header, or of a transaction for the source `queue`."""
    names = list(_QUEUE_COLUMNS) if source.id == QUEUE_SOURCE else source.columns
    return RejectColumns(source.id, names, spreadsheet_safe, Profile.from_json(source.profile).delimiter)


def csv_line(fields: list[str], *, quote_all: bool = False) -> str:
    """Return fields as one line of CSV, with its line end."""
    text = io.StringIO(newline="")
    if quote_all or any("\r" in field for field in fields):  # other readers end a row at a bare CR
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
        return []  # CSV would turn a number or null into text
    return [msgspec.json.decode(text, type=str) if text.startswith('"') else text for text in texts]
