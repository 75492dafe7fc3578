"""Rows that do not count, and the rows that take their place."""

import re
from typing import NamedTuple

import msgspec


class Reject(msgspec.Struct, frozen=True):
    """A row that does not count, as it stood in its source: it breaks a rule, or there was no room for it."""

    source: str
    line: int
    """Line number in the file, from 1; of the queue: number of the transaction, from 1."""
    raw: str
    """The row's text; bytes that are no UTF-8 stand as `\\xNN`; at most `RAW_LIMIT` characters."""
    reason: str


class Correction(msgspec.Struct, frozen=True):
    """Which row takes the place of a rejected one: the first that did, unless it counts nowhere."""

    source: str
    line: int
    """The rejected row, as its `Reject` names it."""
    by_source: str
    by_line: int
    """The row that counts instead."""


class RejectedRow(NamedTuple):
    """The name of a rejected row."""

    source: str
    line: int


REJECTED_SOURCE, REJECTED_LINE = "rejected_source", "rejected_line"
"""Columns of a file of corrections: which rejected row each of its rows takes the place of."""

RAW_LIMIT = 4096
REJECTED_SAFE = "rejected_safe"
"""Column of a spreadsheet-safe file of corrections: a row in which it says `APOSTROPHES` went through `protected`."""
APOSTROPHES = "apostrophes"
_COMPUTED = re.compile(r"'*[=+\-@\t\r\n]")


def protected(cell: str) -> str:
    """Return the cell with an apostrophe before what a spreadsheet may compute, or before such an apostrophe."""
    return f"'{cell}" if _COMPUTED.match(cell) else cell


def unprotected(cell: str) -> str:
    """Return what `protected` was given."""
    return cell[1:] if cell.startswith("'") and _COMPUTED.match(cell) else cell


def raw_text(raw: bytes) -> str:
    """The row as text, without its line end, cut at `RAW_LIMIT`."""
    return raw[: RAW_LIMIT + 2].rstrip(b"\r\n").decode("utf-8", "backslashreplace")[:RAW_LIMIT]
