"""The form of a file's text: its encoding and delimiter, and where its lines end."""

import codecs
from difflib import get_close_matches
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LINE_FEED, _FIRST_NON_ASCII = 0x0A, 0x80
_WIDE = {"utf-16-le": "<u2", "utf-16-be": ">u2", "utf-32-le": "<u4", "utf-32-be": ">u4"}
"""Encodings whose characters take several bytes each, and NumPy's type of a character."""
_MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
_ORDERS = {name: (f"{name}-le", f"{name}-be") for name in ("utf-16", "utf-32")}
"""Encodings whose byte order the mark at the file's beginning tells."""
_EAST_ASIAN = ("gbk", "gb18030", "gb2312", "big5", "cp950", "shift_jis", "cp932", "euc_jp", "euc_kr", "cp949")
USUAL_ENCODINGS = ("utf-8", *_ORDERS, *_WIDE, "cp1252", "latin-1", "iso-8859-15", "cp1251", "koi8-r", *_EAST_ASIAN)


class TextForm(NamedTuple):
    """How the bytes of a file become lines and fields. Every line begins at a multiple of `unit` bytes."""

    encoding: str = "utf-8"
    """`utf-16` and `utf-32` only with their byte order."""
    delimiter: str = ","

    @property
    def is_plain(self) -> bool:
        return self == PLAIN

    @property
    def unit(self) -> int:
        """Number of bytes of a line feed."""
        return int(_WIDE[self.encoding][-1]) if self.encoding in _WIDE else 1

    def ends(self, data: bytes) -> NDArray[np.int64]:
        """Return the offset after each line feed."""
        unit = self.unit
        characters = np.frombuffer(data, _WIDE.get(self.encoding, "u1"), len(data) // unit)
        return (np.flatnonzero(characters == _LINE_FEED) + 1) * unit

    def count(self, data: bytes) -> int:
        """Return the number of line feeds."""
        return data.count(b"\n") if self.unit == 1 else len(self.ends(data))

    def first_end(self, data: bytes) -> int:
        """Return the offset after the first line feed; 0 without one."""
        if self.unit == 1:
            return data.find(b"\n") + 1
        return int(self.ends(data)[:1].sum())

    def last_end(self, data: bytes, start: int = 0, end: int | None = None) -> int:
        """Return the offset after the last line feed of `data[start:end]`, where a line begins at `start`; 0: none."""
        if self.unit == 1:
            return data.rfind(b"\n", start, end) + 1
        last = int(self.ends(data[start:end])[-1:].sum())
        return start + last if last else 0

    def lines(self, block: bytes) -> list[bytes]:
        """Return the lines of a block, each with its line end; the last may have none."""
        if self.unit == 1:
            *lines, rest = block.split(b"\n")
            lines = [line + b"\n" for line in lines]
        else:
            ends = [0, *self.ends(block).tolist()]
            lines = [block[start:end] for start, end in pairwise(ends)]
            rest = block[ends[-1] :]
        return [*lines, rest] if rest else lines

    def ends_line(self, line: bytes) -> bool:
        """Return whether a line has its line end."""
        return line.endswith(b"\n") if self.unit == 1 else bool(line) and self.last_end(line) == len(line)

    def loose_text(self, line: bytes) -> str:
        """Return a line as text, with stand-ins for bytes that are not of this encoding."""
        return line.decode(self.encoding, "surrogateescape" if self.encoding == "utf-8" else "replace")

    def has_quote(self, line: bytes) -> bool:
        return b'"' in line and (self.unit == 1 or '"' in self.loose_text(line))


PLAIN = TextForm()


def checked_encoding(name: str) -> str:
    """Return the name under which an encoding is known here. Raises ValueError when Daybook cannot read it."""
    try:
        known = codecs.lookup(name).name
    except LookupError:
        near = get_close_matches(name.lower(), USUAL_ENCODINGS, 1)
        hint = f": did you mean {near[0]}?" if near else f", such as {', '.join(USUAL_ENCODINGS[:7])}"
        raise ValueError(f"encoding {name!r} is not known{hint}") from None
    known = {"utf-8-sig": "utf-8"}.get(known, known)
    if known in (*_MARKS, *_ORDERS) or known in {codecs.lookup(each).name for each in _EAST_ASIAN} or _is_table(known):
        return known
    raise ValueError(f"encoding {name!r} cannot be read: its lines or commas are not those of ASCII")


def _is_table(encoding: str) -> bool:
    """Return whether each byte is a character by itself, and those of ASCII are what they are there."""
    try:
        alone = [bytes([byte]).decode(encoding, "replace") for byte in range(256)]
        whole = bytes(range(256)).decode(encoding, "replace")
    except (LookupError, UnicodeError, ValueError):
        return False
    ascii_text = bytes(range(_FIRST_NON_ASCII)).decode("ascii")
    return whole[:_FIRST_NON_ASCII] == ascii_text and [*whole] == alone


def byte_order(encoding: str, head: bytes) -> tuple[str, int]:
    """Return the encoding of a file that begins with `head`, with its byte order, and the length of the file's mark.

    Raises ValueError when the mark that tells the byte order is missing.
    """
    for name in _ORDERS.get(encoding, (encoding,)):
        mark = _MARKS.get(name)
        if mark and head.startswith(mark):
            return name, len(mark)
    if encoding in _ORDERS:
        orders = " or ".join(_ORDERS[encoding])
        raise ValueError(f"has no byte order mark at its beginning: name the encoding {orders}")
    return encoding, 0
