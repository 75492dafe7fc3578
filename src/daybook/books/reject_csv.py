"""Rejects as a CSV file that a person corrects and imports again."""

import csv
import io
import re
import string
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from daybook.domain.reject import RAW_LIMIT, REJECTED_LINE, REJECTED_SOURCE, Reject, RejectedRow
from daybook.domain.source import QUEUE_SOURCE, Source

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

    @property
    def header(self) -> list[str]:
        """The names of all columns, in order."""
        return [name for name in self.names if name not in _ADDED] + list(_ADDED)

    def row(self, reject: Reject, corrects: RejectedRow) -> list[str]:
        """Return the fields of a reject, in header order. `corrects` names the row that a correction replaces."""
        fields = self.fields(reject.raw)
        added = {
            _REASON: reject.reason,
            REJECTED_SOURCE: corrects.source,
            REJECTED_LINE: str(corrects.line),
            _RAW: "" if fields else reject.raw,
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
        return dict(zip(self.names, values, strict=True)) if len(values) == len(self.names) else {}

    def _split(self, raw: str) -> list[str]:
        if self.source == QUEUE_SOURCE:
            return _fields_of_json(raw)
        try:
            rows = list(csv.reader(io.StringIO(raw, newline=""), strict=True))
        except csv.Error:
            return []
        return rows[0] if len(rows) == 1 else []  # a bare CR ends a row for csv.reader, but not in a file


def columns_of(source: Source) -> RejectColumns:
    """Return the columns of a source's rejects: those of its header, or of a transaction for the source `queue`."""
    return RejectColumns(source.id, list(_QUEUE_COLUMNS) if source.id == QUEUE_SOURCE else source.columns)


def csv_line(fields: list[str]) -> str:
    """Return fields as one line of CSV, with its line end."""
    text = io.StringIO(newline="")
    if any("\r" in field for field in fields):  # other readers end a row at a bare CR
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
