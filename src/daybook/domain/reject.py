"""Rejects, and the corrections that count in their place."""

import re
from typing import NamedTuple

import msgspec


class Reject(msgspec.Struct, frozen=True):
    """A row that does not count, because it breaks a rule or because its bucket had no room for it."""

    source: str
    """Id of the source."""
    line: int
    """Line number in the file, from 1; for the source `queue`, number of the row, from 1."""
    raw: str
    """The row's text, at most `RAW_LIMIT` characters. Bytes that are not UTF-8 appear as `\\xNN`."""
    reason: str


class Correction(msgspec.Struct, frozen=True):
    """A row that counts in the place of a rejected one.

    When several rows correct the same one, the first of them that counts is the correction.
    """

    source: str
    """Source of the rejected row."""
    line: int
    """Line of the rejected row."""
    by_source: str
    """Source of the row that counts instead."""
    by_line: int
    """Line of the row that counts instead."""


class RejectedRow(NamedTuple):
    """The place of a rejected row."""

    source: str
    line: int


REJECTED_SOURCE, REJECTED_LINE = "rejected_source", "rejected_line"
"""Columns of a file of corrections. They name the rejected row that each row corrects."""

RAW_LIMIT = 4096
"""Largest number of characters that a reject keeps of its row."""
REJECTED_SAFE = "rejected_safe"
"""Column of a spreadsheet-safe file of corrections: a row in which it says `APOSTROPHES` went through `protected`."""
APOSTROPHES = "apostrophes"
_COMPUTED = re.compile(r"'*[=+\-@\t\r\n]")


def protected(cell: str) -> str:
    """Return the cell with an apostrophe before it when a spreadsheet may compute it, else unchanged.

    That is a cell that begins, after any apostrophes, with `=`, `+`, `-`, `@`, a tab, a carriage return or a line feed.
    """
    return f"'{cell}" if _COMPUTED.match(cell) else cell


def unprotected(cell: str) -> str:
    """Return the cell from which `protected` made `cell`."""
    return cell[1:] if cell.startswith("'") and _COMPUTED.match(cell) else cell


def raw_text(raw: bytes, encoding: str = "utf-8") -> str:
    """Return a row as text, without its line end, cut to `RAW_LIMIT` characters."""
    if encoding != "utf-8":
        return raw[: 4 * (RAW_LIMIT + 2)].decode(encoding, "backslashreplace").rstrip("\r\n")[:RAW_LIMIT]
    return raw[: RAW_LIMIT + 2].rstrip(b"\r\n").decode("utf-8", "backslashreplace")[:RAW_LIMIT]
